"""The user's filter as the bytes that the kernel's filter reads."""

from ipaddress import ip_address, ip_network

import pytest

from dropwatch.model.expression import UNKNOWN, Expression
from dropwatch.model.filter import Filter, Owner
from dropwatch.probe.kernel_numbers import KernelNumbers
from dropwatch.probe.settings import settings
from dropwatch.wire.settings import ALTERNATIVES, Prefix, Settings

COUNTS = ("saddrs", "daddrs", "hosts", "sports", "dports", "ports", "netnses", "marks", "ifaces")
TOO_MANY = ALTERNATIVES + 1


def made(**wanted: object) -> Settings:
    return settings(Filter(**wanted), KernelNumbers(), False)  # type: ignore[arg-type]


def prefix(found: Prefix) -> tuple[bytes, bytes]:
    return bytes(found.address), bytes(found.mask)


def test_nothing_asked_for() -> None:
    assert bytes(made()) == bytes(Settings())


def test_kernel_addresses_and_send_all() -> None:
    numbers = KernelNumbers(0xFFFFFFFF82345678, (0, 0xFFFFFFFF83000040), 0x3D798, 0x1FF18, 0x2C570)
    found = settings(Filter(), numbers, True)
    assert (found.netns_operations, found.per_cpu_value) == (0xFFFFFFFF82345678, 0x3D798)
    assert list(found.blackhole_mtu) == [0, 0xFFFFFFFF83000040]
    assert (found.current_kprobe, found.bpf_prog_active) == (0x1FF18, 0x2C570)
    assert (found.send_all, made().send_all) == (1, 0)


@pytest.mark.parametrize(
    ("text", "address", "mask"),
    [
        ("10.9.0.1/32", "::ffff:10.9.0.1", "ffff" * 8),
        ("10.9.0.0/24", "::ffff:10.9.0.0", "ffff" * 7 + "ff00"),
        ("0.0.0.0/0", "::ffff:0.0.0.0", "ffff" * 6 + "00000000"),
        ("128.0.0.0/1", "::ffff:128.0.0.0", "ffff" * 6 + "80000000"),
        ("fd00::1/128", "fd00::1", "ffff" * 8),
        ("fd00:1:2::/47", "fd00:1:2::", "fffffffffffe" + "0000" * 5),
        ("::/0", "::", "0000" * 8),
    ],
)
@pytest.mark.parametrize(("kind", "count"), [("saddr", "saddrs"), ("daddr", "daddrs"), ("host", "hosts")])
def test_prefixes(kind: str, count: str, text: str, address: str, mask: str) -> None:
    """In network order, IPv4 as ::ffff:a.b.c.d: an IPv4 prefix of any length never fits an IPv6 address."""
    found = made(**{kind: (ip_network("192.0.2.0/24"), ip_network(text))})
    assert getattr(found, count) == 2
    assert prefix(getattr(found, kind)[0]) == (
        ip_address("::ffff:192.0.2.0").packed,
        bytes.fromhex("ff" * 15 + "00"),
    )
    assert prefix(getattr(found, kind)[1]) == (ip_address(address).packed, bytes.fromhex(mask))
    assert prefix(getattr(found, kind)[2]) == (bytes(16), bytes(16))
    assert found.asks_flow == 1


@pytest.mark.parametrize(("kind", "count"), [("sport", "sports"), ("dport", "dports"), ("port", "ports")])
def test_ranges(kind: str, count: str) -> None:
    found = made(**{kind: ((5000, 5000), (0, 65535), (1024, 2048))})
    assert getattr(found, count) == 3
    ranges = [(each.first, each.last) for each in getattr(found, kind)]
    assert ranges == [(5000, 5000), (0, 65535), (1024, 2048), (0, 0)]
    assert found.asks_flow == 1
    others = {name: getattr(found, name) for name in COUNTS if name != count}
    assert set(others.values()) == {0}


@pytest.mark.parametrize("proto", range(256))
def test_one_protocol_is_one_bit(proto: int) -> None:
    """As bpf/filter.c reads it."""
    found = made(protos=frozenset({proto}))
    assert (found.asks_proto, found.asks_flow) == (1, 1)
    assert [n for n in range(256) if found.protos[n >> 6 & 3] & 1 << (n & 63)] == [proto]


def test_many_protocols_are_no_alternatives() -> None:
    protos = frozenset({0, 1, 6, 17, 50, 51, 63, 64, 127, 128, 255})
    found = made(protos=protos)
    assert {n for n in range(256) if found.protos[n >> 6 & 3] & 1 << (n & 63)} == protos


