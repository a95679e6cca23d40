"""Reads what carries data between programs: TCP, UDP, SCTP, and the messages of ICMP and IGMP."""

from ipaddress import IPv4Address, IPv6Address

from dropwatch.packet.header_view import Step, View, cut

_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
_NAT_T = 4500
_VXLAN = frozenset({4789, 8472})
_GENEVE = 6081
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
_ICMP_QUOTES = frozenset({3, 4, 5, 11, 12})
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


def tcp(view: View) -> Step:
    """RFC 9293. A header length that cannot be ends the reading."""
    if view.room < 20:
        return _ports_only(view, "TCP", 20)
    length, bits = (view.number(12, 1) >> 4) * 4, view.number(13, 1)
    flags = " ".join(word for bit, word in enumerate(_TCP_FLAGS) if bits >> bit & 1)
    fields: list[tuple[str, str | int]] = [
        *_ports(view),
        ("seq", view.number(4, 4)),
        ("ack", view.number(8, 4)),
        ("header", length),
        ("flags", flags or "none"),
        ("window", view.number(14, 2)),
        ("checksum", f"0x{view.number(16, 2):04x}"),
    ]
    if bits & 0x20:
        fields.append(("urgent", view.number(18, 2)))
    if length < 20:
        error = f"its header length {length} is less than 20 bytes"
        return Step(view.header("TCP", 20, *fields, error=error), view.behind(20))
    options = ", ".join(_tcp_options(view.bytes(20, length - 20)))
    if options:
        fields.append(("options", options))
    return Step(view.header("TCP", length, *fields), view.behind(length))


def udp(view: View) -> Step:
    """What it carries is told by the port alone, as the kernel's own receivers are found."""
    if view.room < 8:
        return _ports_only(view, "UDP", 8)
    length = view.number(4, 2)
    fields = (*_ports(view), ("length", length), ("checksum", f"0x{view.number(6, 2):04x}"))
    header = view.header("UDP", 8, *fields)
    rest = (view.until(length) if length >= 8 else view).behind(8)
    ports = (view.number(0, 2), view.number(2, 2))
    # RFC 3948: behind the UDP header four zero bytes mean IKE, one byte 0xff a keepalive, anything else is ESP.
    if _NAT_T in ports and rest.room >= 8 and rest.number(0, 4):
        return Step(header, rest, "esp")
    if _NAT_T in ports and rest.room >= 4 and not rest.number(0, 4):
        return Step(header, rest, data_name="IKE")
    if ports[1] in _VXLAN:
        return Step(header, rest, "vxlan")
    return Step(header, rest, "geneve" if ports[1] == _GENEVE else None)


def ports(view: View) -> Step:
    """DCCP and UDP-Lite, which begin with their ports as well."""
    if view.room < 8:
        return _ports_only(view, "ports", 8)
    return Step(view.header("ports", 4, *_ports(view)), view.behind(4))


def sctp(view: View) -> Step:
    """RFC 9260, with the type of the first chunk."""
    if view.room < 12:
        return _ports_only(view, "SCTP", 12)
    fields: list[tuple[str, str | int]] = [
        *_ports(view),
        ("tag", f"0x{view.number(4, 4):08x}"),
        ("checksum", f"0x{view.number(8, 4):08x}"),
    ]
    if view.room > 12:
        chunk = view.number(12, 1)
        fields.append(("first_chunk", _SCTP_CHUNKS.get(chunk, chunk)))
    return Step(view.header("SCTP", 12, *fields), view.behind(12), data_name="chunks")


def icmp(view: View) -> Step:
    """RFC 792; an error quotes the packet that it is about."""
    if view.room < 8:
        return cut(view, "ICMP", 8)
    kind, code = view.number(0, 1), view.number(1, 1)
    detail = _ICMP_UNREACHABLE.get(code) if kind == 3 else None
    fields = _icmp_fields(view, kind, code, _ICMP.get(kind), detail)
    if kind in (0, 8):
        fields += _echo(view)
    elif kind == 5:
        fields.append(("gateway", str(IPv4Address(view.bytes(4, 4)))))
    elif (kind, code) == (3, 4):
        fields.append(("mtu", view.number(6, 2)))
    header = view.header("ICMP", 8, *fields)
    if kind in _ICMP_QUOTES:
        return Step(header, view.inside(8, quoted=True), "ipv4")
    return Step(header, view.behind(8))


def icmp6(view: View) -> Step:
    """RFC 4443, and of neighbour discovery (RFC 4861) the target."""
    if view.room < 8:
        return cut(view, "ICMPv6", 8)
    kind, code = view.number(0, 1), view.number(1, 1)
    detail = _ICMP6_UNREACHABLE.get(code) if kind == 1 else None
    fields = _icmp_fields(view, kind, code, _ICMP6.get(kind), detail)
    length = 8
    if kind in (128, 129):
        fields += _echo(view)
    elif kind == 2:
        fields.append(("mtu", view.number(4, 4)))
    elif kind in _WITH_TARGET and view.room >= 24:
        fields.append(("target", str(IPv6Address(view.bytes(8, 16)))))
        length = 24
    header = view.header("ICMPv6", length, *fields)
    if kind < 128:
        return Step(header, view.inside(8, quoted=True), "ipv6")
    return Step(header, view.behind(length), data_name="options" if kind in _WITH_TARGET else "data")


def igmp(view: View) -> Step:
    """RFC 3376: the group of a query or of an old report."""
    if view.room < 8:
        return cut(view, "IGMP", 8)
    kind = view.number(0, 1)
    fields: list[tuple[str, str | int]] = [("type", f"0x{kind:02x} ({_IGMP.get(kind, 'unknown')})")]
    if kind != 0x22:
        fields.append(("group", str(IPv4Address(view.bytes(4, 4)))))
    return Step(view.header("IGMP", 8, *fields), view.behind(8))


def _ports(view: View) -> tuple[tuple[str, str | int], ...]:
    return (("sport", view.number(0, 2)), ("dport", view.number(2, 2)))


def _ports_only(view: View, name: str, needed: int) -> Step:
    """A header cut short, as ICMP errors of old hosts quote it: the ports may still be there."""
    step = cut(view, name, needed)
    if view.room < 4:
        return step
    return step._replace(header=view.header(name, view.room, *_ports(view), error=step.header.error))


def _icmp_fields(
    view: View, kind: int, code: int, name: str | None, detail: str | None
) -> list[tuple[str, str | int]]:
    return [
        ("type", f"{kind} ({name})" if name else kind),
        ("code", f"{code} ({detail})" if detail else code),
        ("checksum", f"0x{view.number(2, 2):04x}"),
    ]


def _echo(view: View) -> list[tuple[str, str | int]]:
    return [("id", view.number(4, 2)), ("seq", view.number(6, 2))]


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
