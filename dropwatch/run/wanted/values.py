"""One value of a filter option, from the text a user typed to what the filter compares with."""

import re
import shlex
import socket
from ipaddress import IPv6Network, ip_network

from dropwatch.errors import WrongUsage
from dropwatch.model.filter import Network, PortRange
from dropwatch.names import protocols

_PORT_HINT = "give a number from 0 to 65535, a service name (https) or a range (5000-5010)"
_PORT_PROTOCOLS = ("tcp", "udp", "sctp", "dccp")
_U32 = 0xFFFFFFFF
_MARK = re.compile(r"(0x[0-9a-f]{1,8}|[0-9]{1,10})(?:/(0x[0-9a-f]{1,8}|[0-9]{1,10}))?", re.IGNORECASE)


def refuse(option: str, text: str, why: str, hint: str) -> WrongUsage:
    """The error for a value that cannot be meant: `--dport 70000: there is no port 70000`."""
    return WrongUsage(f"{option} {shlex.quote(text)}: {why}", hint)


def protocol(option: str, text: str) -> int:
    """IANA number of `udp`, `icmp6`, `17`, ..."""
    found = protocols.number_on_this_host(text)
    if found is None:
        raise refuse(
            option,
            text,
            "no such protocol",
            "give a name (udp, tcp, icmp, icmp6, esp, ah, sctp, gre, ipip) or a number from 0 to 255",
        )
    return found


def network(option: str, text: str) -> Network:
    """An address or a prefix; host bits are ignored. ::ffff:10.9.0.1 is the IPv4 address, as on the wire."""
    try:
        if "%" in text:
            raise ValueError
        found = ip_network(text, strict=False)
    except ValueError:
        raise refuse(option, text, "not an address or prefix", _network_hint(text)) from None
    if isinstance(found, IPv6Network) and found.prefixlen >= 96:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            return ip_network((mapped, found.prefixlen - 96))
    return found


def _network_hint(text: str) -> str:
    if "%" in text:
        return "packets carry no zone: write the address without it and add --iface"
    if re.search(r"[a-z]", text, re.IGNORECASE) and ":" not in text:
        return "names are not looked up: give an address (10.9.0.1, fd00::1) or a prefix (10.9.0.0/24)"
    return "give an address (10.9.0.1, fd00::1) or a prefix (10.9.0.0/24, fd00::/64)"


def ports(option: str, text: str) -> tuple[PortRange, ...]:
    """Inclusive ranges. A service name gives one for each port that any protocol uses under this name."""
    numbers = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", text)
    if not numbers:
        return _service(option, text)
    low, high = int(numbers[1]), int(numbers[2] or numbers[1])
    for port in (low, high):
        if port > 65535:
            raise refuse(option, text, f"there is no port {port}", _PORT_HINT)
    if high < low:
        raise refuse(option, text, "the range is empty", f"write the lower port first: {option} {high}-{low}")
    return ((low, high),)


def _service(option: str, text: str) -> tuple[PortRange, ...]:
    found = set()
    for protocol_name in _PORT_PROTOCOLS:
        try:
            found.add(socket.getservbyname(text, protocol_name))
        except (OSError, UnicodeError, ValueError):
            continue
    if not found:
        raise refuse(option, text, "neither a port nor a service in /etc/services", _PORT_HINT)
    return tuple((port, port) for port in sorted(found))


def mark(option: str, text: str) -> tuple[int, int]:
    """(value, mask) of `V[/MASK]`, both hexadecimal with 0x or decimal; without a mask every bit counts."""
    found = _MARK.fullmatch(text)
    value, mask = (_number(part) for part in found.groups(default="0xffffffff")) if found else (-1, -1)
    if not (0 <= value <= _U32 and 0 <= mask <= _U32):
        hint = "give a 32-bit number, with a mask or without: 0x10/0xff, 16"
        raise refuse(option, text, "not a mark", hint)
    return value, mask


def _number(text: str) -> int:
    return int(text, 16) if text[:2].lower() == "0x" else int(text)


def count(option: str, text: str) -> int:
    """A whole number of at least 1."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise refuse(option, text, "not a number of findings", "give a whole number of at least 1")
    return int(text)


def seconds(option: str, text: str) -> float:
    """A time of more than 0 seconds, fractions allowed."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?|\.[0-9]+", text) or float(text) <= 0:
        raise refuse(option, text, "not a time", "give seconds, more than 0: 60 or 0.5")
    return float(text)
