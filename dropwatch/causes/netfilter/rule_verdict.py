"""What is said of a rule or policy that killed a packet: its listing, and all that explains it."""

from collections.abc import Iterable
from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import Step
from dropwatch.causes.netfilter import rule_advice, rule_text, words
from dropwatch.causes.netfilter.responsible_rule import Blamed
from dropwatch.host.host import Host
from dropwatch.host.route import Route
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.packet.fields_transport import tcp_flag_words

_ENGINES = {"nft": "nftables", "legacy": "legacy iptables", "ebtables": "legacy ebtables"}
_MOST_TABLES = 6
# What rules of these causes check, so that a flow that is let past them is not checked.
_CHECKS = {
    "netfilter.conntrack-invalid": "forged packets of this flow can pass as well",
    "netfilter.rpfilter-match": "forged packets from this address can pass as well",
    "netfilter.synproxy": "floods of this flow can reach the server",
}
# `SEQ is over the upper bound (...)` and the like (net/netfilter/nf_conntrack_proto_tcp.c: tcp_in_window).
_OUT_OF_WINDOW = "bound"
_BRIDGE_SYSCTLS = {"ip": "iptables", "ip6": "ip6tables", "arp": "arptables"}


def rule_verdict(drop: Drop, host: Host, found: Blamed) -> Verdict:
    """Of what blame() found."""
    evidence = list(found.facts)
    if found.culprit is not None or found.listed is not None:
        evidence += words.listing(drop, found.listed, found.tools)
    evidence += words.owner_evidence(found.culprit)
    is_cause = found.cause_id == "netfilter.conntrack-invalid"
    invalid = list(why_invalid(drop, is_cause))
    evidence += [replace(fact, role="proof") if is_cause and _is_said(drop) else fact for fact in invalid]
    evidence += _way_back(drop, host, found)
    evidence += _both(drop, host, found)
    bridged = _bridged(drop, found)
    evidence += [fact for fact, _ in bridged]
    outside, liberal = _out_of_window(drop), _liberal(drop, found)
    fixes = (
        *_remedies(drop, found),
        *(liberal if outside else ()),
        *rule_advice.fixes(drop, found.culprit, found.listed, _CHECKS.get(found.cause_id)),
        *(fix for _, fix in bridged),
        *(liberal if outside is None else ()),
    )
    return Verdict(found.confidence, found.culprit, tuple(evidence), fixes, found.title)


def _is_said(drop: Drop) -> bool:
    """The kernel says why it found it INVALID: all else that is told about that is a guess, and proves nothing."""
    note = drop.event.netfilter
    return note is not None and note.conntrack is not None and note.conntrack.words is not None


def why_invalid(drop: Drop, was_invalid: bool) -> Iterable[Evidence]:
    """What is known about a packet that conntrack found INVALID: the kernel's words, else what the packet suggests.

    `was_invalid`: it must have been, also where conntrack did not say so.
    """
    note = drop.event.netfilter
    conntrack = note.conntrack if note is not None else None
    if conntrack is not None and conntrack.words is not None:
        yield Evidence("conntrack", f"this packet is INVALID: {words.of_the_kernel(conntrack.words)}")
        return
    if conntrack is not None and conntrack.invalid:
        yield Evidence("conntrack", "this packet is INVALID; the kernel does not say why")
    elif not was_invalid:
        return
    guess = _guess(drop)
    if guess is not None:
        yield Evidence("packet", guess)


def _guess(drop: Drop) -> str | None:
    """The usual reason for such a packet; conntrack keeps its own to itself."""
    packet = drop.packet
    if packet.header_error is not None:
        return packet.header_error
    flags = packet.tcp_flags
    if flags is not None and "S" in flags and "A" not in flags:
        return (
            "a TCP SYN is seldom INVALID: probably a bad checksum, or an older connection with the same ports"
        )
    if flags is not None and ("R" in flags or "F" in flags or "S" in flags):
        return (
            f"a TCP segment with {tcp_flag_words(flags)} cannot start a connection: probably conntrack has "
            "no entry for its connection, or its sequence numbers are outside the window"
        )
    if flags is not None:
        return (
            "a TCP segment in mid-connection: probably conntrack has no entry for its connection (it saw one "
            "direction only, or not the start), or its sequence numbers are outside the window"
        )
    if packet.quoted is not None:
        return "an ICMP error: probably conntrack has no entry for the packet that it quotes"
    if packet.proto in ("icmp", "icmp6"):
        return "an ICMP message: probably a reply to a request that conntrack did not see, or a bad checksum"
    return (
        "probably a bad checksum or a truncated header: any other packet of this protocol starts a connection"
    )