@pytest.mark.parametrize(
    ("families", "bits"), [(set(), 0), ({4}, 1), ({6}, 2), ({4, 6}, 3)], ids=["none", "4", "6", "both"]
)
def test_families(families: set[int], bits: int) -> None:
    found = made(families=frozenset(families))
    assert (found.families, found.asks_flow) == (bits, int(bool(families)))


def test_namespaces_marks_and_interfaces_are_no_flow() -> None:
    """An ESP packet has them as its payload has: nothing outside can hide them."""
    found = made(netns=(4026531840, 4026532234), marks=((0x10, 0xFF), (5, 0xFFFFFFFF)), ifaces=("eth0", "vb"))
    assert found.asks_flow == 0
    assert (found.netnses, list(found.netns)) == (2, [4026531840, 4026532234, 0, 0])
    assert (found.marks, found.ifaces) == (2, 2)
    assert [(mark.value, mark.mask) for mark in found.mark] == [(0x10, 0xFF), (5, 0xFFFFFFFF), (0, 0), (0, 0)]


def test_bits_of_a_mark_outside_its_mask_do_not_count() -> None:
    """The kernel compares `mark & mask` with the value as it is."""
    found = made(marks=((0xABCD, 0xFF),))
    assert (found.mark[0].value, found.mark[0].mask) == (0xCD, 0xFF)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("vb", b"vb"),
        ("fifteen-letters", b"fifteen-letters"),
        ("sixteen-letters-", b"sixteen-letters"),
        ("n" * 100, b"n" * 15),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}th0", b"\xc3\xa9th0"),
    ],
)
def test_names_of_interfaces(name: str, stored: bytes) -> None:
    """Sixteen bytes with the closing zero, padded with zeros: that is what is compared."""
    found = made(ifaces=("lo", name))
    assert found.ifaces == 2
    start = Settings.iface.offset
    assert bytes(found)[start : start + 32] == b"lo".ljust(16, b"\0") + stored.ljust(16, b"\0")


@pytest.mark.parametrize(
    ("kind", "count", "values"),
    [
        ("saddr", "saddrs", [ip_network(f"10.9.0.{n}") for n in range(TOO_MANY)]),
        ("daddr", "daddrs", [ip_network(f"fd00::{n}") for n in range(TOO_MANY)]),
        ("host", "hosts", [ip_network(f"10.9.0.{n}") for n in range(TOO_MANY)]),
        ("sport", "sports", [(n, n) for n in range(TOO_MANY)]),
        ("dport", "dports", [(n, n) for n in range(TOO_MANY)]),
        ("port", "ports", [(n, n) for n in range(TOO_MANY)]),
        ("netns", "netnses", [4026531840 + n for n in range(TOO_MANY)]),
        ("marks", "marks", [(n, 0xFF) for n in range(TOO_MANY)]),
        ("ifaces", "ifaces", [f"eth{n}" for n in range(TOO_MANY)]),
    ],
)
def test_more_values_than_there_is_room_for(kind: str, count: str, values: list[object]) -> None:
    """All that fit, or none: half of them would refuse packets that the user asked for."""
    full = made(**{kind: tuple(values[:ALTERNATIVES])})
    assert getattr(full, count) == ALTERNATIVES
    over = made(**{kind: tuple(values)})
    assert [getattr(over, name) for name in COUNTS] == [0] * len(COUNTS)
    assert over.asks_flow == full.asks_flow, "carriers must still pass"
    over.asks_flow = 0
    assert bytes(over) == bytes(Settings())


def test_an_expression_is_asked_for_beside_the_options() -> None:
    found = made(expression=Expression("udp", (), UNKNOWN))
    assert (found.asks_expression, found.asks_flow) == (1, 0)
    assert made().asks_expression == 0


def test_arp_is_no_protocol_of_ip() -> None:
    found = made(protos=frozenset({17, 0x0806}))
    assert (found.asks_arp, found.asks_proto, list(found.protos)) == (1, 1, [1 << 17, 0, 0, 0])
    alone = made(protos=frozenset({0x0806}))
    assert (alone.asks_arp, alone.asks_proto, list(alone.protos)) == (1, 1, [0, 0, 0, 0])


def test_types_of_icmp_are_asked_for_as_icmp() -> None:
    found = made(icmp_types=frozenset({(1, 8), (58, 128)}))
    assert (found.asks_flow, list(found.protos)) == (1, [1 << 1 | 1 << 58, 0, 0, 0])


@pytest.mark.parametrize("kind", [{"but": Filter(sport=((1, 1),))}, {"owner": Owner(pids=frozenset({1}))}])
def test_what_user_space_decides_is_not_counted_by_sort(kind: dict[str, object]) -> None:
    found = settings(Filter(**kind), KernelNumbers(), False, first_of_a_sort=7)  # type: ignore[arg-type]
    assert found.first_of_a_sort == 0
