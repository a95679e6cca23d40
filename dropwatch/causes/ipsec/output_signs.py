"""Signs of the IPsec output path: SAs that are used up or missing, packets that no longer fit."""

import errno
from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.ipsec import comparison, fixes, flow, objects, words
from dropwatch.causes.ipsec.case import Case, config
from dropwatch.causes.ipsec.limits import limits_reached
from dropwatch.causes.ipsec.missing_state import Missing, missing_state
from dropwatch.causes.ipsec.policies_for import policies_to_send, taken_evidence
from dropwatch.causes.routing.signs import SENDING
from dropwatch.host.ipsec.text import spi_text, state_line
from dropwatch.model import culprits
from dropwatch.model.culprits import Culprit
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.model.ipsec import XfrmNote, XfrmState

_ENCRYPTING = frozenset(
    {"xfrm_output", "xfrm_output2", "xfrm_output_gso", "xfrm_output_one", "xfrm_output_resume"}
)
_DISCARDING = frozenset({"dst_discard", "dst_discard_out"})
_HELD = frozenset({"xdst_queue_output", "xfrm_policy_kill", "xfrm_policy_queue_process"})
_FREEING_HELD = _HELD | {"skb_queue_purge", "skb_queue_purge_reason"}
_FRAGMENTING = frozenset({"ip_fragment", "ip6_fragment"})
_MEASURING = _FRAGMENTING | {
    *("ip_forward", "ip6_forward", "__xfrm6_output"),
    *("vti_tunnel_xmit", "vti6_tnl_xmit"),
}
_SMALLEST_IPV6_MTU = 1280  # a route's MTU below that counts as that (xfrm6_tunnel_check_size)
_LAST_NUMBER = 0xFFFFFFFF
_DONT_FRAGMENT = 0x40


def out_expired(case: Case) -> Verdict | None:
    """xfrm_state_check_expire marks an SA `expired` when it meets a hard limit; xfrm_output_one then refuses.

    A timer deletes the SA at once, often before the packet has died: it is then `dead`, with its limit reached.
    """
    drop = case.drop
    state = _leaving_through(drop)
    if state is None or not _ran_out(state, drop.time) or _too_big(drop) is not None:
        return None
    evidence = (
        Evidence("SA at the drop", f"the SA that should protect it has run out, and is {state.state}"),
        *limits_reached(state, drop.time),
        Evidence("SA at the drop", state_line(state)),
        words.story("no new SA was made in time: the IKE daemon does not run, or cannot reach the peer"),
    )
    return _about(case, state, evidence)


def out_overflow(case: Case) -> Verdict | None:
    """The kernel called xfrm_audit_state_replay_overflow; segments that were to follow die with their numbers gone."""
    drop = case.drop
    note, state = drop.event.xfrm, _leaving_through(drop)
    if note is None or state is None:
        return None
    numbers = f"the last sequence number sent is {state.oseq}"
    if "overflow" in note.audit:
        evidence = (
            Evidence("probe xfrm_audit_state_replay_overflow", f"no sequence number is left; {numbers}"),
            Evidence("SA at the drop", state_line(state)),
        )
        return _about(case, state, evidence)
    if state.esn or state.oseq != _LAST_NUMBER or state.state != "valid" or _too_big(drop) is not None:
        return None
    verdict = _about(case, state, (Evidence("SA at the drop", f"{numbers}: there is no next one"),))
    return Verdict("likely", verdict.culprit, verdict.evidence, verdict.fix)


def out_invalid(case: Case) -> Verdict | None:
    """xfrm_output_one takes only an SA in state valid; one that expired has its own cause."""
    drop = case.drop
    state = _leaving_through(drop)
    if state is None or state.state in (None, "valid") or _ran_out(state, drop.time):
        return None
    if _too_big(drop) is not None:
        return None
    evidence = (
        Evidence("SA at the drop", f"the SA that should protect it is not valid but {state.state}"),
        Evidence("SA at the drop", state_line(state)),
    )
    return _about(case, state, evidence)


