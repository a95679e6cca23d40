"""NAT gave the packet other addresses: what it was before, and which rule of today does that."""

from collections.abc import Callable, Iterator

from dropwatch.causes.past import rule_words
from dropwatch.causes.past.rule_words import ChangingRule
from dropwatch.host.host import Host
from dropwatch.host.listed_rule import ChangingRules
from dropwatch.model.drop import Decision, Drop, Fix, Verdict
from dropwatch.model.past import Connection, Ends
from dropwatch.packet.connection import destination_changed, is_translated, source_changed, turned

_MESSAGES = frozenset({"icmp", "icmp6"})
_PORTS = frozenset({"tcp", "udp", "udplite", "sctp", "dccp"})
_SHOWN = 3
_IPVS = "probe ip_vs_nat_xmit, which had this packet before"
_SEEN = "conntrack entry of the packet, at the drop"

Does = Callable[[ChangingRule, Ends, Ends], bool]


def decisions(drop: Drop, host: Host, cause_id: str | None, verdict: Verdict) -> Iterator[Decision]:
    """Only of what had been translated when the packet died: its entry has also what was still to come."""
    del cause_id, verdict
    connection = drop.event.past.connection if drop.event.past is not None else None
    now = rule_words.as_ends(drop.packet)
    if connection is None or now is None or not is_translated(connection):
        return
    if connection.by_ipvs:
        service = _end(connection.original.daddr, connection.original.dport)
        yield Decision(f"was for {service} until IPVS sent it to a real server", "certain", None, (_IPVS,))
        return
    if connection.state == "related" and drop.packet.proto in _MESSAGES:
        return
    before, after = connection.original, turned(connection.reply)
    if connection.is_reply:
        if destination_changed(connection) and _same(now.saddr, now.sport, after.daddr, after.dport):
            text = f"replies to a packet that was for {_end(before.daddr, before.dport)} until {_what(connection)}"
            yield _decision(drop, host, connection, text, rule_words.sends_to)
        return
    if destination_changed(connection) and _same(now.daddr, now.dport, after.daddr, after.dport):
        text = f"was for {_end(before.daddr, before.dport)} until {_what(connection)}"
        yield _decision(drop, host, connection, text, rule_words.sends_to)
    if source_changed(connection) and _same(now.saddr, now.sport, after.saddr, after.sport):
        text = f"was from {_source(connection)} until SNAT"
        yield _decision(drop, host, connection, text, rule_words.comes_from)


def _what(connection: Connection) -> str:
    """IPVS changes an entry of conntrack without its words for NAT."""
    return (
        "DNAT" if connection.destination_nat else "something other than NAT (IPVS?) changed its destination"
    )


def _decision(drop: Drop, host: Host, connection: Connection, text: str, does: Does) -> Decision:
    evidence: tuple[str, ...] = (_SEEN, _entry(connection))
    event = drop.event
    known = host.changing_rules(event.netns, event.monotonic_ns)
    if known is None or not (connection.destination_nat or connection.source_nat):
        return Decision(text, "certain", None, evidence)
    found = _candidates(known, connection, does)
    if len(found) == 1:
        (rule,) = found
        evidence = (
            *evidence,
            "the only current rule that does so; the conntrack entry does not name its rule",
        )
        return Decision(f"{text} by {rule_words.shown(rule)}", "likely", rule, evidence)
    if found:
        listed = tuple(f"current: {rule_words.shown(rule)}" for rule in found[:_SHOWN])
        return Decision(f"{text} by one of {len(found)} rules", "likely", None, (*evidence, *listed))
    if not known.complete:
        return Decision(text, "certain", None, (*evidence, "not all rules could be read"))
    older = f"{text}; no current rule does so: the connection is older than the rules"
    return Decision(older, "likely", None, evidence, _forget(connection))


def _forget(connection: Connection) -> Fix:
    came = connection.original
    words = ["conntrack -D", *(["-f ipv6"] if came.saddr.version == 6 else []), f"-p {connection.proto}"]
    words += [f"-s {came.saddr} -d {came.daddr}"]
    if connection.proto in _PORTS:
        words.append(f"--sport {came.sport} --dport {came.dport}")
    words += [f"-w {connection.zone}"] if connection.zone else []
    text = "if its translation is not wanted any more, delete the old entry: the next packet meets the rules of today"
    return Fix(text, " ".join(words))


def _candidates(known: ChangingRules, connection: Connection, does: Does) -> list[ChangingRule]:
    """A rule for the source sees the packet with its new destination."""
    before, after = connection.original, turned(connection.reply)
    between = Ends(before.saddr, after.daddr, before.sport, after.dport)
    met = before if does is rule_words.sends_to else between
    return [
        rule
        for rule in known.rules
        if does(rule, before, after) and rule_words.may_be_for(rule, connection.proto, met)
    ]


def _same(address: object, port: int | None, other: object, other_port: int | None) -> bool:
    return address == other and (port == other_port or port is None)


def _source(connection: Connection) -> str:
    """Without the port that the sender chose, unless that is all that was changed."""
    before, after = connection.original, turned(connection.reply)
    return str(before.saddr) if before.saddr != after.saddr else _end(before.saddr, before.sport)


def _end(address: object, port: int | None) -> str:
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _entry(connection: Connection) -> str:
    """As conntrack -L has it, without the ports that the sender chose."""
    came, back = connection.original, connection.reply
    words = [connection.proto, connection.state, f"src={came.saddr} dst={came.daddr}"]
    words += [f"dport={came.dport}"] if came.dport is not None else []
    words.append(f"src={back.saddr} dst={back.daddr}")
    words += [f"sport={back.sport}"] if back.sport is not None else []
    words += [f"mark={connection.mark:#x}"] if connection.mark else []
    words += [f"zone={connection.zone}"] if connection.zone else []
    return " ".join(words)
