"""Reads what stands before IP: Ethernet inside tunnels, VLAN tags, MPLS labels, PPP; and ARP, which stands beside."""

from dropwatch.packet.layer import Found, Kind, Place

# IEEE 802 numbers, as in include/uapi/linux/if_ether.h: ethertype to the kind of header that follows.
ETHERTYPES = {
    0x0800: "ipv4",
    0x86DD: "ipv6",
    0x0806: "arp",
    0x8100: "vlan",
    0x88A8: "vlan",
    0x9100: "vlan",
    0x8847: "mpls",
    0x8848: "mpls",
    0x6558: "ethernet",
    0x880B: "ppp",
}
_PPP = {0x0021: "ipv4", 0x0057: "ipv6", 0x0281: "mpls", 0x0283: "mpls"}  # IANA, "PPP Protocol Numbers"
_PPP_ADDRESS = b"\xff\x03"
WHOLE_ARP = 28  # of IPv4 over Ethernet
_BOTTOM_OF_STACK = 0x100
_IP_VERSIONS = {4: "ipv4", 6: "ipv6"}


def by_version(place: Place, offset: int) -> str | None:
    """The kind of IP that the first four bits there tell, where nothing announces it."""
    return _IP_VERSIONS.get(place.number(offset, 1) >> 4)


def _ethernet(place: Place) -> Found:
    """Only inside a tunnel: the record of the packet itself begins behind it."""
    return Found(14, ETHERTYPES.get(place.number(12, 2)))


def _vlan(place: Place) -> Found:
    """From the tag's control information on: the ethertype that announced it stands before."""
    return Found(4, ETHERTYPES.get(place.number(2, 2)))


def _mpls(place: Place) -> Found:
    """One label. What follows the last one is not announced: the first four bits tell (RFC 4928)."""
    return Found(4, by_version(place, 4) if place.number(0, 4) & _BOTTOM_OF_STACK else "mpls")


def _ppp(place: Place) -> Found:
    """RFC 1661, 2 and 6.5: address and control may be left out, and the upper half of the protocol if it is 0."""
    at = 2 if place.bytes(0, 2) == _PPP_ADDRESS else 0
    size = 1 if place.number(at, 1) & 1 else 2
    return Found(at + size, _PPP.get(place.number(at, size)))


def _arp(place: Place) -> Found:
    """For IPv4 over Ethernet; of others the header only (RFC 826)."""
    return Found(WHOLE_ARP if place.bytes(0, 6) == b"\0\1\x08\0\6\4" else 8)


KINDS = {
    "ethernet": Kind(14, _ethernet),
    "vlan": Kind(4, _vlan),
    "mpls": Kind(4, _mpls),
    "ppp": Kind(1, _ppp),
    "arp": Kind(8, _arp),
}
