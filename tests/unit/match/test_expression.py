"""An expression fits by the bytes of the packet, and of what it carries; what carries it is found as with options."""

from ipaddress import ip_network

import pytest

from dropwatch.match.coverage import Flows, asked_flows, names_ports
from dropwatch.match.flow import FlowMatcher
from dropwatch.model.drop import Drop, MatchResult
from dropwatch.model.filter import Filter, Owner
from dropwatch.packet.parse import parse_event
from dropwatch.pcap.libpcap import compile_expression
from tests.unit.conftest import build_drop, build_event
from tests.unit.packet import packets as made

INSIDE = made.ipv4(made.UDP, made.udp(b"hello", 40000, 5000), "10.0.0.1", "10.0.0.2")


def wanted(text: str, **kinds: object) -> Filter:
    return Filter(expression=compile_expression(text), **kinds)  # type: ignore[arg-type]


def dropped(packet: bytes, **fields: object) -> Drop:
    event = build_event(packet=packet, **fields)
    return build_drop(parse_event(event), event)


def how(text: str, *packets: bytes, **fields: object) -> list[str | None]:
    matcher = FlowMatcher(wanted(text), lambda drop, asked: MatchResult("ipsec"), lambda netns, index: None)
    found = [matcher.match(dropped(packet, **fields)) for packet in packets]
    return [one.how if one is not None else None for one in found]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("udp port 5000", "direct"),
        ("udp port 5001", None),
        ("udp[8:4] = 0x68656c6c", "direct"),
        ("udp[8:4] = 0x68656c6d", None),
        ("udp port 5000 and host 10.0.0.1 and not tcp", "direct"),
        ("len = 47", "direct"),
        ("ip6", None),
        ("arp", None),
    ],
)
def test_by_the_bytes(text: str, fits: str | None) -> None:
    assert how(text, INSIDE) == [fits]


def test_arp_fits_by_its_ethertype() -> None:
    request = bytes.fromhex("00010800060400010200000000010a0000010000000000000a000002")
    assert how("arp host 10.0.0.2", request, protocol=0x0806) == ["direct"]
    assert how("arp host 10.0.0.3", request, protocol=0x0806) == [None]
    assert how("udp or arp", request, protocol=0x0806) == ["direct"]


def test_the_link_header_is_seen_where_it_was_read() -> None:
    link = bytes.fromhex("0200000000ff0200000000010800")
    assert how("ether src 02:00:00:00:00:01 and udp", INSIDE, link=link) == ["direct"]
    assert how("ether src 02:00:00:00:00:01 and udp", INSIDE) == [None]


def test_what_carries_it_is_found() -> None:
    tunnel = made.ipv4(made.GRE, made.gre(made.IP4_TYPE, INSIDE))
    error = made.ipv4(made.ICMP, made.icmp(3, 3, INSIDE), "10.0.0.2", "10.0.0.1")
    around = made.ipv4(made.GRE, made.gre(made.IP4_TYPE, error))
    esp = made.ipv4(made.ESP, made.esp())
    text = "udp port 5000 and len > 14"
    assert how(text, tunnel, error, around, esp) == ["tunnel", "icmp-quote", "tunnel", "ipsec"]
    assert how("udp[8:4] = 0x68656c6c", tunnel, error) == ["tunnel", "icmp-quote"]
    assert how("udp port 5001", tunnel, error, around) == [None, None, None]


def test_a_later_fragment_fits_as_far_as_it_tells() -> None:
    first = made.ipv4(made.UDP, made.udp(b"x" * 24, 40000, 5000), flags=0x2000)
    later = made.ipv4(made.UDP, b"x" * 24, flags=0x0004)
    assert how("udp port 5000", later) == ["fragment"]
    assert how("udp port 5000", first, later) == ["direct", "fragment"]
    assert how("udp port 5001", first, later) == [None, None]
    assert how("udp port 5000 and host 10.1.1.1", later) == [None]
    assert how("tcp port 5000", later) == [None]
    assert how("udp and host 10.9.0.1", later) == ["direct"]


@pytest.mark.parametrize(
    ("text", "flows"),
    [
        ("udp port 5000", {Flows(proto=17, sport=(5000, 5000)), Flows(proto=17, dport=(5000, 5000))}),
        ("udp dst port 53", {Flows(proto=17, dport=(53, 53))}),
        ("icmp", {Flows(4, 1)}),
        ("dst net 10.0.0.0/8 and tcp", {Flows(4, 6, None, ip_network("10.0.0.0/8"))}),
        ("udp[8:4] = 5", {Flows(proto=17)}),
        ("not udp", {Flows()}),
        ("arp", set()),
        ("udp or arp", {Flows(proto=17)}),
        ("udp or vlan 7", {Flows(proto=17)}),
        ("vlan and udp", set()),
        ("ether host 02:00:00:00:00:01", {Flows()}),
    ],
)
def test_the_flows_for_which_policies_are_searched(text: str, flows: set[Flows]) -> None:
    assert set(asked_flows(wanted(text))) == flows


def test_options_and_the_expression_are_joined() -> None:
    both = wanted("udp", dport=((53, 53),), saddr=(ip_network("10.0.0.0/8"),))
    assert asked_flows(both) == (Flows(4, 17, ip_network("10.0.0.0/8"), dport=(53, 53)),)
    matcher = FlowMatcher(both, lambda drop, asked: None, lambda netns, index: None)
    assert matcher.match(dropped(INSIDE)) is None
    assert names_ports(both)
    assert names_ports(wanted("not port 53"))
    assert not names_ports(wanted("host 10.0.0.1", owner=Owner()))


def test_what_is_excluded_does_not_fit() -> None:
    for but, fits in (
        (Filter(host=(ip_network("10.0.0.1"),)), False),
        (Filter(dport=((5000, 5000),)), False),
        (Filter(dport=((5001, 5001),), host=(ip_network("10.0.0.3"),)), True),
        (Filter(dport=((5001, 5001),), protos=frozenset({17})), False),
        (Filter(ifaces=("vb",)), False),
        (Filter(netns=(1,)), True),
        (Filter(marks=((0, 0xFF),)), False),
    ):
        matcher = FlowMatcher(Filter(but=but), lambda drop, asked: None, lambda netns, index: None)
        assert (matcher.match(dropped(INSIDE)) is not None) is fits, but


def test_types_of_icmp() -> None:
    request, reply = (made.ipv4(made.ICMP, made.icmp(kind, 0, b"ping")) for kind in (8, 0))
    asked = Filter(icmp_types=frozenset({(1, 8), (58, 128)}))
    matcher = FlowMatcher(asked, lambda drop, wanted: None, lambda netns, index: None)
    assert matcher.match(dropped(request)) == MatchResult("direct")
    assert matcher.match(dropped(reply)) is None
    assert set(asked_flows(asked)) == {Flows(proto=1), Flows(proto=58)}
