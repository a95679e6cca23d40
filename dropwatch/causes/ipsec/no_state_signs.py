"""Signs of a packet that came in and that no SA fits."""

from dataclasses import replace

from dropwatch.causes.delay import delay
from dropwatch.causes.ipsec import comparison, deleted_state, fixes, flow, objects, words
from dropwatch.causes.ipsec.case import Case, config, if_unchanged, once
from dropwatch.causes.ipsec.nearest_state import Near, Wanted, candidates, nearest
from dropwatch.causes.ipsec.states_then import deleted_since, may_be_newer, of_the_drop, pinned_by
from dropwatch.causes.ipsec.xfrm_input import noted
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.host.ipsec.text import state_line
from dropwatch.model.culprits import Culprit
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Confidence, Drop, Evidence, Verdict
from dropwatch.model.ipsec import XfrmState

_SHOWN, _CHANGED_SHOWN = 3, 16
_GARBAGE = (
    "an SA between these hosts checks no integrity: this may be what it decrypted with a wrong key, "
    "and no IPsec at all"
)


def no_state(case: Case) -> Verdict | None:
    """The kernel found no SA for this packet: it called xfrm_audit_state_notfound, or counted XfrmInNoStates.

    That is certain. Which SAs come near is read after the drop, and says so; which SA it was for, and that it was
    deleted, whydrop saw itself.
    """
    drop, search = case.drop, _search(case)
    if search is None or _only_the_mark(search, drop):
        return None
    near, gone = search.near, search.gone
    evidence = [search.said, *_deleted(search), *_present(case, search)]
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
    if gone is not None and not _is_replaced(search):
        return verdict
    return if_unchanged(case, verdict, pinned_by(case, near[0].state) if near else "SAs")


def state_of_other_mark(case: Case) -> Verdict | None:
    """No SA was found, and the one that it was for has a mark which the packet lacks. An SA's mark never changes, and
    its addresses only by a migration: when the SA is older than the drop, that leaves no other explanation.
    """
    drop, search = case.drop, _search(case)
    if search is None or not _only_the_mark(search, drop):
        return None
    state = search.near[0].state
    confidence: Confidence = "certain" if objects.existed(state.lifetime.add_time, drop) else "likely"
    rows = _rows(search, state)
    evidence = (search.said, *_present(case, search))
    culprit = replace(
        objects.state_object(state),
        differs=comparison.differing(rows),
        packet_mark=search.wanted.mark if search.wanted else None,
    )
    if search.vti is not None:
        evidence = (*evidence, words.vti_key(search.vti.ikey))
    fix = fixes.fit_the_mark(state) if search.vti is None else fixes.fit_the_key(state)
    verdict = Verdict(confidence, culprit, evidence, fix)
    return if_unchanged(case, verdict, pinned_by(case, state)) if confidence == "certain" else verdict


@dataclass(frozen=True, slots=True)
class _Search:
    """What the kernel looked for and did not find, and what whydrop knows about it.

    `near` are SAs of the time of the drop; `later` are those that would fit, and were added after it.
    """

    said: Evidence
    wanted: Wanted | None
    config: XfrmConfig | None
    near: tuple[Near, ...]
    gone: deleted_state.Gone | None
    later: tuple[Near, ...] = ()
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
    gone = None
    if wanted is not None:
        gone = deleted_state.received_by(drop, case.host, wanted.daddr, wanted.proto, wanted.spi, wanted.mark)
    near: tuple[Near, ...] = ()
    later: tuple[Near, ...] = ()
    if wanted is not None and there is not None:
        read = tuple(candidates(wanted, there))
        then = read if gone is not None else of_the_drop(case, read)
        near = nearest(wanted, then)
        if then is not read:  # the kernel would have found one that fits
            closest = nearest(wanted, then, _CHANGED_SHOWN, lambda state: may_be_newer(case, state))
            near = tuple(one for one in closest if one.differences)[:_SHOWN]
        later = tuple(one for one in nearest(wanted, read) if not one.differences and one not in near)
    return _Search(said, wanted, there, near, gone, later, vti)


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


def _present(case: Case, search: _Search) -> list[Evidence]:
    """The nearest SA beside the packet, and in what the next ones differ."""
    drop, there, near = case.drop, search.config, (*search.near, *search.later)
    if there is None:
        return [Evidence("netlink xfrm", "the SAs of this namespace could not be read")]
    when = delay(drop, there.read_at_ns)
    if not there.states and not near:
        return [Evidence("netlink xfrm", f"{when}: this namespace has no SA")]
    alone = len(there.states) == len(near) == 1
    count = {0: "no SA", 1: "one SA"}.get(len(there.states), f"{len(there.states)} SAs")
    listed = "" if not near else ":" if alone else "; nearest first:"
    evidence = [Evidence("netlink xfrm", f"{when}: this namespace has {count}{listed}")]
    for at, one in enumerate(near):
        differs = "; ".join(one.differences.values()) or words.fits_now(one.state, drop.time)
        is_gone = one.state in deleted_since(case)
        source = "probe __xfrm_state_delete" if is_gone else "netlink xfrm"
        since = "; deleted since" if is_gone else ""
        evidence.append(Evidence(source, f"{state_line(one.state)}: {differs}{since}"))
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
        title = "no SA for this packet: this host has replaced it"
        return title, "this host rekeyed, and the sender still uses the old SA"
    if gone is not None and gone.relation == "expired":
        return (
            "no SA for this packet: it expired here",
            "the SA expired here before a new one was set up, and the sender still uses it",
        )
    if gone is not None:
        return (
            "no SA for this packet: it was deleted here",
            "this host deleted the SA, and the sender was not told, or the message was lost",
        )
    if first is None:
        return None, None
    if first.differences.keys() & {"dir"} and not first.differences.keys() & {"spi", "dst", "proto"}:
        return "the SA with this SPI is outbound only", None
    if first.differences.keys() == {"spi"}:
        return None, ("one end rekeyed or restarted and the other did not, or the SPI was mistyped")
    if first.differences.keys() == {"dst"}:
        return (
            None,
            "a NAT changed the destination in transit, or the SA is for another address of this host",
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
