"""Selectors against flows: known cases, and thousands of made-up ones against the kernel's rule for a single flow."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any, TypeVar

import pytest

from dropwatch.match.coverage import Flows, asked_flows, between, covers, mirrored, narrowed
from dropwatch.model.drop import Address
from dropwatch.model.filter import Filter, Network, PortRange
from dropwatch.model.ipsec import Selector

Made = TypeVar("Made")
TCP, UDP, ICMP, GRE, DCCP, ESP, ICMP6, MH = 6, 17, 1, 47, 33, 50, 58, 135
V4: list[Address] = [ip_address(f"10.0.0.{n}") for n in range(4)]
V6: list[Address] = [ip_address(f"fc00::{n}") for n in range(4)]
PORTS = range(16)
PROTOS = [TCP, UDP, ICMP, GRE, DCCP, ESP, ICMP6, MH]


@dataclass(frozen=True)
class Flow:
    """One single flow; `sport` and `dport` are None where the protocol has no ports."""

    proto: int
    src: Address
    dst: Address
    sport: int | None
    dport: int | None


def selector_matches(selector: Selector, flow: Flow, compared: tuple[int, int]) -> bool:
    """xfrm_selector_match of the kernel, for what it would compare with the ports."""

    def prefix(address: Address | None, length: int, value: Address) -> bool:
        return address is None or value in ip_network((address, length), strict=False)

    return (
        selector.family in (0, flow.src.version)
        and prefix(selector.saddr, selector.prefixlen_s, flow.src)
        and prefix(selector.daddr, selector.prefixlen_d, flow.dst)
        and selector.proto in (0, flow.proto)
        and not (compared[0] ^ selector.sport) & selector.sport_mask
        and not (compared[1] ^ selector.dport) & selector.dport_mask
    )


def compared_ports(flow: Flow) -> Iterable[tuple[int, int]]:
    """What the kernel may compare: ports, any ICMP type and code, any halves of a GRE key, a mobility type."""
    if flow.proto in (TCP, UDP):
        return [(flow.sport or 0, flow.dport or 0)]
    if flow.proto in (ICMP, ICMP6, GRE):
        return product(PORTS, PORTS)
    if flow.proto == MH:
        return [(port, 0) for port in PORTS]
    return [(0, 0)]


def filter_matches(wanted: Filter, flow: Flow) -> bool:
    def inside(ranges: tuple[PortRange, ...], port: int | None) -> bool:
        return port is not None and any(first <= port <= last for first, last in ranges)

    def member(networks: tuple[Network, ...], address: Address) -> bool:
        return any(address.version == network.version and address in network for network in networks)

    return (
        (not wanted.families or flow.src.version in wanted.families)
        and (not wanted.protos or flow.proto in wanted.protos)
        and (not wanted.saddr or member(wanted.saddr, flow.src))
        and (not wanted.daddr or member(wanted.daddr, flow.dst))
        and (not wanted.host or member(wanted.host, flow.src) or member(wanted.host, flow.dst))
        and (not wanted.sport or inside(wanted.sport, flow.sport))
        and (not wanted.dport or inside(wanted.dport, flow.dport))
        and (not wanted.port or inside(wanted.port, flow.sport) or inside(wanted.port, flow.dport))
    )


def every_flow() -> Iterator[Flow]:
    for proto, (src, dst) in product(PROTOS, [*product(V4, V4), *product(V6, V6)]):
        if proto in (TCP, UDP, DCCP):
            for sport, dport in product(PORTS, PORTS):
                yield Flow(proto, src, dst, sport, dport)
        else:
            yield Flow(proto, src, dst, None, None)


def random_network(chance: random.Random, addresses: list[Address] | None = None) -> Network:
    address = chance.choice(addresses or [*V4, *V6])
    return ip_network((address, address.max_prefixlen - chance.choice([0, 0, 1, 2])), strict=False)


def random_range(chance: random.Random) -> PortRange:
    first = chance.choice(PORTS)
    return (first, chance.randint(first, max(PORTS)))


def random_filter(chance: random.Random) -> Filter:
    def maybe(make: Callable[[random.Random], Made]) -> tuple[Made, ...]:
        return tuple(make(chance) for _ in range(chance.choice([0, 0, 0, 1, 2])))

    return Filter(
        families=frozenset(chance.sample([4, 6], chance.choice([0, 0, 1, 2]))),
        protos=frozenset(chance.sample(PROTOS, chance.choice([0, 0, 1, 2]))),
        saddr=maybe(random_network),
        daddr=maybe(random_network),
        host=maybe(random_network),
        sport=maybe(random_range),
        dport=maybe(random_range),
        port=maybe(random_range),
    )


def random_selector(chance: random.Random) -> Selector:
    addresses = chance.choice([V4, V6])
    source = random_network(chance, addresses) if chance.random() < 0.6 else None
    destination = random_network(chance, addresses) if chance.random() < 0.6 else None

    def one_of(network: Network | None) -> Address | None:
        return network[chance.randrange(network.num_addresses)] if network else None

    masks = [0, 0, 0xFFFF, 0xFFF8, 0xFFFE, 0x5]
    return Selector(
        family=chance.choice([addresses[0].version, addresses[0].version, 0]),
        saddr=one_of(source),  # the kernel does not clear host bits
        prefixlen_s=source.prefixlen if source else 0,
        daddr=one_of(destination),
        prefixlen_d=destination.prefixlen if destination else 0,
        proto=chance.choice([0, 0, *PROTOS]),
        sport=chance.choice([0, *PORTS]),
        sport_mask=chance.choice(masks),
        dport=chance.choice([0, *PORTS]),
        dport_mask=chance.choice(masks),
    )


def related_selector(chance: random.Random, selector: Selector) -> Selector:
    """Part by part the same, open, or something else: one that may well cover all of the other."""
    other = random_selector(chance)
    if other.family != selector.family:
        other = Selector(family=selector.family)
    parts = [
        ("saddr", "prefixlen_s"),
        ("daddr", "prefixlen_d"),
        ("proto",),
        ("sport", "sport_mask"),
        ("dport", "dport_mask"),
    ]
    chosen: dict[str, Any] = {}
    for names in parts:
        origin = chance.choice([selector, selector, selector, Selector(), Selector(), other])
        chosen |= {name: getattr(origin, name) for name in names}
    return Selector(family=chance.choice([selector.family, 0]), **chosen)


FLOWS = list(every_flow())
VIEWS = [(flow, list(compared_ports(flow))) for flow in FLOWS]


@pytest.mark.parametrize("seed", range(30))
def test_a_selector_covers_some_of_the_filter_exactly_when_one_flow_fits_both(seed: int) -> None:
    chance = random.Random(seed)
    wanted, selector = random_filter(chance), random_selector(chance)
    both = any(
        filter_matches(wanted, flow) and any(selector_matches(selector, flow, view) for view in views)
        for flow, views in VIEWS
    )
    assert any(narrowed(flows, selector) is not None for flows in asked_flows(wanted)) == both, (
        wanted,
        selector,
    )


@pytest.mark.parametrize("seed", range(30))
def test_what_covers_all_leaves_no_flow_out(seed: int) -> None:
    """`covers` may say no where it is yes (a range around gaps), never yes where it is no."""
    chance = random.Random(1000 + seed)
    wanted, inner = random_filter(chance), random_selector(chance)
    outer = related_selector(chance, inner)
    for flows in asked_flows(wanted):
        found = narrowed(flows, inner)
        if found is None or not covers(outer, found):
            continue
        for flow, views in VIEWS:
            fits = [
                view for view in views if filter_matches(wanted, flow) and selector_matches(inner, flow, view)
            ]
            if fits and in_flows(found, flow):
                assert any(selector_matches(outer, flow, view) for view in fits), (wanted, inner, outer, flow)


def in_flows(flows: Flows, flow: Flow) -> bool:
    return (
        flows.proto in (None, flow.proto)
        and (flows.src is None or (flow.src.version == flows.src.version and flow.src in flows.src))
        and (flows.dst is None or (flow.dst.version == flows.dst.version and flow.dst in flows.dst))
        and (flow.sport is None or flows.sport[0] <= flow.sport <= flows.sport[1])
        and (flow.dport is None or flows.dport[0] <= flow.dport <= flows.dport[1])
    )


def test_the_random_cases_are_of_both_kinds() -> None:
    answers = {"some": 0, "none": 0, "all": 0, "not all": 0}
    for seed in range(60):
        chance = random.Random(1000 + seed)
        wanted, inner = random_filter(chance), random_selector(chance)
        outer = related_selector(chance, inner)
        for flows in asked_flows(wanted):
            found = narrowed(flows, inner)
            answers["none" if found is None else "some"] += 1
            if found is not None:
                answers["all" if covers(outer, found) else "not all"] += 1
    assert all(count > 10 for count in answers.values()), answers


def test_a_port_means_a_protocol_that_has_ports() -> None:
    assert {flows.proto for flows in asked_flows(Filter(dport=((5000, 5000),)))} == {6, 17, 33, 132, 136}
    assert asked_flows(Filter(dport=((5000, 5000),), protos=frozenset({ICMP}))) == ()
    assert {flows.proto for flows in asked_flows(Filter(port=((1, 2),), protos=frozenset({ICMP, UDP})))} == {
        UDP
    }


def test_a_filter_without_a_flow_asks_for_every_flow() -> None:
    assert asked_flows(Filter(ifaces=("eth0",))) == (Flows(),)


def test_what_contradicts_itself_asks_for_nothing() -> None:
    assert asked_flows(Filter(families=frozenset({4}), saddr=(ip_network("fc00::/7"),))) == ()
    assert asked_flows(Filter(saddr=(ip_network("10.0.0.0/8"),), daddr=(ip_network("fc00::/7"),))) == ()


def test_kinds_are_and_ed() -> None:
    """A source port of 1-3, and either port of 5-9: that can only be the destination's."""
    udp = frozenset({UDP})
    assert asked_flows(Filter(protos=udp, sport=((1, 3),), port=((5, 9),))) == (
        Flows(proto=UDP, sport=(1, 3), dport=(5, 9)),
    )
    assert asked_flows(Filter(protos=udp, sport=((1, 6),), port=((5, 9),))) == (
        Flows(proto=UDP, sport=(5, 6)),
        Flows(proto=UDP, sport=(1, 6), dport=(5, 9)),
    )


