"""Judges of the IPsec input path: what the kernel itself said about a packet that it could not take in."""

from dropwatch.causes import ipsec_words as words
from dropwatch.causes import kernel_word
from dropwatch.causes.nearest_state import Near, Wanted, nearest
from dropwatch.host.host import Host
from dropwatch.host.xfrm_config import XfrmConfig
from dropwatch.host.xfrm_text import spi_text, state_line
from dropwatch.model import Culprit, Drop, Evidence, Fix, Verdict, XfrmNote


def judge_auth_failed(drop: Drop, host: Host) -> Verdict | None:
    """The kernel called xfrm_audit_state_icvfail for this packet: its ICV is not what this end's key gives.

    All evidence is of the moment of the drop; the host is not asked. The counters of the SA are read where the
    packet is freed, after the kernel counted this failure (net/xfrm/xfrm_input.c).
    """
    note = _note(drop)
    if note is None or note.state is None or "icvfail" not in note.audit:
        return None
    state = note.state
    evidence = [
        Evidence(
            "probe xfrm_audit_state_icvfail", f"its integrity check failed: {words.packet(drop, state.spi)}"
        ),
        Evidence("SA at the drop", words.identity(state)),
        Evidence("SA at the drop", words.integrity_algorithm(state)),
        Evidence("SA at the drop", words.history(state, drop.time)),
    ]
    details = {
        "spi": spi_text(state.spi),
        "saddr": str(state.saddr),
        "daddr": str(state.daddr),
        "proto": state.proto,
        "mode": state.mode,
        "reqid": state.reqid,
        "if_id": state.if_id,
        "mark": state.mark,
        "mark_mask": state.mark_mask,
        "state": state.state,
        "algorithms": [
            {"kind": kind, "name": name, "key_bits": key_bits, "icv_bits": icv_bits}
            for kind, name, key_bits, icv_bits in state.algorithms
        ],
        "packets": state.lifetime.packets,
        "integrity_failed": state.stat_integrity_failed,
    }
    return Verdict(
        confidence="certain",
        culprit=Culprit("xfrm-state", state_line(state), details),
        evidence=tuple(evidence),
        fix=words.compare_ends(state, drop.netns),
    )


def judge_no_state(drop: Drop, host: Host) -> Verdict | None:
    """The kernel found no SA for this packet: it called xfrm_audit_state_notfound, or counted XfrmInNoStates.

    That is certain. Which SAs come near is read after the drop, and says so.
    """
    note = _note(drop)
    if note is None or not ("notfound" in note.audit or "XfrmInNoStates" in note.counters):
        return None
    source = "probe xfrm_audit_state_notfound" if "notfound" in note.audit else "counter XfrmInNoStates"
    spi = note.spi if note.spi is not None else drop.packet.spi
    evidence = [Evidence(source, f"no SA for this packet: {words.packet(drop, spi)}")]
    wanted = _wanted(drop, spi)
    config = host.xfrm(drop.event.netns, drop.event.monotonic_ns)
    near = nearest(wanted, config) if wanted is not None and config is not None else ()
    evidence += _present(drop, config, near)
    return Verdict(
        confidence="certain",
        culprit=_nearest_culprit(near[0]) if near else None,
        evidence=tuple(evidence),
        fix=_fixes(drop, near),
    )


def _note(drop: Drop) -> XfrmNote | None:
    """What the probes know, when it was xfrm_input that let the packet die."""
    return drop.event.xfrm if kernel_word.place(drop) == "xfrm_input" else None


def _wanted(drop: Drop, spi: int | None) -> Wanted | None:
    packet = drop.packet
    if spi is None or packet.saddr is None or packet.daddr is None:
        return None
    return Wanted(packet.saddr, packet.daddr, words.ipsec_proto(packet), spi, packet.mark)


def _present(drop: Drop, config: XfrmConfig | None, near: tuple[Near, ...]) -> list[Evidence]:
    if config is None:
        return [Evidence("netlink xfrm", "the SAs of this namespace could not be read")]
    when = f"{(config.read_at_ns - drop.event.monotonic_ns) / 1e6:.1f} ms after the drop"
    if not config.states:
        return [Evidence("netlink xfrm", f"{when} this namespace has no SA at all")]
    count = "one SA" if len(config.states) == 1 else f"{len(config.states)} SAs"
    nearest_first = "; nearest first:" if near else ""
    evidence = [Evidence("netlink xfrm", f"{when} this namespace has {count}{nearest_first}")]
    for one in near:
        differs = "; ".join(one.differences.values()) or words.fits_now(one.state, drop.time)
        evidence.append(Evidence("netlink xfrm", f"{state_line(one.state)}: {differs}"))
    return evidence


def _nearest_culprit(near: Near) -> Culprit:
    details = {
        "spi": spi_text(near.state.spi),
        "relation": "nearest",
        "differs": list(near.differences),
        "saddr": str(near.state.saddr),
        "daddr": str(near.state.daddr),
        "proto": near.state.proto,
    }
    return Culprit("xfrm-state", state_line(near.state), details)


def _fixes(drop: Drop, near: tuple[Near, ...]) -> tuple[Fix, ...]:
    first = near[0] if near else None
    if first is not None and set(first.differences) <= {"mark", "src"} and "mark" in first.differences:
        return words.fit_the_mark(first.state)
    return words.set_up_again(drop)
