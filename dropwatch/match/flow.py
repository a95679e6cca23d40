"""The whole filter, decided in user space: does this drop fit what the user asked for, and how."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace

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
        if not (_fits_place(drop, wanted) and (not wanted.ifaces or self._fits_interface(drop))):
            return None
        fits = _fits_flow(packet, wanted)
        if packet.more_fragments and packet.fragment_offset == 0:
            self._remember_first(drop, fits)
        if fits:
            return _DIRECT
        return (
            self._as_fragment(drop)
            or self._as_quote(drop)
            or _as_tunnel(packet, wanted)
            or (self._ipsec(drop, wanted) if _is_ipsec(packet) else None)
        )

    def _fits_interface(self, drop: Drop) -> bool:
        """The interface it was on when it died, or the one it had come in through."""
        wanted, event = self._wanted.ifaces, drop.event
        if drop.iface is not None and drop.iface.name in wanted:
            return True
        came_through = event.skb_iif and event.netns and event.skb_iif != event.ifindex
        return bool(came_through) and self._interface_name(event.netns, event.skb_iif) in wanted

    def _as_fragment(self, drop: Drop) -> MatchResult | None:
        """A later fragment has no ports: it fits when the rest does, unless its first fragment did not."""
        packet = drop.packet
        if not packet.fragment_offset or not _has_ports(packet) or not _fits_hosts(packet, self._wanted):
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
        if _fits_flow(quoted, self._wanted):
            return MatchResult("icmp-quote", f"{error} that quotes {_flow(quoted)}")
        deeper = next((found for found in _inside(quoted) if _fits_flow(found, self._wanted)), None)
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

    def _remember_first(self, drop: Drop, fits: bool) -> None:
        self._first_fits[_datagram(drop)] = fits
        if len(self._first_fits) > _MOST_DATAGRAMS:
            self._first_fits.popitem(last=False)


def _fits_place(drop: Drop, wanted: Filter) -> bool:
    """Namespace, mark and reason: what is no property of the flow."""
    mark, reason = drop.packet.mark, drop.reason.upper() if drop.reason is not None else None
    return (
        (not wanted.netns or (drop.netns is not None and drop.netns.inode in wanted.netns))
        and (not wanted.marks or any(mark & mask == value & mask for value, mask in wanted.marks))
        and (not wanted.reasons or reason in wanted.reasons)
        and reason not in wanted.not_reasons
    )


def _fits_flow(packet: Packet, wanted: Filter) -> bool:
    return _fits_hosts(packet, wanted) and _fits_ports(packet, wanted)


def _fits_hosts(packet: Packet, wanted: Filter) -> bool:
    return (
        (not wanted.families or packet.family in wanted.families)
        and (not wanted.protos or _proto_number(packet) in wanted.protos)
        and (not wanted.saddr or _within(packet.saddr, wanted.saddr))
        and (not wanted.daddr or _within(packet.daddr, wanted.daddr))
        and (not wanted.host or _within(packet.saddr, wanted.host) or _within(packet.daddr, wanted.host))
    )


def _fits_ports(packet: Packet, wanted: Filter) -> bool:
    return (
        (not wanted.sport or _among(packet.sport, wanted.sport))
        and (not wanted.dport or _among(packet.dport, wanted.dport))
        and (not wanted.port or _among(packet.sport, wanted.port) or _among(packet.dport, wanted.port))
    )


def _within(address: Address | None, networks: tuple[Network, ...]) -> bool:
    return address is not None and any(_contains(network, address) for network in networks)


def _contains(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _among(port: int | None, ranges: tuple[PortRange, ...]) -> bool:
    return port is not None and any(low <= port <= high for low, high in ranges)


def _has_ports(packet: Packet) -> bool:
    return _proto_number(packet) in protocols.WITH_PORTS


def _proto_number(packet: Packet) -> int | None:
    return protocols.number(packet.proto) if packet.proto is not None else None


def _as_tunnel(packet: Packet, wanted: Filter) -> MatchResult | None:
    """The packet inside, or inside that one; an ICMP error in a tunnel may quote the flow as well."""
    around, quoting = packet, ""
    for found in _inside(packet) if packet.inner is not None else ():
        if around.quoted is not None:
            quoting = "an error that quotes "
        if _fits_flow(found, wanted):
            return MatchResult("tunnel", f"{packet.proto} packet around {quoting}{_flow(found)}")
        around = found
    return None


def _inside(packet: Packet) -> Iterator[Packet]:
    """The packets in it, from the outermost on: what it carries or quotes, and what that does."""
    found = packet.inner or packet.quoted
    while found is not None:
        yield found
        found = found.inner or found.quoted


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
