"""The fields of TCP, UDP and their like, and of ICMP and IGMP."""

from collections.abc import Callable, Container

from dropwatch.packet.field import REST, Field, Shown, address, hexadecimal, named, number

_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
# RFC 792 and its successors: the words of tcpdump, shortened.
_ICMP = {
    0: "echo reply",
    3: "destination unreachable",
    4: "source quench",
    5: "redirect",
    8: "echo request",
    9: "router advertisement",
    10: "router solicitation",
    11: "time exceeded",
    12: "parameter problem",
    13: "timestamp request",
    14: "timestamp reply",
}
_ICMP_UNREACHABLE = {
    0: "network",
    1: "host",
    2: "protocol",
    3: "port",
    4: "fragmentation needed",
    5: "source route failed",
    9: "network prohibited",
    10: "host prohibited",
    13: "prohibited",
}
_ICMP6 = {
    1: "destination unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    130: "multicast listener query",
    131: "multicast listener report",
    132: "multicast listener done",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    137: "redirect",
    143: "multicast listener report, version 2",
}
_ICMP6_UNREACHABLE = {0: "no route", 1: "prohibited", 3: "address", 4: "port", 5: "policy", 6: "reject route"}
_WITH_TARGET = frozenset({135, 136, 137})
_IGMP = {
    0x11: "query",
    0x12: "report, version 1",
    0x16: "report",
    0x17: "leave",
    0x22: "report, version 3",
}
_SCTP_CHUNKS = {
    0: "DATA",
    1: "INIT",
    2: "INIT ACK",
    3: "SACK",
    4: "HEARTBEAT",
    5: "HEARTBEAT ACK",
    6: "ABORT",
    7: "SHUTDOWN",
    8: "SHUTDOWN ACK",
    9: "ERROR",
    10: "COOKIE ECHO",
    11: "COOKIE ACK",
    14: "SHUTDOWN COMPLETE",
}


def icmp_words(proto: str, kind: int, code: int) -> str:
    """`echo request`, `destination unreachable (port)`, `type 42 code 0`; `proto` is icmp or icmp6."""
    of_six = proto == "icmp6"
    words = (_ICMP6 if of_six else _ICMP).get(kind)
    if words is None:
        return f"type {kind} code {code}"
    unreachable = kind == (1 if of_six else 3)
    why = (_ICMP6_UNREACHABLE if of_six else _ICMP_UNREACHABLE).get(code) if unreachable else None
    return words if why is None else f"{words} ({why})"


def tcp_flag_words(letters: str) -> str:
    """`SYN ACK` for `SA`."""
    return " ".join(word for word in _TCP_FLAGS if word[0] in letters)


def _flags(value: bytes) -> str:
    return " ".join(word for bit, word in enumerate(_TCP_FLAGS) if value[0] >> bit & 1) or "none"


def _urgent(header: bytes) -> int | None:
    return number(header[18:20]) if header[13] & 0x20 else None


def _options(header: bytes) -> str | None:
    return ", ".join(_tcp_options(header[20:])) or None


def _tcp_options(data: bytes) -> list[str]:
    """`mss 1460`, `sack permitted`, `timestamps 1 2`, `window scale 7`; others by their number."""
    found: list[str] = []
    at = 0
    while at < len(data) and data[at] != 0:
        if data[at] == 1:
            at += 1
            continue
        length = data[at + 1] if at + 1 < len(data) else 0
        if length < 2 or at + length > len(data):
            return [*found, "the rest cannot be read"]
        found.append(_tcp_option(data[at], data[at + 2 : at + length]))
        at += length
    return found


def _tcp_option(kind: int, value: bytes) -> str:
    number = int.from_bytes(value, "big")
    if kind == 2:
        return f"mss {number}"
    if kind == 3:
        return f"window scale {number}"
    if kind == 4:
        return "sack permitted"
    if kind == 5:
        edges = [int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value), 4)]
        return "sack " + " ".join(f"{a}-{b}" for a, b in zip(edges[::2], edges[1::2], strict=False))
    if kind == 8 and len(value) == 8:
        return f"timestamps {number >> 32} {number & 0xFFFFFFFF}"
    name = {19: "md5 signature", 29: "authentication option", 30: "mptcp", 34: "fast open"}.get(kind)
    return name or f"option {kind}"


def _code(names: dict[int, str], unreachable: int) -> Callable[[bytes], Shown]:
    """The code behind its type: that of one type has words."""
    return lambda value: named(names if value[0] == unreachable else {})(value[1:])


def _of_types(types: Container[int], show: Callable[[bytes], Shown], part: slice) -> Callable[[bytes], Shown]:
    """A part of a message that only messages of these types have there."""
    return lambda message: show(message[part]) if message[0] in types else None


_PORTS = (Field("sport", 0, 2, number), Field("dport", 2, 2, number))
_CHECKSUM = Field("checksum", 2, 2, hexadecimal)
_ID, _SEQ = slice(4, 6), slice(6, 8)
SHOWN: dict[str, tuple[str, tuple[Field, ...]]] = {
    "tcp": (
        "TCP",
        (
            *_PORTS,
            Field("seq", 4, 4, number),
            Field("ack", 8, 4, number),
            Field("header", 12, 1, lambda value: (value[0] >> 4) * 4),
            Field("flags", 13, 1, _flags),
            Field("window", 14, 2, number),
            Field("checksum", 16, 2, hexadecimal),
            Field("urgent", 0, 20, _urgent),
            Field("options", 0, REST, _options),
        ),
    ),
    "udp": ("UDP", (*_PORTS, Field("length", 4, 2, number), Field("checksum", 6, 2, hexadecimal))),
    "udplite": ("UDP-Lite", (*_PORTS, Field("coverage", 4, 2, number), Field("checksum", 6, 2, hexadecimal))),
    "dccp": ("DCCP", _PORTS),
    "sctp": (
        "SCTP",
        (
            *_PORTS,
            Field("tag", 4, 4, hexadecimal),
            Field("checksum", 8, 4, hexadecimal),
            Field("first_chunk", 12, 1, lambda value: _SCTP_CHUNKS.get(value[0], value[0])),
        ),
    ),
    "icmp": (
        "ICMP",
        (
            Field("type", 0, 1, named(_ICMP)),
            Field("code", 0, 2, _code(_ICMP_UNREACHABLE, 3)),
            _CHECKSUM,
            Field("id", 0, 8, _of_types((0, 8), number, _ID)),
            Field("seq", 0, 8, _of_types((0, 8), number, _SEQ)),
            Field("gateway", 0, 8, _of_types((5,), address, slice(4, 8))),
            Field("mtu", 0, 8, lambda value: number(value[6:]) if value[:2] == b"\3\4" else None),
        ),
    ),
    "icmp6": (
        "ICMPv6",
        (
            Field("type", 0, 1, named(_ICMP6)),
            Field("code", 0, 2, _code(_ICMP6_UNREACHABLE, 1)),
            _CHECKSUM,
            Field("id", 0, 8, _of_types((128, 129), number, _ID)),
            Field("seq", 0, 8, _of_types((128, 129), number, _SEQ)),
            Field("mtu", 0, 8, _of_types((2,), number, slice(4, 8))),
            Field("target", 0, 24, _of_types(_WITH_TARGET, address, slice(8, 24))),
        ),
    ),
    "igmp": (
        "IGMP",
        (
            Field("type", 0, 1, named(_IGMP, unknown="unknown", base="x")),
            Field("group", 0, 8, lambda value: address(value[4:]) if value[0] != 0x22 else None),
        ),
    ),
}
