"""One value of a filter option, from the text a user typed to what the filter compares with."""

import difflib
import re
import shlex
import socket
from ipaddress import IPv6Network, ip_network
from typing import Final

from dropwatch.errors import WrongUsage
from dropwatch.model.filter import Network, PortRange
from dropwatch.model.pattern import pattern
from dropwatch.names import protocols
from dropwatch.names.foreign import foreign

_PORT_HINT = "give a number from 0 to 65535, a service name (https) or a range (5000-5010)"
_PORT_PROTOCOLS = ("tcp", "udp", "sctp", "dccp")
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PARTS = r"(?=[0-9])" + "".join(rf"(?:[0-9]{{1,9}}{unit})?" for unit in _UNITS)
_COMM_BYTES = 15  # TASK_COMM_LEN of linux/sched.h
_IFNAME_BYTES = 15  # IFNAMSIZ of linux/if.h
# As nft, ip6tables and RFC 792, 4443, 4861 call them: protocol and type.
_ICMP_TYPES: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "echo-request": ((1, 8), (58, 128)),
    "echo-reply": ((1, 0), (58, 129)),
    **dict.fromkeys(("destination-unreachable", "unreachable", "dest-unreachable"), ((1, 3), (58, 1))),
    **dict.fromkeys(("time-exceeded", "ttl-exceeded"), ((1, 11), (58, 3))),
    "parameter-problem": ((1, 12), (58, 4)),
    "packet-too-big": ((58, 2),),
    "source-quench": ((1, 4),),
    "redirect": ((1, 5), (58, 137)),
    "router-advertisement": ((1, 9), (58, 134)),
    "router-solicitation": ((1, 10), (58, 133)),
    "timestamp-request": ((1, 13),),
    "timestamp-reply": ((1, 14),),
    **dict.fromkeys(("neighbour-solicitation", "neighbor-solicitation"), ((58, 135),)),
    **dict.fromkeys(("neighbour-advertisement", "neighbor-advertisement"), ((58, 136),)),
    "mld-listener-query": ((58, 130),),
    "mld-listener-report": ((58, 131),),
    "mld2-listener-report": ((58, 143),),
}
_U32 = 0xFFFFFFFF
_MARK = pattern(r"(0x[0-9a-f]{1,8}|[0-9]{1,10})(?:/(0x[0-9a-f]{1,8}|[0-9]{1,10}))?", re.IGNORECASE)


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
            "give a name (udp, tcp, icmp, icmp6, esp, ah, sctp, gre, ipip, arp) or a number from 0 to 255",
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
    numbers = re.fullmatch(r"([0-9]{1,9})(?:[-:]([0-9]{1,9}))?", text)
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
    """A time of more than 0 seconds: seconds with fractions allowed, or `1h30m`, `90s`, `5m`, `500ms`."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?|\.[0-9]+", text):
        found = float(text)
    elif re.fullmatch(_PARTS, text):
        found = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([a-z]+)", text))
    else:
        found = 0
    if found <= 0:
        raise refuse(option, text, "not a time", "give seconds, more than 0 (60, 0.5), or 90s, 5m, 1h30m")
    return found


def icmp_types(option: str, text: str) -> frozenset[tuple[int, int]]:
    """Protocol and type: a number is one of ICMP and of ICMPv6, a name may be one of either."""
    if re.fullmatch(r"[0-9]{1,3}", text) and int(text) <= 255:
        return frozenset((proto, int(text)) for proto in (protocols.ICMP, protocols.ICMP6))
    found = _ICMP_TYPES.get(text.lower().replace(" ", "-"))
    if found is None:
        close = difflib.get_close_matches(text.lower(), _ICMP_TYPES, n=3)
        hint = (
            f"did you mean {' or '.join(close)}?"
            if close
            else "give a number, echo-request, unreachable, ..."
        )
        raise refuse(option, text, "no such type of ICMP", hint)
    return frozenset(found)


def pid(option: str, text: str) -> int:
    """A process number."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise refuse(
            option, text, "not a process number", "give a number, or the name of the process: --comm"
        )
    return int(text)


def interface(option: str, text: str) -> str:
    """The name of an interface, which need not be there yet."""
    size = len(text.encode("utf-8", "surrogateescape"))
    if not 0 < size <= _IFNAME_BYTES or "/" in text:
        raise refuse(
            option, text, "no interface can have this name", "ip link lists them: 1 to 15 characters each"
        )
    return foreign(text)


def comm(option: str, text: str) -> str:
    """A process name as the kernel keeps it: 15 bytes."""
    if not text:
        raise refuse(option, text, "it is empty", "ps -o comm lists the names of processes")
    return foreign(text.encode("utf-8", "surrogateescape")[:_COMM_BYTES])


def unit(option: str, text: str) -> str:
    """A systemd unit; without a suffix it is a service."""
    if not text or "/" in text:
        raise refuse(option, text, "not a unit", "systemctl list-units lists them: --unit nginx.service")
    return foreign(text if "." in text else f"{text}.service")


def container(option: str, text: str) -> str:
    """The begin of a container's ID."""
    if not re.fullmatch(r"[0-9a-f]{4,64}", text):
        hint = (
            "give the ID, or at least 4 digits of its beginning: docker ps, crictl ps or podman ps list them"
        )
        raise refuse(option, text, "not the ID of a container", hint)
    return text
