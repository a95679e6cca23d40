"""Values of filter options: what is accepted, and what is refused with a hint that helps."""

from ipaddress import ip_network

import pytest

from dropwatch.errors import WrongUsage
from dropwatch.model.filter import PortRange
from dropwatch.run.wanted import values


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("udp", 17), ("TCP", 6), ("icmp", 1), ("icmp6", 58), ("icmpv6", 58), ("ipv6-icmp", 58), ("esp", 50),
        ("ah", 51), ("sctp", 132), ("gre", 47), ("ipip", 4), ("comp", 108), ("ipcomp", 108), ("0", 0), ("255", 255),
    ],
)  # fmt: skip
def test_protocols(text: str, number: int) -> None:
    assert values.protocol("--proto", text) == number


@pytest.mark.parametrize("text", ["256", "-1", "", "1.5", "nonsense", "mptcp", "9" * 5000, "\x00"])
def test_what_is_no_protocol(text: str) -> None:
    with pytest.raises(WrongUsage, match="no such protocol") as error:
        values.protocol("--proto", text)
    assert "0 to 255" in error.value.hint


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.9.0.1", "10.9.0.1/32"),
        ("10.9.0.1/24", "10.9.0.0/24"),
        ("10.9.0.0/255.255.255.0", "10.9.0.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("fd00::1", "fd00::1/128"),
        ("fd00::1/64", "fd00::/64"),
        ("FD00::1", "fd00::1/128"),
        ("::ffff:10.9.0.1", "10.9.0.1/32"),
        ("::ffff:10.9.0.1/120", "10.9.0.0/24"),
        ("::/0", "::/0"),
    ],
)
def test_addresses_and_prefixes(text: str, network: str) -> None:
    assert values.network("--saddr", text) == ip_network(network)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("nonsense", "names are not looked up"),
        ("example.com", "names are not looked up"),
        ("10.9.0.256", "give an address"),
        ("10.9.0.1/33", "give an address"),
        ("10.9", "give an address"),
        ("", "give an address"),
        ("fd00::1::2", "give an address"),
        ("fe80::1%eth0", "--iface"),
        ("10.9.0.1 ", "give an address"),
    ],
)
def test_what_is_no_address(text: str, hint: str) -> None:
    with pytest.raises(WrongUsage, match="not an address or prefix") as error:
        values.network("--saddr", text)
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("5000", ((5000, 5000),)),
        ("0", ((0, 0),)),
        ("65535", ((65535, 65535),)),
        ("5000-5010", ((5000, 5010),)),
        ("53-53", ((53, 53),)),
        ("https", ((443, 443),)),
    ],
)
def test_ports(text: str, ranges: tuple[PortRange, ...]) -> None:
    assert values.ports("--dport", text) == ranges


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("70000", "--dport 70000: there is no port 70000"),
        ("1-70000", "there is no port 70000"),
        ("5010-5000", "the range is empty"),
        ("no-such-service", "neither a port nor a service"),
        ("-1", "neither"),
        ("", "--dport '': neither"),
        ("5000-", "neither"),
        ("0x50", "neither"),
        ("٥", "neither"),
        ("9" * 5000, "neither"),
    ],
)
def test_what_is_no_port(text: str, message: str) -> None:
    with pytest.raises(WrongUsage) as error:
        values.ports("--dport", text)
    assert message in error.value.message


def test_an_empty_range_says_how_to_write_it() -> None:
    with pytest.raises(WrongUsage) as error:
        values.ports("--dport", "5010-5000")
    assert error.value.hint == "write the lower port first: --dport 5000-5010"


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("16", (16, 0xFFFFFFFF)),
        ("0x10", (16, 0xFFFFFFFF)),
        ("0x10/0xff", (16, 255)),
        ("0XFFFFFFFF/255", (0xFFFFFFFF, 255)),
        ("0/0", (0, 0)),
    ],
)
def test_marks(text: str, mark: tuple[int, int]) -> None:
    assert values.mark("--mark", text) == mark


@pytest.mark.parametrize(
    "text", ["", "x", "0x", "0x100000000", "4294967296", "1/", "/1", "1/2/3", "-1", "1_0"]
)
def test_what_is_no_mark(text: str) -> None:
    with pytest.raises(WrongUsage, match="not a mark"):
        values.mark("--mark", text)


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("1000000", 1000000)])
def test_counts(text: str, count: int) -> None:
    assert values.count("--count", text) == count


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "many", "9" * 5000])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(WrongUsage, match="not a number of findings"):
        values.count("--count", text)


LONGER = [("10s", 10.0), ("5m", 300.0), ("1h30m", 5400.0), ("2d", 172800.0), ("500ms", 0.5), ("1m5s", 65.0)]


@pytest.mark.parametrize(("text", "seconds"), [("60", 60.0), ("0.5", 0.5), (".5", 0.5), ("1.", 1.0), *LONGER])
def test_times(text: str, seconds: float) -> None:
    assert values.seconds("--duration", text) == seconds


@pytest.mark.parametrize(
    "text", ["0", "0.0", "-1", "", "inf", "nan", "1e3", "0s", "5x", "m", "5s1h", "9" * 5000]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(WrongUsage, match="not a time"):
        values.seconds("--duration", text)


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("8", {(1, 8), (58, 8)}),
        ("echo-request", {(1, 8), (58, 128)}),
        ("Echo Request", {(1, 8), (58, 128)}),
        ("packet-too-big", {(58, 2)}),
        ("neighbor-solicitation", {(58, 135)}),
    ],
)
def test_types_of_icmp(text: str, types: set[tuple[int, int]]) -> None:
    assert values.icmp_types("--icmp-type", text) == types


@pytest.mark.parametrize(("text", "hint"), [("echo-requst", "did you mean echo-request"), ("256", "number")])
def test_what_is_no_type_of_icmp(text: str, hint: str) -> None:
    with pytest.raises(WrongUsage, match="no such type of ICMP") as caught:
        values.icmp_types("--icmp-type", text)
    assert hint in caught.value.hint


def test_whose_packet_it_is() -> None:
    assert values.pid("--pid", "812") == 812
    assert values.comm("--comm", "a-name-that-is-too-long") == "a-name-that-is-"
    assert values.unit("--unit", "nginx") == "nginx.service"
    assert values.unit("--unit", "dev.socket") == "dev.socket"
    assert values.container("--container", "0123abcd") == "0123abcd"
    for value, text in (
        *((values.pid, text) for text in ("0", "x", "-1", "")),
        *((values.unit, text) for text in ("", "a/b")),
        *((values.container, text) for text in ("nginx", "abc", "")),
        (values.comm, ""),
    ):
        with pytest.raises(WrongUsage):
            value("--x", text)


def test_arp_is_asked_for_like_a_protocol() -> None:
    assert values.protocol("--proto", "arp") == 0x0806
