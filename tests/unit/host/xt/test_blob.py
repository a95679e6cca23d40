"""Tables as Linux 6.1 gave them: chains, numbers, jumps, and what their entries say."""

import base64
import ctypes
import json
import struct
import zlib
from pathlib import Path

import pytest

from dropwatch.host.xt.blob import ARPT, IP6T, IPT, XtChain, XtEntry, XtTable, hook_chain, parse
from dropwatch.host.xt.path import XtWays
from dropwatch.host.xt.same import agrees
from dropwatch.host.xt.words import comment, header_words, rule_words, target_name
from dropwatch.model.netfilter import XtFamily

RECORDED = json.loads((Path(__file__).parents[2] / "data/legacy-tables-6.1.json").read_text())


def recorded(family: XtFamily) -> XtTable:
    found = RECORDED[family]
    blob = bytearray(zlib.decompress(base64.b64decode(found["blob"])))
    return parse(family, "filter", blob, {int(hook): tuple(ends) for hook, ends in found["hooks"].items()})


def place(table: XtTable, chain: str, number: int) -> int:
    found = next(one for one in table.chains if one.name == chain)
    return found.rules[number - 1] if number else found.tail


def as_kernel(table: XtTable, offset: int, junk: bytes = b"\x5a") -> bytes:
    """The entry with what the kernel keeps for itself in the places of counters and names."""
    layout = {"ip": IPT, "ip6": IP6T, "arp": ARPT}[table.family]
    raw = bytearray(table.bytes_of(offset))
    raw[layout.comefrom_at : layout.size] = junk * (layout.size - layout.comefrom_at)
    at = layout.size
    while at < len(raw):
        raw[at + 8 : at + 16] = junk * 8
        at += struct.unpack_from("=H", raw, at)[0]
    return bytes(raw)


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="the sizes of 64-bit machines")
def test_layouts() -> None:
    assert (IPT.header_size, IPT.offsets_at, IPT.comefrom_at, IPT.size) == (84, 88, 92, 112)
    assert (IP6T.header_size, IP6T.offsets_at, IP6T.comefrom_at, IP6T.size) == (136, 140, 144, 168)
    assert (ARPT.header_size, ARPT.offsets_at, ARPT.size) == (164, 164, 192)


def test_chains_and_numbers() -> None:
    table = recorded("ip")
    assert {chain.name: len(chain.rules) for chain in table.chains} == {
        "INPUT": 4, "FORWARD": 1, "OUTPUT": 0, "GG": 2, "UU": 3, "VV": 2,
    }  # fmt: skip
    assert [chain.hook for chain in table.chains] == [1, 2, 3, None, None, None]
    for chain in table.chains:
        assert [table.number(rule) for rule in chain.rules] == list(range(1, len(chain.rules) + 1))
    policies = [table.entries[place(table, chain, 0)].verdict for chain in ("INPUT", "FORWARD", "UU")]
    assert policies == ["ACCEPT", "DROP", "RETURN"]
    assert hook_chain("ip", 4) == "POSTROUTING"
    assert hook_chain("arp", 2) == "FORWARD"
    assert hook_chain("arp", 3) is None


@pytest.mark.parametrize(
    ("family", "chain", "number", "words"),
    [
        ("ip", "INPUT", 1, "source 1.2.3.4, target none"),
        ("ip", "INPUT", 2, "protocol udp, target UU"),
        ("ip", "INPUT", 3, "protocol tcp, target GG"),
        ("ip", "INPUT", 4, "protocol tcp, matches tcp, target REJECT"),
        ("ip", "UU", 1, "protocol udp, matches udp and comment, target DROP"),
        ("ip", "UU", 3, "matches limit, target RETURN"),
        ("ip", "VV", 1, "source not 10.0.0.0/8, in interface eth+, protocol udp, matches udp, target DROP"),
        ("ip6", "UU", 1, "source not 2001:db8::/32, protocol tcp, matches tcp and comment, target DROP"),
        ("ip6", "OUTPUT", 1, "destination fe80::1, target UU"),
        ("arp", "AA", 1, "source 10.0.0.1, in interface eth0, target DROP"),
        ("arp", "AA", 2, "source not 10.0.0.1, target DROP"),
    ],
)
def test_words(family: XtFamily, chain: str, number: int, words: str) -> None:
    table = recorded(family)
    assert rule_words(table, place(table, chain, number)) == words


def test_a_mask_that_is_no_prefix_and_a_record_that_is_cut() -> None:
    raw = bytearray(84)
    raw[0:4], raw[8:12] = bytes([10, 0, 0, 1]), bytes([255, 0, 0, 255])
    assert header_words("ip", bytes(raw)) == ["source 10.0.0.1/255.0.0.255"]
    assert header_words("ip", bytes(raw)[:83]) == []


def test_comments_and_targets() -> None:
    table = recorded("ip")
    assert comment(table, place(table, "UU", 1)) == 'hello "x" y\\x0a-X z'
    assert comment(table, place(table, "UU", 2)) is None
    assert target_name(table, place(table, "INPUT", 1)) is None
    assert table.entries[place(table, "INPUT", 3)].goto
    assert not table.entries[place(table, "INPUT", 2)].goto


def test_reachable() -> None:
    table = recorded("ip")
    ways = XtWays(table)
    assert {chain.name for chain in ways.reachable(1)} == {"INPUT", "UU", "VV", "GG"}
    assert {chain.name for chain in ways.reachable(2)} == {"FORWARD", "VV"}
    assert ways.reachable(0) == set()


