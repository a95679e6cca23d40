"""Questions for a neighbour, and answers, that something here threw away: packets that wait for them die later."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from dropwatch.host.host import Host
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Decision, Drop, Finding
from dropwatch.packet.arp import arp_addresses
from dropwatch.packet.discovery import ADVERTISEMENT, SOLICITATION, discovery_message

UNRESOLVED = "neighbour.unresolved"
_REMEMBERED = 1024
_LONGEST_NS = (
    60_000_000_000  # a packet waits for seconds: three questions, a second apart, unless somebody set more
)
_Key = tuple[int, Address]  # netns inode, the neighbour


@dataclass(frozen=True, slots=True)
class _Kept:
    """When it died, and the finding of it."""

    at_ns: int
    finding: Finding


class Solicitations:
    """Remembers the last that died for each neighbour. Times are the packets'."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    def take(self, finding: Finding) -> None:
        """Any finding: of one that is a question or an answer is kept what did it."""
        if finding.cause_id.startswith("benign."):
            return
        event = finding.drop.event
        for neighbour in _neighbours(finding.drop):
            self._kept[event.netns, neighbour] = _Kept(event.monotonic_ns, finding)
            self._kept.move_to_end((event.netns, neighbour))
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)

    def is_any(self, inode: int) -> bool:
        """Whether any is remembered of that namespace."""
        return any(netns == inode for netns, _ in self._kept)

    def explained(self, finding: Finding, hops: Iterable[Address]) -> Finding:
        """The finding of a packet that waited for one of these, led by what threw away the question or the answer.

        That the next hop did not answer is `likely` then: nobody can tell whether it would have.
        """
        event = finding.drop.event
        for hop in hops:
            kept = self._kept.get((event.netns, hop))
            if kept is not None and 0 <= event.monotonic_ns - kept.at_ns <= _LONGEST_NS:
                return replace(finding, confidence="likely", led_by=(_led(kept, hop), *finding.led_by))
        return finding


def _led(kept: _Kept, hop: Address) -> Decision:
    finding, culprit = kept.finding, kept.finding.culprit
    by = f"by `{culprit.text}`" if culprit is not None else f"in {finding.drop.where.frame.function}"
    seen = (f"{finding.cause_id} ({finding.confidence}) dropped it before this packet was dropped",)
    text = f"waited for {hop}: the request for it, or the reply, was dropped {by}"
    return Decision(text, finding.confidence, culprit, seen)


def gateway(host: Host, drop: Drop) -> Address | None:
    """The next hop of a packet, by the routes of today; None where that is the destination itself."""
    packet, event = drop.packet, drop.event
    if packet.daddr is None:
        return None
    route = host.route_back(event.netns, packet.daddr, event.mark, event.monotonic_ns)
    return ip_address(route.gateway) if route is not None and route.gateway else None


def _neighbours(drop: Drop) -> Iterable[Address]:
    """Whose hardware address it asks for or tells: of ARP both ends, of which one is this host."""
    if drop.packet.proto == "arp":
        return arp_addresses(drop.event)
    if drop.packet.icmp_type not in (SOLICITATION, ADVERTISEMENT):
        return []
    message = discovery_message(drop)
    return [message.target] if message is not None and message.target is not None else []
