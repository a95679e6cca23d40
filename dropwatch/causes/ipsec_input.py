"""Judges of the IPsec input path beyond keys and missing SAs: from what the probes of xfrm_input noted."""

from dropwatch.causes import kernel_word
from dropwatch.host.host import Host
from dropwatch.host.xfrm_text import spi_text, state_line
from dropwatch.model import Confidence, Culprit, Drop, Evidence, Verdict, XfrmNote, XfrmState

_NO_INTEGRITY = frozenset({"digest_null", "null"})
_ESP_HEADER = 8  # SPI and sequence number (RFC 4303, 2)
# Bytes of initialisation vector in the packet, by the kernel's name of the algorithm; 0 for others, to be safe.
_IV_BYTES = {
    "rfc4106(gcm(aes))": 8,
    "rfc4309(ccm(aes))": 8,
    "rfc4543(gcm(aes))": 8,
    "rfc7539esp(chacha20,poly1305)": 8,
    "rfc3686(ctr(aes))": 8,
    "cbc(aes)": 16,
    "cbc(des3_ede)": 8,
}


def judge_replay(drop: Drop, host: Host) -> Verdict | None:
    """The kernel called xfrm_audit_state_replay, or counted only XfrmInStateSeqError: the replay check said no."""
    note = _note(drop)
    if note is None or not ("replay" in note.audit or note.counters == ("XfrmInStateSeqError",)):
        return None
    source = "probe xfrm_audit_state_replay" if "replay" in note.audit else "counter XfrmInStateSeqError"
    seq = note.seq if note.seq is not None else drop.packet.seq
    number = f"sequence number {seq}" if seq is not None else "its sequence number"
    return _verdict(
        drop, note, "certain", Evidence(source, f"{number} was seen before or is too old"), *_window(note)
    )


def judge_expired(drop: Drop, host: Host) -> Verdict | None:
    note = _counted(drop, "XfrmInStateExpired")
    if note is None:
        return None
    said = Evidence("counter XfrmInStateExpired", "the SA has reached a hard limit")
    return _verdict(drop, note, "certain", said, *_limits_reached(note.state, drop.time))


def judge_state_invalid(drop: Drop, host: Host) -> Verdict | None:
    note = _counted(drop, "XfrmInStateInvalid") or _counted(drop, "XfrmAcquireError")
    if note is None:
        return None
    state = f" but {note.state.state}" if note.state is not None and note.state.state else ""
    return _verdict(
        drop, note, "certain", Evidence(f"counter {note.counters[0]}", f"the SA is not valid{state}")
    )


def judge_encap_mismatch(drop: Drop, host: Host) -> Verdict | None:
    """The SA's encapsulation and the packet's differ, and the kernel counted XfrmInStateMismatch.

    With an xfrm interface in another namespace the same counter rises for an inner packet that does not fit the
    SA's selector: then the two encapsulations do not differ.
    """
    note = _counted(drop, "XfrmInStateMismatch")
    if note is None or note.state is None:
        return None
    wanted, came = note.state.encap is not None, drop.packet.proto == "udp"
    if wanted == came:
        return None
    encap = note.state.encap
    return _verdict(
        drop,
        note,
        "certain",
        Evidence("packet", "it came in UDP" if came else "it came as plain ESP, without UDP"),
        Evidence(
            "SA at the drop", f"the SA wants {encap.type}" if encap is not None else "the SA wants no UDP"
        ),
        Evidence("counter XfrmInStateMismatch", "the SA's encapsulation is not the packet's"),
    )


def judge_mode_mismatch(drop: Drop, host: Host) -> Verdict | None:
    """Only where the packet was authenticated before: without, a wrong key gives a random inner protocol."""
    note = _counted(drop, "XfrmInStateModeError")
    if note is None or note.state is None or not _checks_integrity(note.state):
        return None
    said = Evidence("counter XfrmInStateModeError", f"what is inside does not fit mode {note.state.mode}")
    return _verdict(drop, note, "certain", said)


