"""Reads what stands before IP: Ethernet inside tunnels, VLAN tags, MPLS labels; and ARP, which stands beside it."""

from ipaddress import IPv4Address

from dropwatch.packet.header_view import Step, View, cut, mac

# IEEE 802 numbers, as in include/uapi/linux/if_ether.h: ethertype to the kind of header that follows, and its name.
_ETHERTYPES = {
    0x0800: ("ipv4", "IPv4"),
    0x86DD: ("ipv6", "IPv6"),
    0x0806: ("arp", "ARP"),
    0x8100: ("vlan", "VLAN"),
    0x88A8: ("vlan", "VLAN, 802.1ad"),
    0x8847: ("mpls", "MPLS"),
    0x8848: ("mpls", "MPLS"),
    0x6558: ("ethernet", "Ethernet"),
    0x88CC: (None, "LLDP"),
    0x8863: (None, "PPPoE discovery"),
    0x8864: (None, "PPPoE"),
    0x88E5: (None, "MACsec"),
    0x888E: (None, "802.1X"),
}
_ARP_OPERATIONS = {1: "request", 2: "reply"}
_BOTTOM_OF_STACK = 0x100


def kind_of(ethertype: int) -> str | None:
    """The kind of header that an ethertype announces; None for one that is not read here."""
    return _ETHERTYPES.get(ethertype, (None, ""))[0]


def ethertype_text(ethertype: int) -> str:
    """`0x0800 (IPv4)`, or only the number."""
    name = _ETHERTYPES.get(ethertype, (None, ""))[1]
    return f"0x{ethertype:04x} ({name})" if name else f"0x{ethertype:04x}"


def ethernet(view: View) -> Step:
    """Only inside a tunnel: the record of the packet itself begins behind it."""
    if view.room < 14:
        return cut(view, "Ethernet", 14)
    kind = view.number(12, 2)
    fields = (("src", mac(view.bytes(6, 6))), ("dst", mac(view.bytes(0, 6))), ("type", ethertype_text(kind)))
    return Step(view.header("Ethernet", 14, *fields), view.behind(14), kind_of(kind))


def vlan(view: View) -> Step:
    """From the tag's control information on: the ethertype that announced it stands before."""
    if view.room < 4:
        return cut(view, "VLAN", 4)
    control, kind = view.number(0, 2), view.number(2, 2)
    fields = (("id", control & 0xFFF), ("priority", control >> 13), ("type", ethertype_text(kind)))
    return Step(view.header("VLAN", 4, *fields), view.behind(4), kind_of(kind))


def mpls(view: View) -> Step:
    """One label. What follows the last one is not announced: the first four bits tell (RFC 4928)."""
    if view.room < 4:
        return cut(view, "MPLS", 4)
    label = view.number(0, 4)
    fields = (("label", label >> 12), ("class", label >> 9 & 7), ("ttl", label & 0xFF))
    header = view.header("MPLS", 4, *fields)
    if not label & _BOTTOM_OF_STACK:
        return Step(header, view.behind(4), "mpls")
    version = view.number(4, 1) >> 4 if view.room > 4 else 0
    return Step(header, view.behind(4), {4: "ipv4", 6: "ipv6"}.get(version))


def arp(view: View) -> Step:
    """For IPv4 over Ethernet; of others the header only (RFC 826)."""
    if view.room < 8:
        return cut(view, "ARP", 8)
    operation = view.number(6, 2)
    fields = ("operation", _ARP_OPERATIONS.get(operation, operation))
    if view.bytes(0, 6) != b"\0\1\x08\0\6\4":
        return Step(view.header("ARP", 8, fields), view.behind(8))
    if view.room < 28:
        return cut(view, "ARP", 28)
    ends = (
        ("sender", f"{IPv4Address(view.bytes(14, 4))} at {mac(view.bytes(8, 6))}"),
        ("target", f"{IPv4Address(view.bytes(24, 4))} at {mac(view.bytes(18, 6))}"),
    )
    return Step(view.header("ARP", 28, fields, *ends), view.behind(28), data_name="padding")
