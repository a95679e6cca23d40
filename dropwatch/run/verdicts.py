"""Verdicts are remembered by what they rest on: equal drops are judged once, while the host would say the same."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Verdict
from dropwatch.packet import payload

if TYPE_CHECKING:
    from dropwatch.causes.cause import Cause

Diagnosis = tuple["Cause | None", Verdict]

_REMEMBERED = 1024
# All that a judge can see of a drop but its time and its bytes.
_of_event = attrgetter(
    *("source", "location", "reason", "protocol", "length", "mark", "ifindex", "ifname", "skb_iif", "netns"),
    *("pid", "comm", "carrier", "stack", "notes", "netfilter", "socket", "past"),
)
_of_drop = attrgetter("packet", "iface", "netns", "reason", "process", "task")


class _Known(NamedTuple):
    """What is so of drops of these times (monotonic)."""

    since_ns: int
    until_ns: int
    diagnosis: Diagnosis


class Verdicts:
    """Judges with `judge`, and asks `host` how long its answers hold: none is given to a drop that came after they were
    read. What looks at the bytes of a packet is of that packet alone, and so is IPsec: its evidence tells ages.
    """

    def __init__(self, judge: Callable[[Drop, Host], Diagnosis], host: Host) -> None:
        self._judge, self._host = judge, host
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()

    def of(self, drop: Drop) -> Diagnosis:
        event = drop.event
        if event.xfrm is not None:
            return self._judge(drop, self._host)
        began = self._host.seen.last_change("namespace", event.netns)
        sort = (began, _of_event(event), _of_drop(drop))
        known = self._known.get(sort)
        if known is not None and known.since_ns <= event.monotonic_ns <= known.until_ns:
            self._known.move_to_end(sort)
            return known.diagnosis
        return self._judged(drop, sort)

    def _judged(self, drop: Drop, sort: Hashable) -> Diagnosis:
        freshness, looks, time_ns = self._host.freshness, payload.looks(), drop.event.monotonic_ns
        freshness.start()
        diagnosis = self._judge(drop, self._host)
        cause, _ = diagnosis
        of_this_packet = payload.looks() != looks or (cause is not None and cause.id.startswith("ipsec."))
        if freshness.changed_ns <= time_ns <= freshness.until_ns and not of_this_packet:
            self._known[sort] = _Known(time_ns, freshness.until_ns, diagnosis)
            self._known.move_to_end(sort)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return diagnosis
