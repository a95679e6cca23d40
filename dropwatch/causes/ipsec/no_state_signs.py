"""Signs of a packet that came in and that no SA fits."""

from dataclasses import replace

from dropwatch.causes.ipsec import comparison, deleted_state, fixes, flow, objects, words
from dropwatch.causes.ipsec.case import Case, config, if_unchanged, once
from dropwatch.causes.ipsec.nearest_state import Near, Wanted, nearest
from dropwatch.causes.ipsec.xfrm_input import noted
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.host.ipsec.text import state_line
from dropwatch.model.culprits import Culprit
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Confidence, Drop, Evidence, Verdict
from dropwatch.model.ipsec import XfrmState

_GARBAGE = "an SA of these hosts checks no integrity: this may be what it decrypted with a wrong key, no IPsec at all"


def no_state(case: Case) -> Verdict | None:
    """The kernel found no SA for this packet: it called xfrm_audit_state_notfound, or counted XfrmInNoStates.

    That is certain. Which SAs come near is read after the drop, and says so; which SA it was for, and that it was
    deleted, whydrop saw itself.
    """
    drop, search = case.drop, _search(case)
    if search is None or _only_the_mark(search, drop):
        return None
    near, gone = search.near, search.gone
    evidence = [search.said, *_deleted(search), *_present(drop, search)]
    title, story = _story(search)
    if story is not None:
        evidence.append(words.story(story))
    culprit: Culprit | None = None
    if gone is not None:
        culprit = gone.told_of(replace(objects.state_object(gone.state), differs=()))
    elif near:
        culprit = _nearest_culprit(near[0])
    fix = (*fixes.set_up_again(drop), *fixes.ask_ike(case.host))
    if _may_be_decrypted_garbage(search):
        evidence.append(Evidence("netlink xfrm", _GARBAGE))
        return Verdict("likely", culprit, tuple(evidence), fix, title)
    verdict = Verdict("certain", culprit, tuple(evidence), fix, title)
    return if_unchanged(case, verdict, "SAs") if gone is None or _is_replaced(search) else verdict


def state_of_other_mark(case: Case) -> Verdict | None:
    """No SA was found, and the one that it was for has a mark which the packet lacks. An SA's mark never changes:
    when the SA is older than the drop, that leaves no other explanation.
    """
    drop, search = case.drop, _search(case)
    if search is None or not _only_the_mark(search, drop):
        return None
    state = search.near[0].state
    confidence: Confidence = "certain" if objects.existed(state.lifetime.add_time, drop) else "likely"
    rows = _rows(search, state)
    evidence = (search.said, *_present(drop, search))
    culprit = replace(
        objects.state_object(state),
        differs=comparison.differing(rows),
        packet_mark=search.wanted.mark if search.wanted else None,
    )
    if search.vti is not None:
        evidence = (*evidence, words.vti_key(search.vti.ikey))
    fix = fixes.fit_the_mark(state) if search.vti is None else fixes.fit_the_key(state)
    return Verdict(confidence, culprit, evidence, fix)


@dataclass(frozen=True, slots=True)
class _Search:
    """What the kernel looked for and did not find, and what whydrop knows about it."""

    said: Evidence
    wanted: Wanted | None
    config: XfrmConfig | None
    near: tuple[Near, ...]
    gone: deleted_state.Gone | None
    vti: IpsecInterface | None = None


@once
def _search(case: Case) -> _Search | None:
    drop = case.drop
    note = noted(drop)
    if note is None or drop.packet.proto in words.IP_IN_IP:
        return None
    if not ("notfound" in note.audit or "XfrmInNoStates" in note.counters):
        return None
    source = "probe xfrm_audit_state_notfound" if "notfound" in note.audit else "counter XfrmInNoStates"
    spi = note.spi if note.spi is not None else drop.packet.spi
    said = Evidence(source, f"no SA for this packet: {words.packet(drop, spi)}")
    vti = flow.vti_of(case)
    wanted = _wanted(drop, spi, drop.packet.mark if vti is None else vti.ikey)
    there = config(case)
    near = nearest(wanted, there) if wanted is not None and there is not None else ()
    gone = None
    if wanted is not None:
        gone = deleted_state.received_by(drop, case.host, wanted.daddr, wanted.proto, wanted.spi, wanted.mark)
    return _Search(said, wanted, there, near, gone, vti)