def test_any_of_the_values_of_a_kind_is_enough() -> None:
    wanted = Filter(dport=((80, 80), (443, 443)), protos=frozenset({TCP}))
    https = Selector(proto=TCP, dport=443, dport_mask=0xFFFF)
    assert [narrowed(flows, https) is not None for flows in asked_flows(wanted)] == [False, True]


def test_between_pins_both_addresses() -> None:
    flows = between(Flows(), V4[1], V4[2])
    assert flows == Flows(4, None, ip_network("10.0.0.1/32"), ip_network("10.0.0.2/32"))
    assert between(Flows(src=ip_network("10.0.0.2/31")), V4[1], V4[2]) is None
    assert between(Flows(), V4[1], V6[2]) is None


def test_a_mask_narrows_to_its_block_of_ports() -> None:
    found = narrowed(Flows(proto=UDP), Selector(dport=5000, dport_mask=0xFFF8))
    assert found is not None
    assert found.dport == (5000, 5007)


def test_icmp_type_and_code_are_compared_as_ports() -> None:
    echo = Selector(proto=ICMP, sport=8, sport_mask=0xFFFF, dport=0, dport_mask=0xFFFF)
    assert narrowed(Flows(proto=ICMP), echo) is not None
    assert narrowed(Flows(proto=ICMP), Selector(dport=5000, dport_mask=0xFFFF)) is None


def test_the_kernel_compares_no_port_of_dccp() -> None:
    assert narrowed(Flows(proto=DCCP, dport=(5000, 5000)), Selector(dport=5000, dport_mask=0xFFFF)) is None
    assert narrowed(Flows(proto=DCCP, dport=(5000, 5000)), Selector()) is not None


def test_a_protocol_without_ports_is_covered_by_port_0_only() -> None:
    assert covers(Selector(dport=0, dport_mask=0xFFFF), Flows(proto=ESP))
    assert not covers(Selector(dport=5, dport_mask=0xFFFF), Flows(proto=ESP))


def test_the_mirror_of_a_selector_is_the_way_back() -> None:
    selector = Selector(4, V4[1], 32, V4[2], 24, UDP, 53, 0xFFFF, 5000, 0xFFF0, 3)
    assert mirrored(selector) == Selector(4, V4[2], 24, V4[1], 32, UDP, 5000, 0xFFF0, 53, 0xFFFF, 3)
    assert mirrored(mirrored(selector)) == selector
