"""Where in a packet's bytes the headers, the addresses and the checksums are; what is no header is payload.

Bytes may be cut anywhere, and everything in them may be a lie: an outline never points outside of them.
"""

from dataclasses import dataclass, field
from socket import (
    IPPROTO_AH,
    IPPROTO_DSTOPTS,
    IPPROTO_ESP,
    IPPROTO_FRAGMENT,
    IPPROTO_GRE,
    IPPROTO_HOPOPTS,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_IPIP,
    IPPROTO_IPV6,
    IPPROTO_ROUTING,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

Span = tuple[int, int]  # first byte, and the one behind the last

_IPV4, _IPV6, _ARP, _ETHERNET_INSIDE = 0x0800, 0x86DD, 0x0806, 0x6558
_COMP, _DCCP, _UDPLITE, _MOBILITY = 108, 33, 136, 135
_NAT_T, _VXLAN, _GENEVE = 4500, (4789, 8472), 6081
_ETHERNET = 14
_DEEPEST = 6
_ICMP_ERRORS = (3, 4, 5, 11, 12)  # RFC 792: these quote the packet they are about
_ROUTE_OPTIONS = (7, 131, 137)  # IPv4: record route, loose and strict source route
_EXTENSIONS = (IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS, _MOBILITY, IPPROTO_FRAGMENT)
_LINK_LAYER_OPTIONS, _PREFIX_OPTION = (1, 2), 3  # RFC 4861, 4.6
_FIRST_OPTION = {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum in the ones' complement: where it is, and all that it covers (itself too)."""

    at: int
    covers: tuple[Span, ...]


@dataclass(slots=True)
class Outline:
    """`headers` in their order; `addresses` are of 4 (IPv4), 16 (IPv6) or 6 (MAC) bytes; inner checksums come first."""

    headers: list[Span] = field(default_factory=list)
    addresses: list[Span] = field(default_factory=list)
    checksums: list[Checksum] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Where the last header ends."""
        return max((end for _, end in self.headers), default=0)


def outline(data: bytes, protocol: int, spi: int | None = None) -> Outline:
    """`data` begins at the network header, `protocol` is the ethertype (0: look at the bytes).

    What begins with `spi` behind a UDP header is ESP, whatever the ports are.
    """
    walk = _Walk(data, spi)
    if not protocol and data:
        protocol = {4: _IPV4, 6: _IPV6}.get(data[0] >> 4, 0)
    walk.network(protocol, 0, len(data), 0)
    return walk.found


class _Walk:
    def __init__(self, data: bytes, spi: int | None) -> None:
        self.data = data
        self.spi = spi
        self.found = Outline()

    def network(self, ethertype: int, at: int, end: int, depth: int) -> None:
        """For IP the version in the bytes is believed; whoever looks for the packet inside does the same."""
        if depth > _DEEPEST or at >= end:
            return
        if ethertype == _ARP:
            self._arp(at, end)
        elif ethertype in (_IPV4, _IPV6):
            version = self.data[at] >> 4
            if version == 4:
                self._ipv4(at, end, depth)
            elif version == 6:
                self._ipv6(at, end, depth)
            else:
                self._neither(ethertype, at, end)

    def _neither(self, ethertype: int, at: int, end: int) -> None:
        """Called IP, but of no version: what is wrong with it is where its header should be."""
        self._header(at, 20 if ethertype == _IPV4 else 40, end)
        length, first = (4, 12) if ethertype == _IPV4 else (16, 8)
        self._address(at + first, length, end)
        self._address(at + first + length, length, end)

    def _header(self, at: int, length: int, end: int) -> int:
        """Notes a header, cut at the end of the bytes; where the next one begins."""
        behind = min(at + length, end)
        if behind > at:
            self.found.headers.append((at, behind))
        return behind

    def _address(self, at: int, length: int, end: int) -> None:
        if at + length <= end:
            self.found.addresses.append((at, at + length))

    def _number(self, at: int, length: int, end: int) -> int:
        return int.from_bytes(self.data[at : at + length], "big") if at + length <= end else 0

    def _arp(self, at: int, end: int) -> None:
        self._header(at, 28, end)
        for offset, length in ((8, 6), (14, 4), (18, 6), (24, 4)):
            self._address(at + offset, length, end)

    def _ipv4(self, at: int, end: int, depth: int) -> None:
        if end - at < 20:
            self._header(at, end - at, end)
            return
        length, total = max(20, (self.data[at] & 0xF) * 4), self._number(at + 2, 2, end)
        behind = self._header(at, length, end)
        self._address(at + 12, 4, end)
        self._address(at + 16, 4, end)
        self._route_options(at + 20, behind)
        if total >= length:
            end = min(end, at + total)
        if not self._number(at + 6, 2, end) & 0x1FFF and end > behind:
            self._transport(self.data[at + 9], behind, end, depth, ((at + 12, at + 20),))
        self.found.checksums.append(Checksum(at + 10, ((at, behind),)))

    def _route_options(self, at: int, end: int) -> None:
        while at + 2 <= end and self.data[at]:
            if self.data[at] == 1:
                at += 1
                continue
            length = max(2, self.data[at + 1])
            if self.data[at] in _ROUTE_OPTIONS:
                for address in range(at + 3, min(at + length, end) - 3, 4):
                    self._address(address, 4, end)
            at += length

    def _ipv6(self, at: int, end: int, depth: int) -> None:
        if end - at < 40:
            self._header(at, end - at, end)
            return
        self._header(at, 40, end)
        self._address(at + 8, 16, end)
        self._address(at + 24, 16, end)
        addresses: tuple[Span, ...] = ((at + 8, at + 40),)
        payload = self._number(at + 4, 2, end)
        if payload:
            end = min(end, at + 40 + payload)
        proto, at, later = self.data[at + 6], at + 40, False
        while proto in _EXTENSIONS and at + 8 <= end:
            length = 8 if proto == IPPROTO_FRAGMENT else (self.data[at + 1] + 1) * 8
            self._header(at, length, end)
            if proto == IPPROTO_FRAGMENT:
                later = bool(self._number(at + 2, 2, end) & 0xFFF8)
            if proto == IPPROTO_ROUTING:
                self._segments(at, min(at + length, end))
                addresses = ()  # the destination that the checksum covers is the last segment: not told apart
            proto, at = self.data[at], at + length
        if at < end and not later:
            self._transport(proto, at, end, depth, addresses)

    def _segments(self, at: int, end: int) -> None:
        for address in range(at + 8, end - 15, 16):
            self._address(address, 16, end)

    def _transport(self, proto: int, at: int, end: int, depth: int, addresses: tuple[Span, ...]) -> None:
        """`addresses` are those of the pseudo header, none where they are not the packet's own."""
        whole = ((at, end), *addresses)
        if proto == IPPROTO_TCP:
            words = self.data[at + 12] >> 4 if at + 13 <= end else 5
            self._header(at, max(20, words * 4), end)
            self._checksum(at + 16, whole, end, addresses)
        elif proto == IPPROTO_UDP:
            self._udp(at, end, depth)
            if self._number(at + 6, 2, end):  # 0: the sender made none
                self._checksum(at + 6, whole, end, addresses)
        elif proto == IPPROTO_ICMP:
            self._icmp(at, end, depth)
            self._checksum(at + 2, ((at, end),), end, addresses)
        elif proto == IPPROTO_ICMPV6:
            self._icmp6(at, end, depth)
            self._checksum(at + 2, whole, end, addresses)
        elif proto == IPPROTO_IPIP:
            self.network(_IPV4, at, end, depth + 1)
        elif proto == IPPROTO_IPV6:
            self.network(_IPV6, at, end, depth + 1)
        elif proto == IPPROTO_GRE:
            self._gre(at, end, depth)
        elif proto == IPPROTO_AH:
            length = max(12, (self.data[at + 1] + 2) * 4) if at + 2 <= end else 12
            behind = self._header(at, length, end)
            if behind < end:
                self._transport(self.data[at], behind, end, depth, addresses)
        else:
            short = {IPPROTO_SCTP: 12, _DCCP: 16, _UDPLITE: 8, IPPROTO_IGMP: 8, IPPROTO_ESP: 8, _COMP: 4}
            self._header(at, short.get(proto, 0), end)

    def _checksum(self, at: int, covers: tuple[Span, ...], end: int, addresses: tuple[Span, ...]) -> None:
        if addresses and at + 2 <= end:
            self.found.checksums.append(Checksum(at, covers))

    def _udp(self, at: int, end: int, depth: int) -> None:
        data = self._header(at, 8, end)
        sport, dport = self._number(at, 2, end), self._number(at + 2, 2, end)
        if _NAT_T in (sport, dport):
            # RFC 3948: one byte 0xff is a keepalive, four zero bytes mean IKE, anything else is ESP.
            length = 8 if self._number(data, 4, end) else 4
            self._header(data, length, end)
        elif self.spi is not None and data + 8 <= end and self._number(data, 4, end) == self.spi:
            self._header(data, 8, end)
        elif dport in _VXLAN:
            self._ethernet(self._header(data, 8, end), end, depth)
        elif dport == _GENEVE and data < end:
            self._ethernet(self._header(data, 8 + (self.data[data] & 0x3F) * 4, end), end, depth)

    def _ethernet(self, at: int, end: int, depth: int) -> None:
        if end - at < _ETHERNET:
            return
        behind = self._header(at, _ETHERNET, end)
        self._address(at, 6, end)
        self._address(at + 6, 6, end)
        self.network(self._number(at + 12, 2, end), behind, end, depth + 1)

    def _gre(self, at: int, end: int, depth: int) -> None:
        flags, kind = self._number(at, 1, end), self._number(at + 2, 2, end)
        # RFC 2890: checksum, key and sequence number each add four bytes.
        length = 4 + 4 * ((flags >> 7 & 1) + (flags >> 5 & 1) + (flags >> 4 & 1))
        behind = self._header(at, length, end)
        if kind == _ETHERNET_INSIDE:
            self._ethernet(behind, end, depth)
        else:
            self.network(kind, behind, end, depth + 1)

    def _icmp(self, at: int, end: int, depth: int) -> None:
        behind = self._header(at, 8, end)
        kind = self._number(at, 1, end)
        if kind == 5:  # redirect
            self._address(at + 4, 4, end)
        if kind in _ICMP_ERRORS:
            self.network(_IPV4, behind, end, depth + 1)

    def _icmp6(self, at: int, end: int, depth: int) -> None:
        kind = self._number(at, 1, end)
        first = _FIRST_OPTION.get(kind, 8)
        behind = self._header(at, first, end)
        for address in range(at + 8, behind - 15, 16) if kind in (135, 136, 137) else ():
            self._address(address, 16, end)
        if kind < 128:
            self.network(_IPV6, behind, end, depth + 1)
        elif kind in (130, 131, 132):
            self._header(behind, 16, end)  # the group: multicast
        elif kind in _FIRST_OPTION:
            self._neighbour_options(behind, end)

    def _neighbour_options(self, at: int, end: int) -> None:
        while at + 8 <= end and self.data[at + 1]:
            kind, length = self.data[at], self.data[at + 1] * 8
            if kind in _LINK_LAYER_OPTIONS:
                self._header(at, length, end)
                self._address(at + 2, 6, end)
            elif kind == _PREFIX_OPTION:
                self._header(at, length, end)
                self._address(at + 16, 16, end)
            else:
                self._header(at, 2, end)
            at += length
