"""Signs of the IPsec input path beyond keys and missing SAs: from what the probes of xfrm_input noted."""

from dropwatch.causes import kernel_word
from dropwatch.causes.ipsec import comparison, sizes, words
from dropwatch.causes.ipsec.case import Case
from dropwatch.causes.ipsec.limits import limits_reached
from dropwatch.causes.ipsec.xfrm_input import about_its_state, counted, noted
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.model.ipsec import XfrmNote

# Where a packet ends whose protocol nobody takes; the last four only with a tunnel module.
_DELIVERING = frozenset(
    {
        *(
            "ip_protocol_deliver_rcu",
            "ip6_protocol_deliver_rcu",
            "ip_local_deliver_finish",
            "ip6_input_finish",
        ),
        *("tunnel4_rcv", "tunnel64_rcv", "tunnel6_rcv", "tunnel46_rcv"),
    }
)
_NOBODY_TAKES_IT = frozenset({"IP_NOPROTO", "UNHANDLED_PROTO"})
_OTHER_MODES = {"tunnel": "transport or beet", "beet": "transport or tunnel"}
_FRESH = 1000  # a sequence number below this may be one of a sender that has just begun


def replay(case: Case) -> Verdict | None:
    """The kernel called xfrm_audit_state_replay, or counted only XfrmInStateSeqError: the replay check said no."""
    drop = case.drop
    note = noted(drop)
    if note is None or not ("replay" in note.audit or note.counters == ("XfrmInStateSeqError",)):
        return None
    source = "probe xfrm_audit_state_replay" if "replay" in note.audit else "counter XfrmInStateSeqError"
    seq = note.seq if note.seq is not None else drop.packet.seq
    number = f"sequence number {seq}" if seq is not None else "its sequence number"
    said = Evidence(source, f"{number} {_wrong_number(note, seq)}", "proof")
    return about_its_state(case, note, "certain", said, *_window(note, seq))


def expired(case: Case) -> Verdict | None:
    drop = case.drop
    note = counted(drop, "XfrmInStateExpired")
    if note is None:
        return None
    said = Evidence("counter XfrmInStateExpired", "the SA has reached a hard limit")
    story = words.story("no new SA was set up: the IKE daemon is not running, or cannot reach the peer")
    return about_its_state(case, note, "certain", said, *limits_reached(note.state, drop.time), story)


def state_invalid(case: Case) -> Verdict | None:
    drop = case.drop
    note = counted(drop, "XfrmInStateInvalid") or counted(drop, "XfrmAcquireError")
    if note is None:
        return None
    state = (
        f"in state {note.state.state}, not valid"
        if note.state is not None and note.state.state
        else "not valid"
    )
    said = Evidence(f"counter {note.counters[0]}", f"the SA is {state}")
    return about_its_state(case, note, "certain", said, *limits_reached(note.state, drop.time))


def encap_mismatch(case: Case) -> Verdict | None:
    """The SA's encapsulation and the packet's differ, and the kernel counted XfrmInStateMismatch.

    With an xfrm interface in another namespace the same counter rises for an inner packet that does not fit the
    SA's selector: then the two encapsulations do not differ.
    """
    drop = case.drop
    note = counted(drop, "XfrmInStateMismatch")
    if note is None or note.state is None or note.check is not None:
        return None
    wanted, came = note.state.encap is not None, drop.packet.proto == "udp"
    if wanted == came:
        return None
    encap = note.state.encap
    carried = f"UDP {drop.packet.sport} > {drop.packet.dport}" if came else "none (plain ESP)"
    asked = f"{encap.type} {encap.sport} > {encap.dport}" if encap is not None else "none"
    rows = [comparison.Row("encap", carried, asked, True)]
    nat = (
        "this host did not detect a NAT on the path, or the sender forces UDP"
        if came
        else "this host detected a NAT when the SA was set up and the sender did not, or the NAT is gone"
    )
    return about_its_state(
        case,
        note,
        "certain",
        Evidence("counter XfrmInStateMismatch", "the encapsulation of the packet is not that of the SA"),
        Evidence("packet", words.packet(drop, note.state.spi)),
        *comparison.evidence("packet / SA", rows),
        words.story(nat),
        differs=("encap",),
    )


def mode_mismatch(case: Case) -> Verdict | None:
    """Only where the packet was authenticated before: without, a wrong key gives a random inner protocol."""
    drop = case.drop
    note = counted(drop, "XfrmInStateModeError")
    if note is None or note.check is not None or note.state is None or not words.checks_integrity(note.state):
        return _whole_packet_in_transport(case)
    mode = note.state.mode
    rows = [comparison.Row("mode", _OTHER_MODES.get(mode, f"not {mode}"), mode, True)]
    return about_its_state(
        case,
        note,
        "certain",
        Evidence("counter XfrmInStateModeError", f"the inner packet does not fit mode {mode}"),
        *comparison.evidence("packet / SA", rows),
        words.story("the sender's SA is in another mode, or carries the other IP version"),
        differs=("mode",),
    )


def _whole_packet_in_transport(case: Case) -> Verdict | None:
    """A whole IP packet came out of an SA in transport mode, and nobody takes it.

    Only likely: the sender may as well use an IP-in-IP tunnel over transport mode, whose other end is missing here.
    """
    drop = case.drop
    if drop.packet.proto not in words.IP_IN_IP:
        return None
    note = _delivered_to_nobody(drop)
    if note is None:
        return _reinjected(drop)
    if note.state is None or note.state.mode != "transport" or not words.checks_integrity(note.state):
        return None
    rows = [comparison.Row("mode", "tunnel (an IP packet inside)", "transport", True)]
    return about_its_state(
        case,
        note,
        "likely",
        Evidence(
            "packet",
            f"a complete IP packet ({drop.packet.proto}) came out of the SA, and nothing here handles it",
        ),
        *comparison.evidence("packet / SA", rows),
        words.story("the sender's SA is in tunnel mode, or an IPIP tunnel over this SA has no endpoint here"),
        differs=("mode",),
    )