def _way_back(drop: Drop, host: Host, found: Blamed) -> Iterable[Evidence]:
    """Where the route to the source leads, for a rule that compares that with the way in."""
    check = rule_text.reverse_path(found.text) if found.text is not None else None
    saddr = drop.packet.saddr
    if check is None or saddr is None or saddr.is_multicast or saddr.is_unspecified or saddr.is_link_local:
        return
    mark = drop.event.mark if check.mark else 0
    route = host.route_back(drop.event.netns, saddr, mark, drop.event.monotonic_ns)
    source = f"ip route get {saddr}" + (f" mark {mark:#x}" if mark else "")
    if route is None:
        yield Evidence(source, "the route back could not be read")
    else:
        yield Evidence(source, f"after the drop: {_where_to(drop, route)}", "proof")
        yield from pinned.doubts(drop, host, pinned.Source("routes", None))


def _remedies(drop: Drop, found: Blamed) -> Iterable[Fix]:
    """What helps beside changing the rule, where the rule only says what is wrong with the packet."""
    saddr = drop.packet.saddr
    if found.cause_id == "netfilter.rpfilter-match" and saddr is not None:
        check = rule_text.reverse_path(found.text) if found.text is not None else None
        mark = f" mark {drop.event.mark:#x}" if check is not None and check.mark and drop.event.mark else ""
        yield Fix(
            "make the routes symmetric: the route back must leave through the interface that the packet came "
            "in through",
            f"ip route get {saddr}{mark}",
        )
    if found.cause_id == "netfilter.synproxy":
        yield Fix(
            "have conntrack not pick up connections midstream",
            "sysctl -w net.netfilter.nf_conntrack_tcp_loose=0",
        )
    if found.cause_id == "netfilter.conntrack-invalid":
        yield Fix("route both directions of the flow through this host, so that conntrack sees both")


def _liberal(drop: Drop, found: Blamed) -> tuple[Fix, ...]:
    """Helps against numbers outside of a window, and nothing else that conntrack calls INVALID."""
    if found.cause_id != "netfilter.conntrack-invalid" or drop.packet.proto != "tcp":
        return ()
    return (
        Step(
            "or have conntrack be liberal about TCP windows",
            "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1",
            weakens="forged segments outside the window can pass as well",
        ),
    )


def _out_of_window(drop: Drop) -> bool | None:
    """Whether conntrack said so; None where it said nothing."""
    note = drop.event.netfilter.conntrack if drop.event.netfilter is not None else None
    return None if note is None or note.words is None else _OUT_OF_WINDOW in note.words


def _where_to(drop: Drop, route: Route) -> str:
    saddr = drop.packet.saddr
    came = drop.iface.name if drop.iface is not None else None
    if route.refusal is not None:
        return f"there is no route back to {saddr}: {route.refusal}"
    if route.local:
        return f"{saddr} is an address of this host itself"
    gateway = f" via {route.gateway}" if route.gateway is not None else ""
    if came is None or route.device is None:
        return f"the route back to {saddr} leaves through {route.device or '?'}{gateway}"
    if route.device == came:
        return (
            f"the route back to {saddr} leaves through {came}{gateway}, where the packet came in: the routes have "
            "changed since, or the check looks at something else"
        )
    return (
        f"the route back to {saddr} leaves through {route.device}{gateway}, the packet came in through {came}"
    )


def _both(drop: Drop, host: Host, found: Blamed) -> Iterable[Evidence]:
    """Who looks with one of the two tools sees half of the rules."""
    tables = host.firewalls(drop.event.netns, drop.event.monotonic_ns)
    if tables is not None and tables.nft and tables.legacy:
        yield Evidence(
            "tables of this namespace",
            f"nftables and legacy iptables rules are both in use here; this one is of {_ENGINES[found.engine]}. "
            f"nftables: {_some(tables.nft)}; legacy: {_some(tables.legacy)}",
        )


def _some(tables: tuple[str, ...]) -> str:
    more = len(tables) - _MOST_TABLES
    return ", ".join(tables[:_MOST_TABLES]) + (f" and {more} more" if more > 0 else "")


def _bridged(drop: Drop, found: Blamed) -> list[tuple[Evidence, Fix]]:
    """An IP rule judged a frame that a bridge only passes on."""
    if found.family not in ("ip", "ip6", "inet", "arp"):
        return []
    if not any(name.startswith("br_nf_") for name in kernel_word.way(drop)):
        return []
    family = "ip6" if found.family == "inet" and drop.packet.family == 6 else found.family
    sysctl = f"net.bridge.bridge-nf-call-{_BRIDGE_SYSCTLS.get(family, 'iptables')}"
    fact = Evidence(
        "stack",
        f"br_netfilter passed a bridged frame to the IP rules: {sysctl} is 1, or the bridge's own nf_call setting",
    )
    fix = Step(
        "have bridged frames bypass the IP rules; Docker and Kubernetes need 1 here",
        f"sysctl -w {sysctl}=0",
        weakens="no IP rule applies to bridged frames any more",
    )
    return [(fact, fix)]
