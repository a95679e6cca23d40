"""Finds the filter that no packet on earth can match, so that nobody waits for one."""

from collections.abc import Iterable
from dataclasses import replace

from dropwatch.errors import WrongUsage
from dropwatch.match.coverage import asked_flows
from dropwatch.model.filter import Filter, Network, PortRange
from dropwatch.names import protocols


def refuse_impossible(wanted: Filter) -> None:
    """Raise WrongUsage, naming the two options, when what they ask for excludes each other."""
    _refuse_two_families(wanted)
    _refuse_ports_without_ports(wanted)
    _refuse_neither_end(wanted)
    _refuse_no_flow(wanted)
    for option, asked, excluded in (
        ("--cause", wanted.causes, wanted.not_causes),
        ("--reason", wanted.reasons, wanted.not_reasons),
    ):
        if asked and asked <= excluded:
            name = min(asked)
            raise WrongUsage(
                f"{option} {name} and {option} '!{name}' exclude each other", "leave out one of the two"
            )


def _refuse_two_families(wanted: Filter) -> None:
    asked = [
        (" ".join(f"-{family}" for family in sorted(wanted.families)), wanted.families),
        *((option, _families(networks)) for option, networks in _addresses(wanted)),
        (_proto_words(wanted), _proto_families(wanted.protos)),
        ("--icmp-type", _proto_families(frozenset(proto for proto, _ in wanted.icmp_types))),
    ]
    asked = [(option, families) for option, families in asked if families]
    for n, (first, families) in enumerate(asked):
        for second, others in asked[n + 1 :]:
            if not families & others:
                raise WrongUsage(
                    f"no packet can match: {first} is {_words(families)}, {second} is {_words(others)}",
                    "ask for one family, or leave out one of the two",
                )


def _addresses(wanted: Filter) -> list[tuple[str, tuple[Network, ...]]]:
    options = (("--saddr", wanted.saddr), ("--daddr", wanted.daddr), ("--host", wanted.host))
    return [(f"{option} {_as_typed(networks[0])}", networks) for option, networks in options if networks]


def _as_typed(network: Network) -> str:
    """Without the length of a prefix that is one address."""
    return str(network.network_address if network.num_addresses == 1 else network)


def _families(networks: Iterable[Network]) -> frozenset[int]:
    return frozenset(network.version for network in networks)


def _proto_families(protos: frozenset[int]) -> frozenset[int]:
    """The families in which at least one of these protocols exists; empty when none is asked for."""
    anywhere = frozenset({4, 6})
    only = [frozenset({protocols.ONLY_IN_FAMILY.get(proto, 0)} - {0}) or anywhere for proto in protos]
    return frozenset().union(*only)


def _proto_words(wanted: Filter) -> str:
    return " ".join(f"--proto {protocols.name(proto)}" for proto in sorted(wanted.protos))


def _words(families: frozenset[int]) -> str:
    return " and ".join(f"IPv{family}" for family in sorted(families))


def _refuse_ports_without_ports(wanted: Filter) -> None:
    if not wanted.protos or wanted.protos & protocols.WITH_PORTS:
        return
    if wanted.protos == {protocols.ARP} and (wanted.saddr or wanted.daddr or wanted.host):
        raise WrongUsage(
            "no packet can match: the addresses in ARP are known to an expression only",
            "for example: whydrop 'arp host 10.0.0.1'",
        )
    for option, ranges in (("--sport", wanted.sport), ("--dport", wanted.dport), ("--port", wanted.port)):
        if ranges:
            low, high = ranges[0]
            port = f"{option} {low}" if low == high else f"{option} {low}-{high}"
            hint = "leave out one of the two"
            if wanted.protos & protocols.IPSEC:
                hint = f"leave out --proto: {port} alone also finds the ESP and AH packets that carry it"
            raise WrongUsage(f"no packet can match: {_proto_words(wanted)} has no ports for {port}", hint)


def _refuse_neither_end(wanted: Filter) -> None:
    """--host and --port mean one end at least: impossible when both are asked to be something else."""
    hosts_meet = any(_meet(host, end) for host in wanted.host for end in (*wanted.saddr, *wanted.daddr))
    ports_meet = any(_overlap(port, end) for port in wanted.port for end in (*wanted.sport, *wanted.dport))
    for option, of_ends, impossible in (
        ("--host", "--saddr and --daddr", wanted.host and wanted.saddr and wanted.daddr and not hosts_meet),
        ("--port", "--sport and --dport", wanted.port and wanted.sport and wanted.dport and not ports_meet),
    ):
        if impossible:
            raise WrongUsage(
                f"no packet can match: {of_ends} fix both ends, and {option} is neither of them",
                f"leave out {option}",
            )


def _refuse_no_flow(wanted: Filter) -> None:
    """What the others do not find: no flow is all of this at once. ARP is no flow."""
    if not wanted.names_flow_by_options or protocols.ARP in wanted.protos or asked_flows(wanted):
        return
    if wanted.expression is not None and wanted.expression.asks_tag:  # of a frame: no flow that is carried
        return
    if wanted.expression is not None and asked_flows(replace(wanted, expression=None)):
        raise WrongUsage(
            "no packet can match: the expression and the options exclude each other",
            "ask for all of it in one of the two",
        )
    raise WrongUsage("no packet can match: the options exclude each other", "leave out one of them")


def _meet(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _overlap(one: PortRange, other: PortRange) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
