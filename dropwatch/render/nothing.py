"""What is said at the end where nothing matched: what arrived, which drops were nearest, what nobody can see."""

from collections.abc import Iterator

from dropwatch.model.drop import Netns, Packet, Process
from dropwatch.model.filter import Filter
from dropwatch.model.near import NearDrop
from dropwatch.model.nothing import Nothing
from dropwatch.model.traffic import Endpoint, Traffic
from dropwatch.render.layout import Layout
from dropwatch.render.summary import phrases
from dropwatch.render.wanted import kind_words

_NEAREST = 3
_MOST_NAMESPACES = 4  # that are told of
_ICMP = frozenset({1, 58})
# by version: the counters of requests and of replies, and what its sysctls begin with
_PINGS = (
    ("IPv4", "IcmpInEchos", "IcmpOutEchoReps", "net.ipv4."),
    ("IPv6", "Icmp6InEchos", "Icmp6OutEchoReplies", "net.ipv6."),
)
_ELSEWHERE = "what a NIC, a driver or another host loses: compare with the sender"


def nothing(found: Nothing, own: int | None, layout: Layout) -> str:
    """Lines for standard error, below the closing statement."""
    arrived = list(_arrived(found, own))
    nearest = list(_nearest(found, own))
    unseen = list(_unseen(found, own))
    sections = (("  arrived: ", arrived), ("  nearest: ", nearest), ("  not seen: ", unseen))
    lines = []
    for label, texts in sections:
        for number, text in enumerate(texts):
            lead = label if not number else " " * len(label)
            lines += layout.paragraph(text, lead, " " * len(label))
    return "".join(f"{line}\n" for line in lines)


def _arrived(found: Nothing, own: int | None) -> Iterator[str]:
    if found.traffic is None:
        return
    told = 0
    for traffic in found.traffic:
        where = _in(traffic.netns, own)
        pings = _pings(traffic, where) if _may_be_pings(found.compared) else ()
        lines = [*pings, *_claims(traffic, where), *_ip(traffic, where)]
        if lines and told < _MOST_NAMESPACES:
            yield from lines
        told += bool(lines)
    if told > _MOST_NAMESPACES:
        yield f"and in {told - _MOST_NAMESPACES} more network namespaces"
    if not told:
        yield "no IP packet, in any namespace that was looked into"
    if found.left_out:
        yield f"{found.left_out} network namespaces were not looked into"


def _may_be_pings(wanted: Filter) -> bool:
    return not (wanted.sport or wanted.dport or wanted.port) and (
        not wanted.protos or bool(wanted.protos & _ICMP)
    )


def _pings(traffic: Traffic, where: str) -> Iterator[str]:
    """Requests that got no reply, of which no probe sees anything die."""
    for name, requests, replies, sysctls in _PINGS:
        came, answered = (traffic.rises.get(counter, 0) for counter in (requests, replies))
        if came <= answered:
            continue
        pings = "1 echo request (ping)" if came == 1 else f"{came} echo requests (ping)"
        sent = "1 reply was" if answered == 1 else f"{answered or 'no'} replies were"
        why = "".join(f": {each} is set" for each in traffic.silencing if each.startswith(sysctls))
        yield f"{name}, {where}: {pings} arrived, and {sent} sent{why}"


def _claims(traffic: Traffic, where: str) -> Iterator[str]:
    for each in traffic.endpoints:
        yield f"{each.proto} port {each.port}, {where}: {_claim(each)}"
    if traffic.rises.get("IpInReceives", 0) + traffic.rises.get("Ip6InReceives", 0):
        for proto, port in traffic.unclaimed:
            yield f"{proto} port {port}, {where}: no socket is bound to it"


def _claim(each: Endpoint) -> str:
    who = _who(each.process)
    waiting = f"; {each.waiting} bytes are queued there, unread" if each.waiting else ""
    if each.arrived is None:
        return f"{who} owns the socket; what arrives there is not counted{waiting}"
    if not each.connections:
        return f"{who} listens; it has no open connection"
    segments = "1 segment" if each.arrived == 1 else f"{each.arrived} segments"
    connections = "1 open connection" if each.connections == 1 else f"{each.connections} open connections"
    return f"{segments} arrived in {connections} of {who}{waiting}"


def _who(process: Process | None) -> str:
    return (
        f"{process.comm} (pid {process.pid})" if process is not None else "the kernel, or a process not found"
    )


def _ip(traffic: Traffic, where: str) -> Iterator[str]:
    """Sums of all flows: what did not arrive at all stops the search in this host."""
    for name, version in (("IPv4", ""), ("IPv6", "6")):
        received = traffic.rises.get(f"Ip{version}InReceives", 0)
        if not received:
            continue
        forwarded = traffic.rises.get(f"Ip{version}{'Out' if version else ''}ForwDatagrams", 0)
        delivered = traffic.rises.get(f"Ip{version}InDelivers", 0)
        read = traffic.rises.get(f"Udp{version}InDatagrams", 0)
        yield (
            f"{name}, all flows, {where}: {received} received, {delivered} delivered to protocols, "
            f"{forwarded} forwarded; {read} UDP datagrams read"
        )