def _reinjected(drop: Drop) -> Verdict | None:
    """The same where IPsec's own handlers of IP in IP (xfrm4_tunnel, xfrm6_tunnel) were asked: they look for an SA of
    IPComp, find none, and the packet loses the memory of the SA that it came through.
    """
    note = noted(drop)
    if note is None or "xfrm_trans_reinject" not in kernel_word.way(drop):
        return None
    if not set(note.counters) & {"XfrmInNoStates", "XfrmInHdrError"}:
        return None
    came = (
        f"a complete IP packet ({drop.packet.proto}) came out of an SA in transport mode, and nothing "
        "here handles it"
    )
    story = words.story(
        "the sender's SA is in tunnel mode, or an IPIP tunnel over this SA has no endpoint here"
    )
    return kernel_word.likely(drop, Evidence("stack xfrm_trans_reinject", came), story)


def decrypt_garbage(case: Case) -> Verdict | None:
    """Decryption gave nonsense, in the trailer or in the inner protocol: only possible without authentication.

    Never more than likely: other errors count the same, and so does a mode that differs.
    """
    drop = case.drop
    note = counted(drop, "XfrmInStateProtoError") or counted(drop, "XfrmInStateModeError")
    note = note or _delivered_to_nobody(drop)
    if note is None or note.audit or note.check is not None or sizes.shortage(drop, note.state) is not None:
        return None
    state = note.state
    if state is None or state.proto != "esp" or words.checks_integrity(state):
        return None
    if "XfrmInStateModeError" in note.counters:
        said = (
            f"the inner packet does not fit mode {state.mode}; if the keys are equal, the modes of the "
            "two ends differ"
        )
    elif note.counters:
        said = "the decrypted packet has an impossible trailer"
    else:
        said = f"the decrypted packet says protocol {drop.packet.proto}, which nothing here handles"
    source = f"counter {note.counters[0]}" if note.counters else "packet"
    fact = Evidence(
        "SA at the drop", "it encrypts without an integrity check: a wrong key shows only as garbage"
    )
    story = words.story("the cipher keys of the two ends differ")
    return about_its_state(case, note, "likely", Evidence(source, said), fact, story)


def header_error(case: Case) -> Verdict | None:
    """No SPI and sequence number could be read, or there is less than the algorithms of the SA need."""
    drop = case.drop
    note = counted(drop, "XfrmInHdrError")
    if note is not None and note.check is None and drop.packet.proto not in words.IP_IN_IP:
        length = f"the packet has {drop.packet.length} bytes"
        said = Evidence("counter XfrmInHdrError", f"too short for an SPI and a sequence number: {length}")
        return about_its_state(case, note, "certain" if note.state is None else "likely", said)
    note = counted(drop, "XfrmInStateProtoError")
    if note is None or note.audit or note.state is None:
        return None
    short = sizes.shortage(drop, note.state)
    if short is not None:
        return about_its_state(case, note, "certain", Evidence("packet", short))
    if note.state.proto != "comp":
        return None
    text = "its data cannot be decompressed: truncated or damaged in transit, or compressed with another algorithm"
    return about_its_state(case, note, "likely", Evidence("counter XfrmInStateProtoError", text))


def _delivered_to_nobody(drop: Drop) -> XfrmNote | None:
    """The note of a packet that came through an SA and whose protocol nobody takes."""
    note = drop.event.xfrm
    if note is None or note.state is None or note.outbound or note.check is not None or note.counters:
        return None
    refused = kernel_word.gave_no_reason(drop) or drop.reason in _NOBODY_TAKES_IT
    return note if refused and kernel_word.place(drop) in _DELIVERING else None


def _wrong_number(note: XfrmNote, seq: int | None) -> str:
    """The two things that the check refuses, where they can be told apart."""
    state = note.state
    if state is None or seq is None or state.esn or not state.replay_window:
        return "was seen before or is too old"
    return "is older than the window" if seq < state.seq - state.replay_window + 1 else "was seen before"


def _window(note: XfrmNote, seq: int | None) -> tuple[Evidence, ...]:
    """Where the number lies, and the likely reason: a number that begins anew is a sender that began anew."""
    state = note.state
    if state is None or not state.replay_window:
        return ()
    lowest = max(0, state.seq - state.replay_window + 1)
    old = f"numbers below {lowest} are too old" if lowest else "no number is too old yet"
    seen = f"highest sequence number seen {state.seq}, window {state.replay_window}: {old}"
    facts = [Evidence("SA at the drop", seen)]
    if seq is None or state.esn:
        return tuple(facts)
    rows = [comparison.Row("seq", str(seq), f"{lowest} or higher, not seen yet", True)]
    facts += comparison.evidence("packet / SA", rows)
    if seq >= lowest:
        story = "it was duplicated in transit, or recorded and sent again"
    elif seq < _FRESH and state.seq > 2 * max(_FRESH, state.replay_window):
        story = "the sender restarted and counts from the beginning, with the same SPI and key"
    else:
        story = "it was overtaken by more packets than the window holds, or sent again"
    return (*facts, words.story(story))
