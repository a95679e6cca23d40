"""The filter in the kernel refuses nothing that user space would have matched.

bpf/flow.c and bpf/filter.c are compiled for the host.
"""

import ctypes
import random
import struct
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from dropwatch.match.flow import FlowMatcher
from dropwatch.model.drop import Drop, MatchResult
from dropwatch.model.filter import Filter
from dropwatch.packet.parse import parse
from dropwatch.probe.kernel_numbers import KernelNumbers
from dropwatch.probe.settings import settings
from tests.unit.packet.combined import combined
from tests.unit.probe.compiled import compiled

HOST = """
#define end_of_body(index)
#include "flow.c"
#include "filter.c"
int decide(const struct settings *wanted, const u8 *packet, u32 length, u16 protocol)
{
	union scratch scratch;
	struct flow flow = {};
	may_read(packet, length);
	return flow_wanted(&flow, wanted, (u64)packet, protocol, 0, &scratch);
}
"""
Decide = Callable[[Filter, bytes], int]


@pytest.fixture(scope="module")
def decide(tmp_path_factory: pytest.TempPathFactory) -> Decide:
    """0: refused, 1: matches, 2: may carry it."""
    function = compiled(tmp_path_factory.mktemp("filter"), HOST).decide

    def call(asked: Filter, packet: bytes, protocol: int = 0) -> int:
        made = settings(asked, KernelNumbers(), False)
        return int(function(ctypes.byref(made), packet, len(packet), protocol))

    return call


UDP, TCP, SCTP, ICMP, ICMP6, ESP, AH, COMP, GRE, IPIP, IPV6 = 17, 6, 132, 1, 58, 50, 51, 108, 47, 4, 41
FOUR = ("10.9.0.1", "10.9.0.2", "192.0.2.7")
SIX = ("fd00::1", "fd00::2", "2001:db8::7")
PORTS = (53, 4500, 4789, 5000, 6081, 8472, 40000)


def network_header(chance: random.Random, proto: int, payload: bytes) -> bytes:
    """IPv4 or IPv6 around it, with options or extension headers, whole or a fragment."""
    if chance.random() < 0.5:
        options = bytes([1]) * 4 * chance.choice((0, 0, 0, 1, 10))
        flags = chance.choice((0, 0, 0, 0x4000, 0x2000, 0x2000 | 64, 64))
        head = struct.pack(
            ">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 7, flags, 9, proto, 0
        )
        addresses = b"".join(ip_address(chance.choice(FOUR)).packed for _ in range(2))
        return head + addresses + options + payload
    for _ in range(chance.choice((0, 0, 0, 1, 2, 5, 8, 9, 12))):
        kind = chance.choice((0, 43, 60, 135, 44))
        if kind == 44:
            extension = struct.pack(">BBHI", proto, 0, chance.choice((0, 1, 0, 512)), 77)
        else:
            extension = bytes([proto, chance.choice((0, 0, 1, 3))])
            extension += bytes(8 * extension[1] + 6)
        proto, payload = kind, extension + payload
    addresses = b"".join(ip_address(chance.choice(SIX)).packed for _ in range(2))
    return struct.pack(">IHBB", 6 << 28, len(payload), proto, 9) + addresses + payload


def packet(chance: random.Random, depth: int = 0) -> bytes:
    proto = chance.choice((UDP, UDP, UDP, TCP, SCTP, ICMP, ICMP6, ESP, AH, COMP, GRE, IPIP, IPV6, 253))
    inside = packet(chance, depth + 1) if depth < 2 else b"end"
    ports = struct.pack(">HH", chance.choice(PORTS), chance.choice(PORTS))
    ethernet = bytes(12) + (b"\x08\x00" if inside[0] >> 4 == 4 else b"\x86\xdd") + inside
    if proto == UDP:
        tunnelled = chance.choice(
            (bytes(8) + ethernet, b"\x00\x00\x65\x58" + bytes(4) + ethernet, chance.randbytes(24))
        )
        payload = ports + struct.pack(">HH", 8 + len(tunnelled), 0) + tunnelled
    elif proto in (TCP, SCTP):
        payload = ports + bytes(16)
    elif proto in (ICMP, ICMP6):
        payload = (
            bytes([chance.choice((0, 1, 2, 3, 4, 5, 8, 11, 12, 128, 129, 135, 137)), 0]) + bytes(6) + inside
        )
    elif proto == GRE:
        payload = b"\x20\x00\x65\x58KEY!" + ethernet
    elif proto in (IPIP, IPV6):
        payload = inside
    else:
        payload = chance.randbytes(24)
    return network_header(chance, proto, payload)