@pytest.mark.parametrize(
    ("hook", "jumps", "goal", "steps"),
    [
        (1, [("INPUT", 2)], ("UU", 1), ("INPUT rule 2 jumps to UU",)),
        (1, [("INPUT", 2), ("UU", 2), ("GG", 2)], ("UU", 1), ("INPUT rule 2 jumps to UU",)),
        (1, [("INPUT", 2), ("UU", 2)], ("VV", 2), ("INPUT rule 2 jumps to UU", "UU rule 2 jumps to VV")),
        (1, [("GG", 2), ("UU", 2)], ("VV", 2), ("INPUT rule 3 goes to GG", "GG rule 2 jumps to VV")),
        (1, [], ("GG", 1), ("INPUT rule 3 goes to GG",)),
        (1, [("INPUT", 2), ("GG", 2)], ("VV", 2), ()),  # the second was left over from another packet
        (1, [], ("VV", 2), ()),
        (1, [("INPUT", 2)], ("INPUT", 4), ()),
        (2, [("FORWARD", 1)], ("VV", 1), ("FORWARD rule 1 jumps to VV",)),
        (2, [("INPUT", 2)], ("VV", 1), ()),
    ],
)
def test_ways(hook: int, jumps: list[tuple[str, int]], goal: tuple[str, int], steps: tuple[str, ...]) -> None:
    table = recorded("ip")
    stack = tuple(place(table, *jump) for jump in jumps)
    assert XtWays(table).way(hook, stack, place(table, *goal)) == steps


@pytest.mark.parametrize("family", ["ip", "ip6", "arp"])
def test_a_rule_agrees_with_itself_in_the_kernel_and_with_its_twins_only(family: XtFamily) -> None:
    table = recorded(family)
    rules = [rule for chain in table.chains for rule in chain.rules]
    for rule in rules:
        for junk in (b"\0", b"\xff"):
            found = [one for one in rules if agrees(table, one, as_kernel(table, rule, junk))]
            assert found == [one for one in rules if table.bytes_of(one) == table.bytes_of(rule)]


def test_every_byte_that_is_a_users_matters() -> None:
    table = recorded("ip")
    rule = place(table, "UU", 1)  # udp, comment, DROP
    kernel = as_kernel(table, rule)
    udp = IPT.size
    ours = {*range(IPT.comefrom_at, IPT.size), *range(84, 88)}
    at = udp
    while at < len(kernel):
        ours |= set(range(at + 8, at + 16))  # the pointer
        name = table.bytes_of(rule)[at + 2 : at + 31].split(b"\0")[0]
        ours |= set(range(at + 2 + len(name) + 1, at + 31))
        at += struct.unpack_from("=H", kernel, at)[0]
    ours |= set(range(len(kernel) - 4, len(kernel)))  # behind the verdict
    for at in range(len(kernel)):
        other = bytearray(kernel)
        other[at] ^= 1
        assert agrees(table, rule, bytes(other)) == (at in ours), at


def test_what_was_not_seen_does_not_agree() -> None:
    table = recorded("ip")
    rule = place(table, "UU", 1)
    kernel = as_kernel(table, rule)
    assert agrees(table, rule, kernel + b"\1" * 50)
    for size in range(0, len(kernel), 7):
        assert not agrees(table, rule, kernel[:size])
        assert agrees(table, rule, kernel[:size], whole=False)
    assert not agrees(table, place(table, "UU", 2), kernel[:100], whole=False)


def test_what_the_kernel_keeps_behind_the_data_of_a_match() -> None:
    table = recorded("ip")
    rule = place(table, "UU", 3)  # limit
    kernel = bytearray(as_kernel(table, rule))
    data = IPT.size + 32
    kernel[data + 8 : data + 40] = b"\x77" * 32
    assert agrees(table, rule, bytes(kernel))
    kernel[data + 7] ^= 1
    assert not agrees(table, rule, bytes(kernel))


@pytest.mark.parametrize("cut", [1, 50, 112, 300])
def test_nonsense(cut: int) -> None:
    found = RECORDED["ip"]
    blob = bytearray(zlib.decompress(base64.b64decode(found["blob"])))
    hooks = {int(hook): tuple(ends) for hook, ends in found["hooks"].items()}
    with pytest.raises(OSError, match="cannot be understood"):
        parse("ip", "filter", blob[:-cut], hooks)
    with pytest.raises(OSError, match="cannot be understood"):
        parse("ip", "filter", blob, {1: (4, 8)})


def test_more_ways_than_can_be_counted_take_no_time() -> None:
    """Anybody can make such a table: INPUT rule 1 leads by 2^60 ways to a jump that this packet did not take."""
    depth = 60
    base, goal, last = XtChain("INPUT", 1, [1, 2]), XtChain("G", None, [9]), XtChain("L", None, [8])
    between = [XtChain(f"C{n}", None, [10 + 2 * n, 11 + 2 * n]) for n in range(depth)]
    chains = (base, goal, last, *between)
    leads = {1: between[0], 2: goal, 8: goal}
    for n, chain in enumerate(between):
        to = between[n + 1] if n + 1 < depth else last
        leads |= dict.fromkeys(chain.rules, to)
    entries = {
        rule: XtEntry(rule, 0, 0, "", None, id(leads[rule]) if rule in leads else None, rule not in (2, 8))
        for chain in chains
        for rule in chain.rules
    }
    table = XtTable(
        "ip",
        "filter",
        b"",
        entries,
        chains,
        {rule: chain for chain in chains for rule in chain.rules},
        {id(chain): chain for chain in chains},
    )
    assert XtWays(table).way(1, (2,), 9) == ("INPUT rule 2 jumps to G",)
    assert XtWays(table).way(1, (8,), 9) == ()
