"""The whole filter, decided in user space: does this drop fit what the user asked for, and how."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from dropwatch.match import expression
from dropwatch.match.translation import match_translated
from dropwatch.match.waiting import match_waiting
from dropwatch.model.drop import Address, Drop, MatchResult, Packet
from dropwatch.model.filter import Filter, Network, PortRange
from dropwatch.names import protocols

IpsecMatch = Callable[[Drop, Filter], MatchResult | None]
InterfaceName = Callable[[int, int], str | None]

_DIRECT = MatchResult("direct")
_MOST_DATAGRAMS = 4096

# What identifies a datagram in pieces: namespace, source, destination, protocol, fragment id.
_Datagram = tuple[int, Address | None, Address | None, str | None, int | None]


class FlowMatcher:
    """One filter, and what it has to remember: the first fragments that died, which have the ports of the later.

    `ipsec` is asked about IPsec packets that do not fit by themselves; `interface_name` for the name behind a
    network namespace and an index.
    """

    def __init__(self, wanted: Filter, ipsec: IpsecMatch, interface_name: InterfaceName) -> None:
        self._wanted = wanted
        self._ipsec = ipsec
        self._interface_name = interface_name
        self._first_fits: OrderedDict[_Datagram, bool] = OrderedDict()

    def match(self, drop: Drop) -> MatchResult | None:
        """How the drop fits the filter, None when it does not.

        What is not known never fits a kind that was asked for, and always passes an exclusion. The causes are
        not decided here: nobody knows them yet.
        """
        wanted, packet = self._wanted, drop.packet
        if not self._fits_place(drop):
            return None
        fits = self._fits(drop, packet)
        if packet.more_fragments and packet.fragment_offset == 0:
            self._remember_first(drop, fits)
        if fits:
            return _DIRECT
        return (
            self._as_fragment(drop)
            or self._as_quote(drop)
            or match_translated(drop, self._fits_by_connection)
            or match_waiting(drop, self._fits_by_connection)
            or self._as_tunnel(drop)
            or (self._ipsec(drop, wanted) if _is_ipsec(packet) else None)
        )

    def _fits(self, drop: Drop, packet: Packet) -> bool:
        """The flow of the drop's packet, or of one in it."""
        asked = self._wanted.expression
        return self._fits_options(packet) and (asked is None or expression.fits(asked, drop, packet))

    def _fits_by_connection(self, packet: Packet) -> bool:
        """What the drop's packet was before its translation, or was to get: there are no bytes of it."""
        asked = self._wanted.expression
        return self._fits_options(packet) and (
            asked is None or expression.possible(asked.tree, packet) is True
        )

    def _fits_options(self, packet: Packet) -> bool:
        wanted = self._wanted
        return (
            all(_of_hosts(packet, wanted))
            and all(_of_ports(packet, wanted))
            and not (wanted.but and any(chain(_of_hosts(packet, wanted.but), _of_ports(packet, wanted.but))))
        )

    def _fits_place(self, drop: Drop) -> bool:
        """Namespace, mark, reason and interface: what is no property of the flow."""
        wanted, reason = self._wanted, drop.reason.upper() if drop.reason is not None else None
        return (
            all(self._of_place(drop, wanted))
            and not (wanted.but and any(self._of_place(drop, wanted.but)))
            and (not wanted.reasons or reason in wanted.reasons)
            and reason not in wanted.not_reasons
        )

    def _of_place(self, drop: Drop, wanted: Filter) -> Iterator[bool]:
        """Of each kind that is in the filter: does it fit."""
        if wanted.netns:
            yield drop.netns is not None and drop.netns.inode in wanted.netns
        if wanted.marks:
            yield any(drop.packet.mark & mask == value & mask for value, mask in wanted.marks)
        if wanted.ifaces:
            yield self._fits_interface(drop, wanted.ifaces)

    def _fits_interface(self, drop: Drop, wanted: tuple[str, ...]) -> bool:
        """The interface it was on when it died, or the one it had come in through."""
        event = drop.event
        if drop.iface is not None and drop.iface.name in wanted:
            return True
        came_through = event.skb_iif and event.netns and event.skb_iif != event.ifindex
        return bool(came_through) and self._interface_name(event.netns, event.skb_iif) in wanted

    def _as_fragment(self, drop: Drop) -> MatchResult | None:
        """A later fragment has no ports: it fits when the rest does, unless its first fragment did not."""
        packet = drop.packet
        if not packet.fragment_offset or not _has_ports(packet) or not self._may_fit(packet):
            return None
        first = self._first_fits.get(_datagram(drop))
        if first is False:
            return None
        what = f"a later fragment (id {packet.fragment_id}, offset {packet.fragment_offset}) has no ports"
        told = (
            "those of its first fragment fit"
            if first
            else "its first fragment was not seen, only the rest fits"
        )
        return MatchResult("fragment", f"{what}; {told}")

    def _as_quote(self, drop: Drop) -> MatchResult | None:
        """An ICMP error quotes the packet it is about as that was sent; it may be one that carries the flow."""
        packet, quoted = drop.packet, drop.packet.quoted
        if quoted is None:
            return None
        error = f"{packet.proto} error (type {packet.icmp_type} code {packet.icmp_code})"
        if self._fits(drop, quoted):
            return MatchResult("icmp-quote", f"{error} that quotes {_flow(quoted)}")
        deeper = next((found for found in expression.carried(quoted) if self._fits(drop, found)), None)
        if deeper is not None:
            return MatchResult(
                "icmp-quote", f"{error} that quotes a {quoted.proto} packet around {_flow(deeper)}"
            )
        if not _is_ipsec(quoted):
            return None
        sent = replace(drop, packet=quoted, where=replace(drop.where, direction=None))
        carried = self._ipsec(sent, self._wanted)
        return (
            MatchResult("icmp-quote", f"{error} that quotes {_flow(quoted)}: {carried.why}")
            if carried
            else None
        )

    def _as_tunnel(self, drop: Drop) -> MatchResult | None:
        """The packet inside, or inside that one; an ICMP error in a tunnel may quote the flow as well."""
        packet = around = drop.packet
        quoting = ""
        for found in expression.carried(packet) if packet.inner is not None else ():
            if around.quoted is not None:
                quoting = "an error that quotes "
            if self._fits(drop, found):
                return MatchResult("tunnel", f"{packet.proto} packet around {quoting}{_flow(found)}")
            around = found
        return None

    def _may_fit(self, packet: Packet) -> bool:
        """A later fragment: as far as it tells."""
        wanted = self._wanted
        return (
            all(_of_hosts(packet, wanted))
            and not (wanted.but and any(_of_hosts(packet, wanted.but)))
            and (
                wanted.expression is None or expression.possible(wanted.expression.tree, packet) is not False
            )
        )

    def _remember_first(self, drop: Drop, fits: bool) -> None:
        self._first_fits[_datagram(drop)] = fits
        if len(self._first_fits) > _MOST_DATAGRAMS:
            self._first_fits.popitem(last=False)