def some_filter(chance: random.Random) -> Filter:
    networks = [ip_network(f"{a}/{chance.choice((32, 24))}", strict=False) for a in FOUR]
    networks += [ip_network(f"{a}/{chance.choice((128, 64))}", strict=False) for a in SIX]
    kinds: dict[str, Callable[[], Any]] = {
        "families": lambda: frozenset({chance.choice((4, 6))}),
        "protos": lambda: frozenset(
            chance.sample((UDP, TCP, SCTP, ICMP, ICMP6, ESP, AH, GRE, IPIP, IPV6), 2)
        ),
        "saddr": lambda: tuple(chance.sample(networks, chance.choice((1, 2, 5)))),
        "daddr": lambda: tuple(chance.sample(networks, chance.choice((1, 2, 5)))),
        "host": lambda: tuple(chance.sample(networks, chance.choice((1, 2, 5)))),
        "sport": lambda: tuple((p, p) for p in chance.sample(PORTS, chance.choice((1, 2, 5)))),
        "dport": lambda: tuple((p, p + 100) for p in chance.sample(PORTS, chance.choice((1, 2, 5)))),
        "port": lambda: ((chance.choice(PORTS), 65535),),
    }
    chosen = chance.sample(sorted(kinds), chance.choice((1, 1, 2, 3)))
    values: dict[str, Any] = {kind: kinds[kind]() for kind in chosen}
    return Filter(**values)


@pytest.mark.parametrize("seed", range(10))
def test_the_kernel_refuses_nothing_that_user_space_matches(
    decide: Decide, make_drop: Callable[..., Drop], seed: int
) -> None:
    chance = random.Random(seed)
    how: dict[str, int] = {}
    refused = 0
    for _ in range(3000):
        data, wanted = packet(chance), some_filter(chance)
        matcher = FlowMatcher(
            wanted, lambda _drop, _wanted: MatchResult("ipsec"), lambda _netns, _index: None
        )
        found = matcher.match(make_drop(packet=parse(data[:256], 0, len(data), 0)))
        decision = decide(wanted, data)
        refused += decision == 0
        if found is not None:
            how[found.how] = how.get(found.how, 0) + 1
            assert decision, f"seed {seed}: {found} under {wanted}: {data.hex()}"
            assert decision == 1 or found.how != "direct" or data[0] >> 4 == 6, (
                f"seed {seed}: {wanted}: {data.hex()}"
            )
    assert how.keys() == {"direct", "ipsec", "fragment", "icmp-quote", "tunnel"}, "each way was tried"
    assert refused > 300, "and it does filter"


@pytest.mark.parametrize("asked", [50007, 53, 4500])
def test_every_tunnel_that_user_space_opens_reaches_it(
    decide: Decide, make_drop: Callable[..., Drop], asked: int
) -> None:
    """Tunnels in tunnels too: in the kernel one header says enough."""
    wanted = Filter(dport=((asked, asked),))
    matcher = FlowMatcher(wanted, lambda _drop, _wanted: MatchResult("ipsec"), lambda _netns, _index: None)
    matches = 0
    for name, data in combined():
        if matcher.match(make_drop(packet=parse(data, 0, len(data), 0))) is not None:
            matches += 1
            assert decide(wanted, data), name
    assert matches > (1500 if asked == 50007 else 200)


def udp_packet(sport: int, dport: int) -> bytes:
    udp = struct.pack(">HHHH", sport, dport, 8, 0)
    return (
        struct.pack(">BBHHHBBH", 0x45, 0, 28, 7, 0, 9, UDP, 0)
        + ip_address(FOUR[0]).packed
        + ip_address(FOUR[1]).packed
        + udp
    )


@pytest.mark.parametrize(
    ("wanted", "decision"),
    [
        (Filter(), 1),
        (Filter(dport=((5000, 5000),)), 1),
        (Filter(dport=((5001, 65535),)), 0),
        (Filter(dport=((0, 4999),)), 0),
        (Filter(sport=((5000, 5000),)), 0),
        (Filter(port=((5000, 5000),)), 1),
        (Filter(families=frozenset({4})), 1),
        (Filter(families=frozenset({6})), 0),
        (Filter(protos=frozenset({UDP})), 1),
        (Filter(protos=frozenset({TCP})), 0),
        (Filter(saddr=(ip_network("10.9.0.0/24"),)), 1),
        (Filter(saddr=(ip_network("10.9.0.2"),)), 0),
        (Filter(daddr=(ip_network("10.9.0.2"),)), 1),
        (Filter(host=(ip_network("10.9.0.2"), ip_network("fd00::2"))), 1),
        (Filter(host=(ip_network("::/0"),)), 1),
        (Filter(host=(ip_network("0.0.0.0/0"),)), 1),
        (Filter(host=(ip_network("10.9.0.3"),)), 0),
        (Filter(dport=((5000, 5000),), saddr=(ip_network("10.9.0.2"),)), 0),
    ],
)
def test_a_plain_packet(decide: Decide, wanted: Filter, decision: int) -> None:
    """::/0 lets IPv4 through here, since it is ::ffff:a.b.c.d: user space knows better."""
    assert decide(wanted, udp_packet(40000, 5000)) == decision


@pytest.mark.parametrize("length", range(28))
def test_a_packet_that_cannot_be_read_to_its_end(decide: Decide, length: int) -> None:
    assert decide(Filter(dport=((5000, 5000),)), udp_packet(40000, 5000)[:length]) == 0 or length >= 24


def test_what_is_not_ip(decide: Decide) -> None:
    for data in (b"", bytes(64), b"\x55" * 64, b"\x00\x01\x08\x00" + bytes(24)):
        assert decide(Filter(dport=((5000, 5000),)), data) == 0
        assert decide(Filter(), data) == 1