def _wanted(drop: Drop, spi: int | None, mark: int) -> Wanted | None:
    packet = drop.packet
    if spi is None or packet.saddr is None or packet.daddr is None:
        return None
    return Wanted(packet.saddr, packet.daddr, words.ipsec_proto(packet), spi, mark)


def _only_the_mark(search: _Search, drop: Drop) -> bool:
    """The SA is there but for the mark, and was not added after the drop."""
    if not search.near or search.gone is not None:
        return False
    first = search.near[0]
    differs = first.differences.keys()
    return (
        "mark" in differs
        and differs <= {"mark", "src"}
        and objects.existed(first.state.lifetime.add_time, drop) is not False
    )


def _deleted(search: _Search) -> tuple[Evidence, ...]:
    return search.gone.evidence() if search.gone is not None else ()


def _present(drop: Drop, search: _Search) -> list[Evidence]:
    """The nearest SA beside the packet, and in what the next ones differ."""
    there, near = search.config, search.near
    if there is None:
        return [Evidence("netlink xfrm", "the SAs of this namespace could not be read")]
    when = objects.read_later(drop, there)
    if not there.states:
        return [Evidence("netlink xfrm", f"{when} this namespace has no SA at all")]
    count = "one SA" if len(there.states) == 1 else f"{len(there.states)} SAs"
    nearest_first = "; nearest first:" if near else ""
    evidence = [Evidence("netlink xfrm", f"{when} this namespace has {count}{nearest_first}")]
    for at, one in enumerate(near):
        differs = "; ".join(one.differences.values()) or words.fits_now(one.state, drop.time)
        evidence.append(Evidence("netlink xfrm", f"{state_line(one.state)}: {differs}"))
        if not at:
            evidence += comparison.evidence("packet / SA", _rows(search, one.state))
    return evidence


def _rows(search: _Search, state: XfrmState) -> tuple[comparison.Row, ...]:
    wanted = search.wanted
    if wanted is None:
        return ()
    return comparison.with_state(wanted.saddr, wanted.daddr, wanted.proto, wanted.spi, wanted.mark, state)


def _may_be_decrypted_garbage(search: _Search) -> bool:
    """What an SA in transport mode decrypted is looked at again: with a wrong key and no check of integrity, one packet
    in a hundred seems to be ESP or AH once more, with an SPI that nobody gave.
    """
    if search.wanted is None or search.config is None or search.gone is not None:
        return False
    between = search.config.states_by_hosts.get((search.wanted.saddr, search.wanted.daddr), ())
    return any(
        one.mode == "transport" and one.proto == "esp" and not words.checks_integrity(one) for one in between
    )


def _story(search: _Search) -> tuple[str | None, str | None]:
    """A title where whydrop saw what happened to the SA, and what most probably happened."""
    gone, first = search.gone, search.near[0] if search.near else None
    if _is_replaced(search):
        title = "no SA for this packet: this side has replaced it, the sender still uses it"
        return title, "this side rekeyed, the peer still uses the old SA"
    if gone is not None and gone.relation == "expired":
        return (
            "no SA for this packet: it reached its limit here and was deleted",
            "this end's SA ran out before a new one was made, and the sender still uses it",
        )
    if gone is not None:
        return (
            "no SA for this packet: it was deleted here",
            "this end deleted the SA, and the sender was not told or did not hear it",
        )
    if first is None:
        return None, None
    if first.differences.keys() & {"dir"} and not first.differences.keys() & {"spi", "dst", "proto"}:
        return "the SA with this SPI is only for sending", None
    if first.differences.keys() == {"spi"}:
        return None, (
            "one side rekeyed or was restarted and the other was not, or the SPI was typed differently"
        )
    if first.differences.keys() == {"dst"}:
        return (
            None,
            "a NAT changed the destination on the way, or the SA was made for another address of this host",
        )
    return None, None


def _is_replaced(search: _Search) -> bool:
    """The SA that it was for is gone, and a newer one between the same hosts is there."""
    gone, first = search.gone, search.near[0] if search.near else None
    if gone is None or first is None or first.differences.keys() != {"spi"}:
        return False
    return first.state.lifetime.add_time >= gone.state.lifetime.add_time


def _nearest_culprit(near: Near) -> Culprit:
    return replace(objects.state_object(near.state), relation="nearest", differs=tuple(near.differences))