def out_mtu(case: Case) -> Verdict | None:
    """Longer than what its route takes before protection, and not to be fragmented."""
    drop = case.drop
    note, mtu = drop.event.xfrm, _too_big(drop)
    if note is None or note.state is None or mtu is None:
        return _too_big_now(case)
    state, length = note.state, drop.packet.length
    why = "DF is set" if drop.packet.family == 4 else "IPv6 is not cut on its way"
    rows = [comparison.Row("length", str(length), f"{mtu} at most", True)]
    evidence = (
        *comparison.evidence("packet / way through the SA", rows),
        Evidence("packet", f"it may not be fragmented: {why}"),
        Evidence("SA at the drop", state_line(state)),
        words.story(
            "the kernel told the sender this size (ICMP, or EMSGSIZE to a program here); if it sends such "
            "packets again and again, that message does not arrive"
        ),
    )
    culprit = replace(objects.state_object(state), mtu=mtu, length=length)
    # TCP's packets may still be many in one here, of which each is measured: length alone then proves nothing.
    proven = drop.packet.proto != "tcp" or kernel_word.place(drop) not in _ENCRYPTING
    return Verdict("certain" if proven else "likely", culprit, evidence, fixes.fit_the_size(drop, mtu))


def _too_big_now(case: Case) -> Verdict | None:
    """ESP or AH of this host that does not fit its interface: transport mode, where it is measured afterwards.

    Which SA made it is read later, by the SPI in the packet.
    """
    drop = case.drop
    packet, name = drop.packet, drop.iface.name if drop.iface is not None else None
    if (
        kernel_word.place(drop) not in _FRAGMENTING
        or not _may_not_be_cut(drop)
        or packet.spi is None
        or not name
    ):
        return None
    there = config(case)
    made_by = (packet.saddr, packet.daddr, words.ipsec_proto(packet))
    states = there.states_by_spi.get(packet.spi, ()) if there is not None else ()
    state = next((one for one in states if (one.saddr, one.daddr, one.proto) == made_by), None)
    mtu = case.host.mtu(drop.event.netns, name, drop.event.monotonic_ns)
    if there is None or state is None or mtu is None:
        return None
    fits = packet.length <= mtu
    most = "less than that: the way beyond it" if fits else f"{mtu} at most"
    rows = [comparison.Row("length", str(packet.length), most, True)]
    evidence = (
        Evidence("place", "it was to be cut into fragments, and may not be"),
        *comparison.evidence(f"packet / interface {name}", rows),
        Evidence("netlink xfrm", f"{objects.read_later(drop, there)}: {state_line(state)}"),
    )
    culprit = replace(objects.state_object(state), mtu=None if fits else mtu, length=packet.length)
    fix = fixes.fit_the_size(drop, None)
    return Verdict("likely" if fits else "certain", culprit, evidence, fix)


def out_no_state(case: Case) -> Verdict | None:
    """A policy wants an SA and the kernel has none: it said so, or gave the packet the route to nowhere."""
    drop = case.drop
    said = _no_state_said(drop)
    return _no_state(case, said) if said is not None else _held(case)


def _no_state(case: Case, said: Evidence) -> Verdict:
    drop, missing = case.drop, missing_state(case)
    culprit: Culprit | None = None
    evidence = [said, *taken_evidence(drop, policies_to_send(case))]
    title = None
    if missing is not None:
        evidence += missing.evidence
        title = missing.title
        culprit = _policy_without_state(missing)
    fix = (*fixes.make_state(drop), *fixes.ask_ike(drop, case.host))
    return Verdict("certain", culprit, tuple(evidence), fix, title)


def _policy_without_state(missing: Missing) -> culprits.XfrmPolicy:
    policy = objects.policy_object(missing.policy)
    if missing.nearest is not None:
        policy = replace(policy, differs=missing.differs)
    if missing.gone is None:
        return policy
    return replace(missing.gone.told_of(policy), spi=spi_text(missing.gone.state.spi))


def discarded_while_sending(case: Case) -> Verdict | None:
    """A packet of our own that ends in dst_discard_out: what IPsec gives packets whose SA does not exist yet."""
    drop = case.drop
    if kernel_word.place(drop) != "dst_discard_out" or not kernel_word.gave_no_reason(drop):
        return None
    if kernel_word.way(drop).isdisjoint(SENDING):
        return None
    fact = "the blackhole that IPsec gives packets without an SA; a device that is gone gives it too"
    return kernel_word.likely(drop, Evidence("place", fact))


def state_of_other_interface(case: Case) -> Verdict | None:
    """As out_no_state, where an SA would do but for its if_id. SAs never change theirs."""
    return _but_for(case, "if_id")