def _of_hosts(packet: Packet, wanted: Filter) -> Iterator[bool]:
    """Of each kind that is in the filter, but for ports: does it fit."""
    if wanted.families:
        yield packet.family in wanted.families
    if wanted.protos:
        yield _proto_number(packet) in wanted.protos
    if wanted.icmp_types:
        yield (_proto_number(packet), packet.icmp_type) in wanted.icmp_types
    if wanted.saddr:
        yield _within(packet.saddr, wanted.saddr)
    if wanted.daddr:
        yield _within(packet.daddr, wanted.daddr)
    if wanted.host:
        yield _within(packet.saddr, wanted.host) or _within(packet.daddr, wanted.host)


def _of_ports(packet: Packet, wanted: Filter) -> Iterator[bool]:
    if wanted.sport:
        yield _among(packet.sport, wanted.sport)
    if wanted.dport:
        yield _among(packet.dport, wanted.dport)
    if wanted.port:
        yield _among(packet.sport, wanted.port) or _among(packet.dport, wanted.port)


def _within(address: Address | None, networks: tuple[Network, ...]) -> bool:
    return address is not None and any(_contains(network, address) for network in networks)


def _contains(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _among(port: int | None, ranges: tuple[PortRange, ...]) -> bool:
    return port is not None and any(low <= port <= high for low, high in ranges)


def _has_ports(packet: Packet) -> bool:
    return _proto_number(packet) in protocols.WITH_PORTS


def _proto_number(packet: Packet) -> int | None:
    return protocols.number_or_ethertype(packet.proto) if packet.proto is not None else None


def _flow(packet: Packet) -> str:
    source = f"{packet.saddr} port {packet.sport}" if packet.sport is not None else f"{packet.saddr}"
    destination = f"{packet.daddr} port {packet.dport}" if packet.dport is not None else f"{packet.daddr}"
    return f"{packet.proto} {source} > {destination}"


def _is_ipsec(packet: Packet) -> bool:
    """ESP, AH, IPComp, and ESP in UDP or TCP, which shows the SPI behind their header."""
    return _proto_number(packet) in protocols.IPSEC or packet.spi is not None


def _datagram(drop: Drop) -> _Datagram:
    packet = drop.packet
    return (drop.event.netns, packet.saddr, packet.daddr, packet.proto, packet.fragment_id)
