"""A rule of `ip rule` sent the packet to a table of its own, where it found, or did not find, its route."""

from collections.abc import Iterator

from dropwatch.causes import pinned
from dropwatch.causes.past.marked import who_marked
from dropwatch.causes.routing.policy import Asked, asked_of, who_chose
from dropwatch.causes.routing.refused import answer_again
from dropwatch.host.host import Host
from dropwatch.host.rules import table_name
from dropwatch.model.drop import Decision, Drop, Verdict
from dropwatch.model.forwarding import Route

_FAMILIES = frozenset({"routing", "neighbour"})
_BACK = "routing.reverse-path"


def decisions(drop: Drop, host: Host, cause_id: str | None, verdict: Verdict) -> Iterator[Decision]:
    """Of what died of its route or on the way along it. Of the way back where that is what was wrong."""
    if cause_id is None or cause_id.partition(".")[0] not in _FAMILIES:
        return
    asked = asked_of(drop, host)
    if asked is None:
        return
    event = drop.event
    if cause_id == _BACK:
        if asked.saddr is None:
            return
        answer = host.route_back(event.netns, asked.saddr, event.mark, event.monotonic_ns)
        asked = Asked(asked.saddr, asked.daddr, "", asked.mark)
        what = "the way back is that of"
    else:
        answer = answer_again(drop, host)
        what = "was routed by"
    culprit = verdict.culprit
    table = answer.table if answer is not None else None
    if isinstance(culprit, Route) and culprit.rule is None:
        table = culprit.table
    if table is None:
        return
    known = host.rules(event.netns, asked.daddr.version, event.monotonic_ns)
    chosen = who_chose(table, known.rules, asked) if known is not None else None
    if chosen is None:
        return
    changed = pinned.doubts(drop, host, pinned.Source("routes", None))
    sure = chosen.is_sure and not changed
    rule = chosen.rule
    if rule.mark is not None and asked.mark:
        yield from who_marked(drop, host, asked.mark)
    yield Decision(
        f"{what} table {table_name(table)}, which this rule chose",
        "certain" if sure else "likely",
        Route(f"ip rule {rule.text}", "lookup", table=table, rule=rule.priority),
        ("netlink route and rule, after the drop", *(one.text for one in changed)),
    )
