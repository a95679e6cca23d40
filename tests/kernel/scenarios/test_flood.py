"""A flood folds: equal drops are counted in the kernel, and each drop is in exactly one count."""

import re
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scenarios.blame import blame
from scenarios.firewalls import legacy, legacy_rules, load_modules, nft, nft_rules, the_rule
from scenarios.floods import flood, flood_command, no_ports
from scenarios.namespaces import Lab
from scenarios.traffic import open_socket
from scenarios.whydrop_process import WHYDROP, Finished, Line, Whydrop

CLOSED, EVEN, ODD = 9, 7400, 7401
MESSAGE = 200  # of ICMPv6: for experiments (RFC 4443)
RULES = f'udp dport {EVEN} counter drop comment "even"\nudp dport {ODD} counter jump odd'
SENT = {CLOSED: 4_000, EVEN: 10_000, ODD: 6_000}
FEWER = {port: count // 4 for port, count in SENT.items()}
SORTS = range(10_000, 10_300)
CROWD = range(20_000, 24_600)  # more sorts than one namespace may have


@contextmanager
def one_namespace(lab: Lab, *options: str) -> Iterator[Whydrop]:
    load_modules()
    with Whydrop("--netns", lab.b.name, "--proto", "udp", *options) as whydrop:
        yield whydrop


def adds_up(done: Finished, sent: int) -> None:
    """What was sent, what matched, what was told, and nothing lost."""
    assert (done.status, done.refused) == (0, []), done.stderr
    assert done.end is not None
    told = sum(line["count"] for line in done.lines)
    assert told == done.end["drops_matched"] == done.end["drops_reported"] == sent, done.end
    assert done.end["events_lost"] == 0, done.end


def by_port(lines: list[Line]) -> Counter[int]:
    found: Counter[int] = Counter()
    for line in lines:
        found[line["packet"]["dport"]] += line["count"]
    return found


@pytest.mark.twice
def test_equal_drops_are_told_together(lab: Lab) -> None:
    odd = 'chain odd { counter drop comment "odd"; }'
    nft(lab.b, f"table inet t {{ {odd}\nchain c {{ type filter hook input priority 0;\n{RULES}\n}} }}")
    with one_namespace(lab) as whydrop:
        before = no_ports(lab.b)
        flood(lab.a, lab.b.v4, SENT)
        refused = no_ports(lab.b) - before
        done = whydrop.finish()
    adds_up(done, sum(SENT.values()))
    assert by_port(done.lines) == SENT
    assert refused == SENT[CLOSED]
    assert max(line["count"] for line in done.lines) > 1
    rules = nft_rules(lab.b)
    for port, name in ((EVEN, "even"), (ODD, "odd")):
        rule = the_rule(rules, f'comment "{name}"')
        assert rule.packets == SENT[port]
        blame([line for line in done.lines if line["packet"]["dport"] == port], rule)


@pytest.mark.once
def test_equal_drops_by_a_legacy_table_are_told_together(lab: Lab) -> None:
    """The rule is searched for before the packet is counted."""
    rules = f"-A odd -j DROP\n-A INPUT -p udp --dport {EVEN} -j DROP\n-A INPUT -p udp --dport {ODD} -j odd"
    legacy(lab.b, f"*filter\n{rules}")
    with one_namespace(lab) as whydrop:
        flood(lab.a, lab.b.v4, FEWER)
        done = whydrop.finish()
    adds_up(done, sum(FEWER.values()))
    assert by_port(done.lines) == FEWER
    for port, chain in ((EVEN, "INPUT"), (ODD, "odd")):
        rule = next(rule for rule in legacy_rules(lab.b) if rule.chain == chain)
        assert rule.packets == FEWER[port]
        named = [line for line in done.lines if line["packet"]["dport"] == port]
        blame(named, rule, "netfilter.iptables-rule")
        assert max(line["count"] for line in named) > 1


@pytest.mark.once
def test_many_sorts_are_told_apart(lab: Lab) -> None:
    with one_namespace(lab) as whydrop:
        flood(lab.a, lab.b.v4, dict.fromkeys(SORTS, 10))
        done = whydrop.finish()
    adds_up(done, 10 * len(SORTS))
    assert by_port(done.lines) == dict.fromkeys(SORTS, 10)


@pytest.mark.once
def test_what_has_no_row_of_its_own_is_counted_with_the_rest(lab: Lab) -> None:
    with one_namespace(lab) as whydrop:
        flood(lab.a, lab.b.v4, dict.fromkeys(CROWD, 1))
        done = whydrop.finish()
    adds_up(done, len(CROWD))
    rest = [line for line in done.lines if line["packet"]["dport"] is None]
    assert {line["cause"]["id"] for line in rest} <= {"unknown"}


@pytest.mark.once
def test_what_is_told_one_by_one_and_does_not_fit_into_the_ring_is_counted(lab: Lab) -> None:
    """What a message of IPv6 is for is in its bytes."""
    rule = f"icmpv6 type {MESSAGE} counter drop"
    nft(lab.b, f"table inet t {{ chain c {{ type filter hook input priority 0; {rule}; }} }}")
    with (
        one_namespace(lab, "--proto", "icmp6") as whydrop,
        open_socket(lab.a, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender,
    ):
        for _ in range(12_000):
            sender.sendto(bytes([MESSAGE, *bytes(15)]), (lab.b.v6, 0))
        done = whydrop.finish()
    adds_up(done, 12_000)
    named = [line for line in done.lines if line["cause"]["id"] == "netfilter.nft-rule"]
    blame(named, the_rule(nft_rules(lab.b), "drop"))
    assert all(line["cause"]["id"] == "unknown" for line in done.lines if line not in named)


@pytest.mark.once
def test_every_packet_is_told_if_asked_for(lab: Lab) -> None:
    with one_namespace(lab, "--every-packet") as whydrop:
        flood(lab.a, lab.b.v4, {CLOSED: 400})
        done = whydrop.finish()
    adds_up(done, 400)
    assert [line["count"] for line in done.lines] == [1] * 400


@pytest.mark.once
def test_as_text(lab: Lab) -> None:
    """The first by itself, the others as a count; together they are all."""
    load_modules()
    words = [
        str(WHYDROP),
        "--netns",
        lab.b.name,
        "--proto",
        "udp",
        "--",
        *flood_command(lab.a, lab.b.v4, {CLOSED: 2_000}),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    more = [int(number.replace(",", "")) for number in re.findall(r"\.\.\. ([\d,]+) more", done.stdout)]
    assert done.stdout.count("[socket.udp-no-listener]") - len(more) + sum(more) == 2_000, done.stdout
    assert "2000 dropped packets matched" in done.stderr