def judge_decrypt_garbage(drop: Drop, host: Host) -> Verdict | None:
    """Decryption gave nonsense, in the trailer or in the inner protocol: only possible without authentication.

    Never more than likely: other errors count the same, and so does a mode that differs.
    """
    note = _counted(drop, "XfrmInStateProtoError") or _counted(drop, "XfrmInStateModeError")
    if note is None or note.audit or _shortage(drop, note.state) is not None:
        return None
    state = note.state
    if state is None or state.proto != "esp" or _checks_integrity(state):
        return None
    if note.counters == ("XfrmInStateModeError",):
        said = f"what is inside does not fit mode {state.mode}; if the keys are equal, the modes of the ends differ"
    else:
        said = "the decrypted packet has an impossible trailer"
    fact = Evidence(
        "SA at the drop", "it encrypts, but checks no integrity: a wrong key is noticed only in this way"
    )
    return _verdict(drop, note, "likely", Evidence(f"counter {note.counters[0]}", said), fact)


def judge_header_error(drop: Drop, host: Host) -> Verdict | None:
    """No SPI and sequence number could be read, or there is less than the algorithms of the SA need."""
    note = _counted(drop, "XfrmInHdrError")
    if note is not None:
        length = f"the whole packet has {drop.packet.length} bytes"
        said = Evidence("counter XfrmInHdrError", f"no SPI and sequence number to be read: {length}")
        return _verdict(drop, note, "certain" if note.state is None else "likely", said)
    note = _counted(drop, "XfrmInStateProtoError")
    shortage = _shortage(drop, note.state) if note is not None and not note.audit else None
    if note is None or shortage is None:
        return None
    return _verdict(drop, note, "certain", Evidence("packet", shortage))


def _note(drop: Drop) -> XfrmNote | None:
    return drop.event.xfrm if kernel_word.place(drop) == "xfrm_input" else None


def _counted(drop: Drop, counter: str) -> XfrmNote | None:
    """The note, if this counter rose for the packet and no other did."""
    note = _note(drop)
    return note if note is not None and note.counters == (counter,) else None


def _verdict(drop: Drop, note: XfrmNote, confidence: Confidence, *facts: Evidence) -> Verdict:
    state = note.state
    observed = () if state is None else (Evidence("SA at the drop", state_line(state)),)
    return Verdict(confidence, _culprit(state), (*facts, *observed, kernel_word.evidence(drop)))


def _culprit(state: XfrmState | None) -> Culprit | None:
    if state is None:
        return None
    details = {
        "spi": spi_text(state.spi),
        "saddr": str(state.saddr),
        "daddr": str(state.daddr),
        "proto": state.proto,
        "mode": state.mode,
        "reqid": state.reqid,
        "state": state.state,
    }
    return Culprit("xfrm-state", state_line(state), details)


def _window(note: XfrmNote) -> tuple[Evidence, ...]:
    state = note.state
    if state is None or not state.replay_window:
        return ()
    lowest = max(0, state.seq - state.replay_window + 1)
    seen = (
        f"highest sequence number seen {state.seq}, window {state.replay_window}: below {lowest} is too old"
    )
    return (Evidence("SA at the drop", seen),)


def _limits_reached(state: XfrmState | None, now: float) -> tuple[Evidence, ...]:
    if state is None:
        return ()
    life = state.lifetime
    pairs = (
        ("bytes", life.bytes, life.hard_bytes),
        ("packets", life.packets, life.hard_packets),
        (
            "seconds since it was added",
            int(now) - life.add_time if life.add_time else 0,
            life.hard_add_seconds,
        ),
        (
            "seconds since it was first used",
            int(now) - life.use_time if life.use_time else 0,
            life.hard_use_seconds,
        ),
    )
    return tuple(
        Evidence("SA at the drop", f"{used} {unit}, limit {limit}")
        for unit, used, limit in pairs
        if limit is not None and used >= limit
    )


def _checks_integrity(state: XfrmState) -> bool:
    return any(
        word == "aead" or (word == "auth" and name not in _NO_INTEGRITY)
        for word, name, *_ in state.algorithms
    )


def _shortage(drop: Drop, state: XfrmState | None) -> str | None:
    """In words, that ESP lacks bytes which the SA's algorithms need. Then esp_input() fails before anything else."""
    if state is None or state.proto != "esp":
        return None
    # A UDP header before ESP does not count: xfrm4_udp_encap_rcv() has taken it off the length in the IP header.
    there = drop.packet.length - (20 if drop.packet.family == 4 else 40)
    icv = sum(bits for _, _, _, bits in state.algorithms) // 8
    iv = max((_IV_BYTES.get(name, 0) for _, name, *_ in state.algorithms), default=0)
    needed = _ESP_HEADER + iv + icv + 1
    return f"ESP has {there} bytes, this SA needs at least {needed}" if there < needed else None
