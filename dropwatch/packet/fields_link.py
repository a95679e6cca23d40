"""The fields of what stands before IP, and of ARP."""

from dropwatch.packet.field import REST, Field, Shown, address, bits, mac, named, number

_ETHERTYPE_NAMES = {
    0x0800: "IPv4",
    0x86DD: "IPv6",
    0x0806: "ARP",
    0x8100: "VLAN",
    0x88A8: "VLAN, 802.1ad",
    0x8847: "MPLS",
    0x8848: "MPLS",
    0x6558: "Ethernet",
    0x880B: "PPP",
    0x88CC: "LLDP",
    0x8863: "PPPoE discovery",
    0x8864: "PPPoE",
    0x88E5: "MACsec",
    0x888E: "802.1X",
}
_PPP_NAMES = {0x21: "IPv4", 0x57: "IPv6", 0xC021: "LCP", 0x8021: "IPCP", 0x8057: "IPv6CP"}

ethertype = named(_ETHERTYPE_NAMES, base="x")


def ethertype_words(number: int) -> str:
    """`LLDP (ethertype 0x88cc)`, or the number alone."""
    name = {0x8808: "flow control", **_ETHERTYPE_NAMES}.get(number)
    return f"ethertype 0x{number:04x}" if name is None else f"{name} (ethertype 0x{number:04x})"


def _ppp_protocol(value: bytes) -> Shown:
    return named(_PPP_NAMES, base="x")(value.removeprefix(b"\xff\x03").rjust(2, b"\0"))


def _end(name: str, at: int) -> Field:
    """A MAC address and an IPv4 address, which ARP for those has of either end."""

    def show(header: bytes) -> str | None:
        is_whole = len(header) >= at + 10
        return f"{address(header[at + 6 : at + 10])} at {mac(header[at : at + 6])}" if is_whole else None

    return Field(name, 0, REST, show)


SHOWN: dict[str, tuple[str, tuple[Field, ...]]] = {
    "ethernet": (
        "Ethernet",
        (Field("src", 6, 6, mac), Field("dst", 0, 6, mac), Field("type", 12, 2, ethertype)),
    ),
    "vlan": (
        "VLAN",
        (Field("id", 0, 2, bits(0, 12)), Field("priority", 0, 1, bits(5, 3)), Field("type", 2, 2, ethertype)),
    ),
    "mpls": (
        "MPLS",
        (Field("label", 0, 4, bits(12, 20)), Field("class", 0, 4, bits(9, 3)), Field("ttl", 3, 1, number)),
    ),
    "ppp": ("PPP", (Field("protocol", 0, REST, _ppp_protocol),)),
    "arp": (
        "ARP",
        (
            Field(
                "operation", 6, 2, lambda value: {1: "request", 2: "reply"}.get(number(value), number(value))
            ),
            _end("sender", 8),
            _end("target", 18),
        ),
    ),
}
