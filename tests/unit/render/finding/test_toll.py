"""The table after a run: sorted, complete, as wide as it may be, and bounded."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.model.culprits import NftRule, XfrmState
from dropwatch.model.drop import Drop, Finding, Packet
from dropwatch.render.finding.toll import Toll
from dropwatch.render.layout import Layout


@pytest.fixture
def ports(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> Callable[[int], Iterator[Finding]]:
    """Findings of so many services; that of the n-th stands for n drops."""

    def made(number: int) -> Iterator[Finding]:
        for at in range(1, number + 1):
            drop = make_drop(make_packet(dport=at))
            yield make_finding(drop, cause_id="socket.udp-no-listener", count=at)

    return made


def table(findings: Iterator[Finding] | list[Finding], width: int = 80) -> list[str]:
    toll = Toll(None)
    for finding in findings:
        toll.count(finding)
    return list(toll.lines(Layout(width)))


def test_the_most_come_first_and_one_object_is_one_row(ports: Callable[[int], Iterator[Finding]]) -> None:
    first, second = ports(2)
    rule = NftRule("udp dport 5-9 drop", "inet", "t", "c", 4)
    ruled = [replace(one, cause_id="netfilter.nft-rule", culprit=rule, count=5) for one in (first, second)]
    assert table([first, second, *ruled]) == [
        "  packets  cause                   what died, and by what",
        "       10  netfilter.nft-rule      udp 10.9.0.1 > 10.9.0.2:1, netns b; 5 of",
        "                                   another flow",
        "           nft inet t c: udp dport 5-9 drop # handle 4",
        "        2  socket.udp-no-listener  udp 10.9.0.1 > 10.9.0.2:2, netns b",
        "        1  socket.udp-no-listener  udp 10.9.0.1 > 10.9.0.2:1, netns b",
    ]


def test_of_one_sort_there_is_no_table(ports: Callable[[int], Iterator[Finding]]) -> None:
    assert table(list(ports(1)) * 5) == []


@pytest.mark.parametrize("number", [21, 5000])
def test_what_has_no_row_is_counted_all_the_same(
    number: int, ports: Callable[[int], Iterator[Finding]]
) -> None:
    lines = table(ports(number))
    assert len(lines) == 22
    counts = [int(line.split()[0].replace(",", "")) for line in lines[1:]]
    assert sum(counts) == number * (number + 1) // 2
    assert "others" in lines[-1]


@pytest.mark.parametrize("width", [40, 60, 80, 132])
def test_it_fits(
    width: int,
    make_finding: Callable[..., Finding],
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
) -> None:
    address = ip_address("fd09:1234:5678:9abc:def0:1234:5678:9abc")
    packet = make_packet(family=6, saddr=address, daddr=address)
    rule = NftRule("ip6 saddr fd09::/16 udp dport 5000 drop " * 5, "inet", "t", "c", 4)
    finding = make_finding(make_drop(packet), culprit=rule)
    lines = table([finding, replace(finding, cause_id="routing.unicast-in-multicast-frame")], width)
    longest = max(max(map(len, line.split())) for line in lines)
    assert max(map(len, lines)) <= max(width, 13 + longest)


def test_the_nearest_sa_did_not_do_it(ports: Callable[[int], Iterator[Finding]]) -> None:
    near = XfrmState("src x", "0x00000001", "a", "b", "esp", "tunnel", 1, 0, 0, 0, None, relation="nearest")
    lines = table([replace(one, culprit=near) for one in ports(2)])
    assert len(lines) == 3
    assert "src x" not in "\n".join(lines)