def _nearest(found: Nothing, own: int | None) -> Iterator[str]:
    near, wanted = found.near, found.compared
    sorts: dict[str, list[NearDrop]] = {}
    for drop in near.drops:
        if drop.difference.missed or drop.cause_id is not None:
            sorts.setdefault(_differs(drop, wanted, own), []).append(drop)
    ranked = sorted(sorts.items(), key=lambda item: _rank(item[1]))
    for words, drops in ranked[:_NEAREST]:
        yield _sort(words, drops, own)
    if len(ranked) > _NEAREST:
        more = len(ranked) - _NEAREST
        yield (
            "and 1 more sort, further from the filter"
            if more == 1
            else (f"and {more} more sorts, further from the filter")
        )
    if near.passed_over:
        yield f"{phrases.number(near.passed_over)} other drops were too many to be compared with the filter"
    if not ranked and not near.passed_over and wanted != Filter() and found.is_all:
        yield "no drop differs from the filter in only one or two points"


def _rank(drops: list[NearDrop]) -> tuple[int, int, int]:
    missed = len(drops[0].difference.missed)
    return missed, min(drop.difference.distance for drop in drops), -sum(drop.packets for drop in drops)


def _sort(words: str, drops: list[NearDrop], own: int | None) -> str:
    """How many, what they have in common, and the flow and place of the most frequent."""
    packets, first = sum(drop.packets for drop in drops), drops[0]
    noun = "packet" if packets == 1 else "packets"
    proto = first.packet.proto or "IP"
    flow = f"{first.packet.saddr} > {first.packet.daddr}"
    if first.packet.dport is not None:
        flow = _flow(first.packet)
    where = [_in(first.netns, own)] if first.netns is not None else []
    place = [f"by {first.where.function}"] if first.where.function else []
    about = "" if len(drops) == 1 else "most of them "
    return f"{packets} {proto} {noun} {words} ({about}{', '.join([flow, *where, *place])})"


def _flow(packet: Packet) -> str:
    """`10.0.0.1:40000 > 10.0.0.2:5000`."""
    ends = ((packet.saddr, packet.sport), (packet.daddr, packet.dport))
    return " > ".join(
        f"[{address}]:{port}" if packet.family == 6 else f"{address}:{port}" for address, port in ends
    )


def _differs(drop: NearDrop, wanted: Filter, own: int | None) -> str:
    """`to port 5000, but from 10.0.0.9, not 10.0.0.1`."""
    how = drop.difference
    fits = " ".join(
        words for kind in how.fitting if kind not in _UNSAID and (words := kind_words(kind, wanted))
    )
    misses = [_missed(kind, drop, wanted, own) for kind in how.missed]
    if drop.cause_id is not None:
        misses.append(f"their cause is {drop.cause_id}")
    return f"{fits}{', but ' if fits else ''}{', and '.join(misses)}"


_UNSAID = frozenset({"families", "protos"})


def _missed(kind: str, drop: NearDrop, wanted: Filter, own: int | None) -> str:
    packet, asked = drop.packet, kind_words(kind, wanted)
    if kind in drop.difference.backwards:
        other = {"sport": "to", "dport": "from", "saddr": "to", "daddr": "from"}[kind]
        value = asked.partition(" ")[2]
        return f"{other} {value}: the other direction"
    match kind:
        case "families":
            return f"of IPv{packet.family}"
        case "protos":
            return f"{packet.proto}, not {asked}"
        case "saddr":
            return f"from {packet.saddr}, not {asked.removeprefix('from ')}"
        case "daddr":
            return f"to {packet.daddr}, not {asked.removeprefix('to ')}"
        case "host":
            return f"between {packet.saddr} and {packet.daddr}, not {asked}"
        case "sport":
            return f"from port {packet.sport}, not {asked.removeprefix('from port ')}"
        case "dport":
            return f"to port {packet.dport}, not {asked.removeprefix('to port ')}"
        case "port":
            return f"from port {packet.sport} to port {packet.dport}, not {asked}"
        case "ifaces":
            name = drop.iface.name if drop.iface is not None and drop.iface.name else "an unknown interface"
            return f"on {name}, not {asked.removeprefix('on ')}"
        case "netns":
            return f"{_in(drop.netns, own)}, not in one that was asked for"
        case _:
            return f"with mark 0x{packet.mark:x}, not {asked.removeprefix('with mark ')}"


def _in(netns: Netns | None, own: int | None) -> str:
    if netns is None:
        return "in an unknown network namespace"
    if netns.name is None and netns.inode == own:
        return "in this network namespace"
    return f"in netns {netns.name or netns.inode}"


def _unseen(found: Nothing, own: int | None) -> Iterator[str]:
    for lost in found.lost[:_NEAREST]:
        yield f"{phrases.outside(lost, own)}: the flow is not known"
    yield _ELSEWHERE
