"""What a filter asks for, in words."""

from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest

from dropwatch.model.expression import UNKNOWN, Expression
from dropwatch.model.filter import Filter, Owner
from dropwatch.render.wanted import _WORDS, netns_words, wanted_words

ONE_OF_EACH = Filter(
    families=frozenset({4}),
    protos=frozenset({17}),
    saddr=(IPv4Network("10.0.0.1"),),
    daddr=(IPv4Network("10.0.0.0/24"),),
    host=(IPv6Network("fe80::1"),),
    sport=((53, 53),),
    dport=((5000, 5010),),
    port=((80, 80), (443, 443)),
    ifaces=("eth0",),
    netns=(4026532000,),
    marks=((0x10, 0xFF), (1, 0xFFFFFFFF)),
    causes=frozenset({"ipsec.auth-failed"}),
    not_causes=frozenset({"unknown"}),
    reasons=frozenset({"NO_SOCKET"}),
    not_reasons=frozenset({"TC_EGRESS"}),
    icmp_types=frozenset({(1, 8)}),
    owner=Owner(pids=frozenset({7}), comms=frozenset({"nginx"}), containers=frozenset({"0f3a"})),
    expression=Expression("len > 60", (), UNKNOWN),
    but=Filter(protos=frozenset({6}), host=(IPv4Network("10.0.0.9"),)),
)


def test_each_kind_has_its_words() -> None:
    assert wanted_words(ONE_OF_EACH) == (
        "IPv4 udp packets from 10.0.0.1 to 10.0.0.0/24 from or to fe80::1 from port 53 to port 5000-5010"
        " from or to port 80 or 443 on eth0 with mark 0x10/0xff or 0x1 that die of ipsec.auth-failed"
        " that do not die of unknown with reason NO_SOCKET without reason TC_EGRESS of type icmp 8"
        " of pid 7 and nginx and container 0f3a that match 'len > 60' but not tcp or from or to 10.0.0.9"
    )


@pytest.mark.parametrize("kind", [field.name for field in fields(Filter) if field.name != "netns"])
def test_nothing_that_is_asked_for_is_left_out(kind: str) -> None:
    value = getattr(ONE_OF_EACH, kind, None)
    assert value or kind not in ONE_OF_EACH.__slots__, "give it a value above"
    given: dict[str, Any] = {kind: value or ("something",)}
    asked = replace(Filter(), **given)
    assert wanted_words(asked) != wanted_words(Filter()) == "packets"


def test_a_kind_without_words_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dropwatch.render.wanted._WORDS", {})
    assert wanted_words(Filter(ifaces=("eth0", "eth1"))) == "packets with ifaces eth0 or eth1"


@dataclass(frozen=True)
class Text:
    text: str
    program: bytes


@dataclass(frozen=True)
class Kinds:
    pids: frozenset[int] = frozenset()
    user_names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Text("udp port 53", bytes(99)), "udp port 53"),
        (Kinds(frozenset({812})), "pids 812"),
        (Kinds(user_names=("a", "b")), "user names a or b"),
        (Filter(dport=((53, 53),)), "packets to port 53"),
        (7, "7"),
    ],
)
def test_what_has_no_words_is_said_as_it_says_itself(
    value: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(_WORDS, "ifaces")
    asked = replace(Filter(), ifaces=value)  # type: ignore[arg-type]
    assert wanted_words(asked) == f"packets with ifaces {words}"


def test_a_long_list_is_cut_and_says_so() -> None:
    causes = frozenset(f"ipsec.{letter}" for letter in "abcdefg")
    assert wanted_words(Filter(causes=causes)) == "packets that die of ipsec.a, ipsec.b, ipsec.c or 4 more"


def test_namespaces_are_named_as_the_user_knows_them() -> None:
    names = {5: "b"}
    assert netns_words(Filter(), names.get, 7) == "in every network namespace"
    assert netns_words(Filter(netns=(5, 7)), names.get, 7) == "in netns b or this network namespace"
    assert netns_words(Filter(netns=(9,)), names.get, 7) == "in netns 9"
    but = Filter(but=Filter(netns=(5, 9)))
    assert netns_words(but, names.get, 7) == "in every network namespace but netns b or netns 9"
    assert wanted_words(but) == "packets", "and not: packets but not"
