"""The filter in user space: kinds are AND-ed, values OR-ed, carriers are recognised, the unknown never fits."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from dropwatch.match.flow import FlowMatcher, InterfaceName, IpsecMatch
from dropwatch.model.drop import Drop, Event, Interface, MatchResult, Packet
from dropwatch.model.filter import Filter, Network
from dropwatch.packet.parse import parse
from tests.unit.packet import packets as made


def nets(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


def never(drop: Drop, wanted: Filter) -> None:
    raise AssertionError("the IPsec matcher was asked")


def matcher(
    wanted: Filter, ipsec: IpsecMatch = never, interface_name: InterfaceName = lambda netns, index: None
) -> FlowMatcher:
    return FlowMatcher(wanted, ipsec, interface_name)


def how(wanted: Filter, drop: Drop, **settings: Any) -> str | None:
    found = matcher(wanted, **settings).match(drop)
    return found.how if found else None


FITTING = (
    Filter(),
    Filter(families=frozenset({4})),
    Filter(families=frozenset({4, 6})),
    Filter(protos=frozenset({6, 17})),
    Filter(saddr=nets("10.9.0.0/24")),
    Filter(saddr=nets("fd00::/8", "10.9.0.1")),
    Filter(daddr=nets("10.9.0.2/32")),
    Filter(host=nets("10.9.0.1")),
    Filter(host=nets("10.9.0.2")),
    Filter(sport=((40000, 40000),)),
    Filter(dport=((53, 53), (5000, 5010))),
    Filter(port=((5000, 5000),)),
    Filter(port=((39000, 41000),)),
    Filter(ifaces=("va", "vb")),
    Filter(netns=(4026532234,)),
    Filter(marks=((0x10, 0xF0),)),
    Filter(marks=((0x1, 0xF), (0x13, 0xFFFFFFFF))),
    Filter(reasons=frozenset({"NO_SOCKET", "IP_INHDR"})),
    Filter(not_reasons=frozenset({"IP_INHDR"})),
    Filter(protos=frozenset({17}), saddr=nets("10.9.0.1"), dport=((5000, 5000),), ifaces=("vb",)),
)
UNFIT = (
    Filter(families=frozenset({6})),
    Filter(protos=frozenset({6})),
    Filter(saddr=nets("10.9.0.2")),
    Filter(saddr=nets("::/0")),
    Filter(daddr=nets("10.9.0.0/31")),
    Filter(host=nets("10.9.0.3")),
    Filter(sport=((5000, 5000),)),
    Filter(dport=((40000, 40000),)),
    Filter(port=((1, 4999), (5001, 39999))),
    Filter(ifaces=("va",)),
    Filter(netns=(1,)),
    Filter(marks=((0x10, 0xFF),)),
    Filter(reasons=frozenset({"IP_INHDR"})),
    Filter(not_reasons=frozenset({"NO_SOCKET"})),
    Filter(protos=frozenset({17}), saddr=nets("10.9.0.1"), dport=((5000, 5000),), ifaces=("va",)),
)


@pytest.mark.parametrize("wanted", FITTING)
def test_fits_directly(
    wanted: Filter, make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    drop = make_drop(make_packet(mark=0x13), reason="NO_SOCKET")
    assert matcher(wanted).match(drop) == MatchResult("direct")


@pytest.mark.parametrize("wanted", UNFIT)
def test_does_not_fit(
    wanted: Filter, make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    assert how(wanted, make_drop(make_packet(mark=0x13), reason="NO_SOCKET")) is None


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(families=frozenset({4})),
        Filter(protos=frozenset({17})),
        Filter(saddr=nets("0.0.0.0/0")),
        Filter(daddr=nets("0.0.0.0/0")),
        Filter(host=nets("0.0.0.0/0", "::/0")),
        Filter(sport=((0, 65535),)),
        Filter(dport=((0, 65535),)),
        Filter(port=((0, 65535),)),
        Filter(ifaces=("vb",)),
        Filter(netns=(4026532234,)),
        Filter(reasons=frozenset({"NO_SOCKET"})),
    ],
)
def test_what_is_not_known_never_fits_what_is_asked_for(
    wanted: Filter, make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    empty = make_packet(family=None, proto=None, saddr=None, daddr=None, sport=None, dport=None)
    drop = make_drop(empty, iface=None, netns=None, reason=None)
    assert how(wanted, drop) is None


def test_a_kernel_without_reasons_passes_an_excluded_reason(make_drop: Callable[..., Drop]) -> None:
    assert how(Filter(not_reasons=frozenset({"NO_SOCKET"})), make_drop(reason=None)) == "direct"


def test_reasons_of_subsystems_are_compared_without_regard_to_case(make_drop: Callable[..., Drop]) -> None:
    assert how(Filter(reasons=frozenset({"OVS_DROP_METER"})), make_drop(reason="ovs_drop_meter")) == "direct"


def test_without_a_filter_everything_fits_also_arp(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    arp = make_packet(family=None, proto="arp", saddr=None, daddr=None, sport=None, dport=None)
    assert how(Filter(), make_drop(arp, iface=None, netns=None)) == "direct"


def test_the_interface_it_came_in_through_fits_too(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> None:
    forwarded = make_drop(event=make_event(ifindex=3, skb_iif=2, netns=77), iface=Interface(3, "eth1"))
    names = {(77, 2): "eth0", (77, 3): "eth1"}
    asked = {
        name: how(Filter(ifaces=(name,)), forwarded, interface_name=lambda n, i: names.get((n, i)))
        for name in ("eth0", "eth1", "eth2")
    }
    assert asked == {"eth0": "direct", "eth1": "direct", "eth2": None}


def fragment(make_packet: Callable[..., Packet], offset: int, **fields: Any) -> Packet:
    first = offset == 0
    ports = {} if first else {"sport": None, "dport": None}
    return make_packet(fragment_id=7, fragment_offset=offset, more_fragments=first, **{**ports, **fields})


def test_a_later_fragment_fits_by_its_addresses_and_says_so(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    wanted = Filter(dport=((5000, 5000),), saddr=nets("10.9.0.1"))
    found = matcher(wanted).match(make_drop(fragment(make_packet, 1480)))
    assert found is not None
    assert found.how == "fragment"
    assert "was not seen" in (found.why or "")
    assert how(wanted, make_drop(fragment(make_packet, 1480, saddr="10.9.0.9"))) is None


def test_a_later_fragment_follows_its_first_fragment(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    wanted = Filter(dport=((5000, 5000),))
    flow = matcher(wanted)
    assert flow.match(make_drop(fragment(make_packet, 0, dport=6000))) is None
    assert flow.match(make_drop(fragment(make_packet, 1480))) is None
    assert flow.match(make_drop(fragment(make_packet, 0, daddr="10.9.0.3"))) == MatchResult("direct")
    found = flow.match(make_drop(fragment(make_packet, 1480, daddr="10.9.0.3")))
    assert found is not None
    assert (found.how, "first fragment fit" in (found.why or "")) == ("fragment", True)


def test_a_fragment_fits_directly_when_no_port_is_asked_for(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    assert how(Filter(protos=frozenset({17})), make_drop(fragment(make_packet, 1480))) == "direct"


def test_a_fragment_of_a_protocol_without_ports_carries_no_port(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    drop = make_drop(fragment(make_packet, 1480, proto="icmp"))
    assert how(Filter(dport=((5000, 5000),)), drop) is None


def test_the_memory_of_first_fragments_is_bounded(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    flow = matcher(Filter(dport=((5000, 5000),)))
    for number in range(10_000):
        flow.match(make_drop(make_packet(dport=1, fragment_id=number, more_fragments=True)))
    assert len(flow._first_fits) == 4096


def test_an_icmp_error_fits_by_the_packet_it_quotes(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    error = make_packet(
        proto="icmp",
        saddr="10.9.0.2",
        daddr="10.9.0.1",
        sport=None,
        dport=None,
        icmp_type=3,
        icmp_code=4,
        quoted=make_packet(),
    )
    found = matcher(Filter(dport=((5000, 5000),), saddr=nets("10.9.0.1"))).match(make_drop(error))
    assert found is not None
    assert found.how == "icmp-quote"
    assert "udp 10.9.0.1 port 40000 > 10.9.0.2 port 5000" in (found.why or "")
    assert how(Filter(sport=((5000, 5000),)), make_drop(error)) is None
    assert how(Filter(protos=frozenset({1})), make_drop(error)) == "direct"


def test_an_icmp_error_fits_by_the_ipsec_packet_it_quotes(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    esp = make_packet(proto="esp", sport=None, dport=None, spi=0x1001)
    drop = make_drop(make_packet(proto="icmp", sport=None, dport=None, icmp_type=3, icmp_code=4, quoted=esp))
    asked = []

    def ipsec(drop: Drop, wanted: Filter) -> MatchResult | None:
        asked.append((drop.packet, drop.where.direction))
        return MatchResult("ipsec", "a policy covers it") if wanted.dport == ((5000, 5000),) else None

    found = matcher(Filter(dport=((5000, 5000),)), ipsec).match(drop)
    assert found is not None
    assert found.how == "icmp-quote"
    assert (found.why or "").endswith("quotes esp 10.9.0.1 > 10.9.0.2: a policy covers it")
    assert asked == [(esp, None)]
    assert how(Filter(dport=((5001, 5001),)), drop, ipsec=ipsec) is None


def test_a_tunnel_fits_by_what_is_inside_also_two_deep(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    outer = {"sport": None, "dport": None, "saddr": "192.0.2.1", "daddr": "192.0.2.2"}
    gre = make_packet(proto="gre", inner=make_packet(), **outer)
    twice = make_packet(proto="ipip", inner=gre, **outer)
    wanted = Filter(dport=((5000, 5000),))
    assert how(wanted, make_drop(gre)) == "tunnel"
    assert how(wanted, make_drop(twice)) == "tunnel"
    assert how(Filter(dport=((5001, 5001),)), make_drop(twice)) is None
    assert how(Filter(host=nets("192.0.2.1")), make_drop(gre)) == "direct"


def test_a_tunnel_fits_by_the_error_inside_that_quotes_the_flow(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    error = make_packet(proto="icmp", sport=None, dport=None, quoted=make_packet())
    gre = make_packet(proto="gre", sport=None, dport=None, inner=error)
    assert how(Filter(dport=((5000, 5000),)), make_drop(gre)) == "tunnel"


def test_an_error_that_quotes_a_tunnel_fits_by_what_the_tunnel_carries(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    gre = make_packet(proto="gre", sport=None, dport=None, inner=make_packet())
    error = make_packet(proto="icmp", sport=None, dport=None, icmp_type=3, icmp_code=4, quoted=gre)
    found = matcher(Filter(dport=((5000, 5000),))).match(make_drop(error))
    assert found is not None
    assert (found.how, (found.why or "").partition("quotes ")[2]) == (
        "icmp-quote",
        "a gre packet around udp 10.9.0.1 port 40000 > 10.9.0.2 port 5000",
    )


def in_vxlan(packet: bytes, *tags: int) -> bytes:
    frame = made.ethernet(0x0800, packet)
    for tag in tags:
        frame = frame[:12] + b"\x81\0" + made.vlan(tag, int.from_bytes(frame[12:14], "big"), frame[14:])
    return made.ipv4(made.UDP, made.udp(made.vxlan(frame), 51000, 4789), "192.0.2.1", "192.0.2.2")


@pytest.mark.parametrize("tags", [(), (5,), (5, 6)])
@pytest.mark.parametrize("tunnels", [1, 2])
def test_a_port_behind_vlan_tags_in_vxlan(
    make_drop: Callable[..., Drop], tunnels: int, tags: tuple[int, ...]
) -> None:
    packet = made.ipv4(made.UDP, made.udp(b"x", 40000, 5000))
    for _ in range(tunnels):
        packet = in_vxlan(packet, *tags)
    drop = make_drop(packet=parse(packet, 0x0800, len(packet), 0))
    found = matcher(Filter(dport=((5000, 5000),))).match(drop)
    assert found == MatchResult("tunnel", "udp packet around udp 10.9.0.1 port 40000 > 10.9.0.2 port 5000")
    assert how(Filter(dport=((5001, 5001),)), drop) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"proto": "esp", "sport": None, "dport": None, "spi": 0x1001},
        {"proto": "ah", "sport": None, "dport": None, "spi": 0x1001},
        {"proto": "comp", "sport": None, "dport": None},
        {"proto": "udp", "sport": 4500, "dport": 4500, "spi": 0x1001},
        {"proto": "esp", "sport": None, "dport": None, "fragment_offset": 1480},
    ],
)
def test_ipsec_packets_are_left_to_the_ipsec_matcher(
    fields: dict[str, Any], make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    asked = []

    def ipsec(drop: Drop, wanted: Filter) -> MatchResult | None:
        asked.append(drop)
        return MatchResult("ipsec", "a policy covers it")

    drop = make_drop(make_packet(**fields))
    assert how(Filter(dport=((5000, 5000),)), drop, ipsec=ipsec) == "ipsec"
    assert asked == [drop]


def test_the_ipsec_matcher_is_not_asked_when_the_packet_fits_or_the_place_does_not(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    esp = make_drop(make_packet(proto="esp", sport=None, dport=None, spi=1))
    assert how(Filter(protos=frozenset({50})), esp) == "direct"
    assert how(Filter(dport=((5000, 5000),), ifaces=("other",)), esp) is None
    assert how(Filter(dport=((5001, 5001),)), make_drop()) is None
