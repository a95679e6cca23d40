"""The names of IP protocols that whydrop prints and understands, by their IANA numbers."""

import re
import socket
from typing import Final

# https://www.iana.org/assignments/protocol-numbers, spelt as `ip xfrm`, tcpdump and nft do. /etc/protocols
# is asked only for what is not here: it may be missing, and it calls 94 `ipip`, where Linux means 4.
NAMES: Final[dict[int, str]] = {
    0: "hopopt",
    1: "icmp",
    2: "igmp",
    4: "ipip",
    6: "tcp",
    17: "udp",
    33: "dccp",
    41: "ipv6",
    46: "rsvp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmp6",
    88: "eigrp",
    89: "ospf",
    97: "etherip",
    103: "pim",
    108: "comp",
    112: "vrrp",
    115: "l2tp",
    132: "sctp",
    135: "mobility-header",
    136: "udplite",
    137: "mpls-in-ip",
    139: "hip",
    143: "ethernet",
}
_ALIASES: Final[dict[str, int]] = {
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "ipcomp": 108,
    "ip-in-ip": 4,
    "ipencap": 4,
    "sit": 41,
    "6in4": 41,
    "mh": 135,
}
_NUMBERS: Final[dict[str, int]] = {name: number for number, name in NAMES.items()} | _ALIASES

ICMP: Final = 1
ICMP6: Final = 58
IPSEC: Final = frozenset({50, 51, 108})
WITH_PORTS: Final = frozenset({6, 17, 33, 132, 136})
ARP: Final = 0x0806  # no protocol of IP, but asked for like one
ETHERTYPES: Final[dict[int, str]] = {ARP: "arp"}
ONLY_IN_FAMILY: Final[dict[int, int]] = {1: 4, 2: 4, 58: 6}


def name(number: int) -> str:
    """`udp` for 17; the number as text where whydrop has no name for it."""
    return NAMES.get(number) or ETHERTYPES.get(number, str(number))


def number(text: str) -> int | None:
    """17 for `udp`, `UDP` or `17`; None for what is no protocol that whydrop has a name for."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return int(text) if int(text) <= 255 else None
    return _NUMBERS.get(text.lower())


def number_or_ethertype(text: str) -> int | None:
    """As number(), and 0x0806 for `arp`."""
    return ARP if text.lower() == "arp" else number(text)


def number_on_this_host(text: str) -> int | None:
    """As number_or_ethertype(), and what else /etc/protocols has."""
    found = number_or_ethertype(text)
    if found is not None:
        return found
    try:
        value = socket.getprotobyname(text)
    except (OSError, UnicodeError, ValueError):
        return None
    return value if value <= 255 else None