def state_of_other_mark_to_send(case: Case) -> Verdict | None:
    """As out_no_state, where an SA would do but for its mark."""
    return _but_for(case, "mark")


def _but_for(case: Case, field: str) -> Verdict | None:
    drop = case.drop
    said = _no_state_said(drop)
    if said is None:
        return None
    missing = missing_state(case)
    if missing is None or missing.nearest is None or missing.differs != (field,):
        return None
    existed = objects.existed(missing.nearest.lifetime.add_time, drop)
    if existed is False or missing.gone is not None:
        return None
    evidence = (said, *taken_evidence(drop, policies_to_send(case)), *missing.evidence)
    culprit = replace(objects.state_object(missing.nearest), differs=(field,))
    if field == "if_id":
        culprit = replace(culprit, policy_if_id=missing.policy.if_id)
    else:
        culprit = replace(culprit, policy_mark=missing.policy.mark)
    fix = fixes.match_if_id(drop) if field == "if_id" else fixes.make_state(drop)
    return Verdict("certain" if existed else "likely", culprit, evidence, fix)


def _no_state_said(drop: Drop) -> Evidence | None:
    note = drop.event.xfrm
    if note is None:
        return None
    if note.lookup is not None and note.lookup.errno in (errno.EREMOTE, errno.EAGAIN):
        name = errno.errorcode[note.lookup.errno]
        return Evidence(
            "probe xfrm_lookup_with_ifid", f"it answered {name}: a policy wants an SA and there is none"
        )
    if note.blackholed and kernel_word.place(drop) in _DISCARDING:
        return Evidence(
            "route of the packet", "the one that leads nowhere, which IPsec gives while there is no SA"
        )
    return None


def _held(case: Case) -> Verdict | None:
    """The queue in which an IPsec policy keeps packets until there is an SA: full, timed out or deleted."""
    drop = case.drop
    if kernel_word.way(drop).isdisjoint(_HELD) or kernel_word.place(drop) not in _FREEING_HELD:
        return None
    if not (kernel_word.gave_no_reason(drop) or drop.reason == "QUEUE_PURGE"):
        return None
    return _no_state(case, Evidence("place", "it waited for an SA, and none came"))


def _leaving_through(drop: Drop) -> XfrmState | None:
    """The SA that was to protect this packet, when it died in the functions that do it."""
    note = drop.event.xfrm
    return _outbound(note) if note is not None and kernel_word.place(drop) in _ENCRYPTING else None


def _outbound(note: XfrmNote) -> XfrmState | None:
    return note.state if note.outbound else None


def _ran_out(state: XfrmState, now: float) -> bool:
    return state.state == "expired" or (state.state == "dead" and bool(limits_reached(state, now)))


def _too_big(drop: Drop) -> int | None:
    """What its route takes, where the packet is longer, may not be cut, and died where that is looked at."""
    note, place, packet = drop.event.xfrm, kernel_word.place(drop), drop.packet
    if note is None or not note.outbound or note.mtu is None or note.check is not None or place is None:
        return None
    if not (kernel_word.gave_no_reason(drop) or drop.reason == "PKT_TOO_BIG"):
        return None
    if place not in _ENCRYPTING | _MEASURING | flow.XFRM_INTERFACE_SENDS:
        return None
    mtu = max(note.mtu, _SMALLEST_IPV6_MTU) if packet.family == 6 else note.mtu
    return mtu if _may_not_be_cut(drop) and packet.length > mtu else None


def _may_not_be_cut(drop: Drop) -> bool:
    raw = drop.event.packet
    return drop.packet.family == 6 or (len(raw) > 6 and raw[0] >> 4 == 4 and bool(raw[6] & _DONT_FRAGMENT))


def _about(case: Case, state: XfrmState, evidence: tuple[Evidence, ...]) -> Verdict:
    culprit = replace(objects.state_object(state), oseq=state.oseq, limits=_limits(state))
    fix = (*fixes.renew(case.drop, state), *fixes.ask_ike(case.drop, case.host))
    return Verdict("certain", culprit, evidence, fix)


def _limits(state: XfrmState) -> culprits.Limits:
    life = state.lifetime
    return culprits.Limits(life.hard_bytes, life.hard_packets, life.hard_add_seconds, life.hard_use_seconds)
