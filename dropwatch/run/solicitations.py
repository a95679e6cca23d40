"""Questions for a neighbour, and answers, that something here threw away: packets that wait for them die later."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from dropwatch.host.host import Host
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Decision, Drop, Finding
from dropwatch.packet.arp import arp_addresses, is_reply
from dropwatch.packet.discovery import ADVERTISEMENT, SOLICITATION, discovery_message

UNRESOLVED, ANSWER_LOST = "neighbour.unresolved", "neighbour.answer-lost"
_REMEMBERED = 1024
_LONGEST_NS = (
    60_000_000_000  # a packet waits for seconds: three questions, a second apart, unless somebody set more
)
_Key = tuple[int, Address]  # netns inode, the neighbour


@dataclass(frozen=True, slots=True)
class _Kept:
    """When it died, and the finding of it. Of an answer to whom it was sent."""

    at_ns: int
    finding: Finding
    answered: Address | None


class Solicitations:
    """Remembers the last that died for each neighbour. Times are the packets'."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    def take(self, finding: Finding) -> None:
        """Any finding: of one that is a question or an answer is kept what did it."""
        if finding.cause_id.startswith("benign."):
            return
        event = finding.drop.event
        for neighbour, answered in _neighbours(finding.drop):
            self._kept[event.netns, neighbour] = _Kept(event.monotonic_ns, finding, answered)
            self._kept.move_to_end((event.netns, neighbour))
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)

    def is_any(self, inode: int) -> bool:
        """Whether any is remembered of that namespace."""
        return any(netns == inode for netns, _ in self._kept)

    def explained(self, finding: Finding, hops: Iterable[Address]) -> Finding:
        """The finding of a packet that waited for one of these, led by what threw away the question or the answer.

        An answer to this host says that the next hop does answer. It is `likely` all the same: of several questions one
        may have gone unanswered, and nobody can tell whether a question would have been answered.
        """
        event = finding.drop.event
        for hop in hops:
            kept = self._kept.get((event.netns, hop))
            if kept is not None and 0 <= event.monotonic_ns - kept.at_ns <= _LONGEST_NS:
                lost = _is_answer(kept, finding.drop)
                led_by = (_led(kept, hop, lost), *finding.led_by)
                finding = replace(finding, confidence="likely", led_by=led_by)
                return _of_answer(finding, kept.finding, hop) if lost else finding
        return finding


def _is_answer(kept: _Kept, waited: Drop) -> bool:
    """And to this host: it came to the address that sends, or by the interface that the packet waited at."""
    event = waited.event
    here = kept.answered == waited.packet.saddr or kept.finding.drop.event.ifindex == event.ifindex
    return kept.answered is not None and here


def _of_answer(finding: Finding, lost: Finding, hop: Address) -> Finding:
    """What is to be done is what lets the answer through."""
    title = f"the reply of the next hop {hop} was dropped here"
    return replace(finding, cause_id=ANSWER_LOST, title=title, fix=lost.fix or finding.fix)


def _led(kept: _Kept, hop: Address, is_answer: bool) -> Decision:
    finding, culprit = kept.finding, kept.finding.culprit
    by = f"by `{culprit.text}`" if culprit is not None else f"in {finding.drop.where.frame.function}"
    seen = (f"{finding.cause_id} ({finding.confidence}) dropped it before this packet was dropped",)
    what = "its reply" if is_answer else "the request for it, or the reply,"
    return Decision(f"waited for {hop}: {what} was dropped {by}", finding.confidence, culprit, seen)


def gateway(host: Host, drop: Drop) -> Address | None:
    """The next hop of a packet, by the routes of today; None where that is the destination itself."""
    packet, event = drop.packet, drop.event
    if packet.daddr is None:
        return None
    route = host.route_back(event.netns, packet.daddr, event.mark, event.monotonic_ns)
    return ip_address(route.gateway) if route is not None and route.gateway else None


def _neighbours(drop: Drop) -> Iterable[tuple[Address, Address | None]]:
    """Whose hardware address it asks for or tells, and of an answer whom it tells. Of a question of ARP both ends, of
    which one is this host.
    """
    event = drop.event
    if drop.packet.proto == "arp":
        ends = arp_addresses(event)
        return [ends] if len(ends) == 2 and is_reply(event) else [(end, None) for end in ends]
    if drop.packet.icmp_type not in (SOLICITATION, ADVERTISEMENT):
        return []
    message = discovery_message(drop)
    if message is None or message.target is None:
        return []
    return [(message.target, drop.packet.daddr if message.is_solicited else None)]
