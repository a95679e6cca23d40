"""Values to JSON and back, and that nothing comes back which is not of the expected type."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import pytest

from dropwatch.host.conntrack import ConntrackTable
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.netfilter.questions import Firewalls
from dropwatch.host.nfqueue import Queue
from dropwatch.host.route import Route
from dropwatch.model.address import KernelAddress
from dropwatch.model.culprits import Culprit, IptablesRule, NftRule
from dropwatch.model.drop import Event, MatchResult, Process
from dropwatch.model.ipsec import (
    Encap,
    Lifetime,
    PolicyDirection,
    Selector,
    XfrmNote,
    XfrmPolicy,
    XfrmState,
    XfrmTemplate,
)
from dropwatch.model.netfilter import ConntrackNote, NetfilterNote, NftChain, NftNote, QueueNote, XtNote
from dropwatch.model.word import Word
from dropwatch.recording.decode import Malformed, decode
from dropwatch.recording.encode import encode
from dropwatch.recording.questions import answer_types
from dropwatch.recording.start import End, Start

A, B = ip_address("10.9.0.1"), ip_address("fd00::2")
STATE = XfrmState(
    4, A, A, "esp", 0x1001, "tunnel", algorithms=(("aead", "rfc4106(gcm(aes))", 160, 128),),
    encap=Encap("espinudp", 4500, 4500), selector=Selector(4, A, 32), lifetime=Lifetime(hard_packets=7, bytes=3),
)  # fmt: skip
POLICY = XfrmPolicy(
    Selector(6, B, 128, B, 64), "in", "allow", 3, 8, templates=(XfrmTemplate("esp", "tunnel", A),)
)
NFT = NftNote(
    "rule",
    "inet",
    "t",
    3,
    NftChain(1, "in"),
    1,
    0,
    "drop",
    NftChain(2, "x"),
    7,
    "nft_immediate_eval",
    (NftChain(2, "x"),),
)
XT = XtNote("ip", "filter", 1, 5, 800, 640, (152,), False, None, (), 0, b"\0\xff")


def through(value: Any, kind: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value))), kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (XfrmNote(frozenset({"icvfail"}), ("XfrmInStateProtoError",), 0x1001, 3, STATE), XfrmNote),
        (
            NetfilterNote(
                nft=NFT, conntrack=ConntrackNote("nf_conntrack_in", True), queue=QueueNote(3, None)
            ),
            NetfilterNote,
        ),
        (NetfilterNote(xt=XT), NetfilterNote | None),
        (None, NetfilterNote | None),
        (STATE, XfrmState),
        (
            ListedRule(NftRule("drop", "ip", "t", handle=7), "nft", "nft -a list table ip t", ("a",)),
            ListedRule,
        ),
        (Firewalls(("inet t",), ()), Firewalls | None),
        (ConntrackTable(1, 2, None, 3), ConntrackTable | None),
        ((Queue(0, 1, 2, 3, 4, Process(5, "x"), 6),), tuple[Queue, ...] | None),
        (Route(None, refusal="no"), Route),
        ({1: "a", 2: "b"}, dict[int, str]),
        ({}, dict[int, str]),
        ({}, dict[int, str] | None),
        ({}, dict[str, int]),
        ({"a": 1}, dict[str, int]),
        (1.5, float),
        (A, IPv4Address | IPv6Address),
        (B, IPv4Address | IPv6Address),
    ],
)
def test_there_and_back(value: Any, kind: Any) -> None:
    assert through(value, kind) == value


def test_an_event_with_everything(make_event: Callable[..., Event]) -> None:
    event = make_event(
        packet=bytes(range(256)),
        stack=(2**64 - 1, 5),
        notes=frozenset({"time-wait"}),
        xfrm=XfrmNote(state=STATE),
    )
    assert through(event, Event) == event


def test_a_configuration_is_equal_by_its_parts() -> None:
    config = through(XfrmConfig((STATE,), (POLICY,), 5), XfrmConfig)
    assert (config.states, config.policies, config.read_at_ns) == ((STATE,), (POLICY,), 5)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (True, int),
        (1.0, int),
        ("1", int),
        (2**64, int),
        (None, int),
        (1, bool),
        (1, str),
        (float("inf"), float),
        (10**400, float),
        ("no hex", bytes),
        ("abc", bytes),
        (5, KernelAddress),
        ("5", KernelAddress),
        ("0x1ffffffffffffffff", KernelAddress),
        ("0x5\n", KernelAddress),
        ({"one": "a"}, dict[int, str]),
        ({"\u0661": "a"}, dict[int, str]),
        ("10.9.0.999", IPv4Address),
        (167837697, IPv4Address),
        ("x", Literal["a", "b"]),
        ({}, tuple[int, ...]),
        ([1, "2"], tuple[int, ...]),
        ([1], tuple[int, int]),
        ([], Route),
        ({}, Route),
        ({"device": 3}, Route),
        ([["inet t"], []], Firewalls),
        ({"nft": []}, Firewalls),
        ([[1]], dict[int, str]),
        ([], dict[str, str]),
        ("x", int | None),
        (json.loads("[" * 40 + "]" * 40), Any),
    ],
)
def test_what_is_of_another_type_is_refused(data: Any, kind: Any) -> None:
    with pytest.raises(Malformed):
        decode(data, kind)


def types_in(kind: Any) -> Iterator[Any]:
    """A type and all that it is made of."""
    yield kind
    parts: Iterable[Any] = get_args(kind) if get_origin(kind) is not Literal else ()
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        hints = get_type_hints(kind).values()
        parts = [hint for hint in hints if hint is not kind and get_origin(hint) is not ClassVar]
    for part in parts:
        if part is not ...:
            yield from types_in(part)


@pytest.mark.parametrize("kind", [Event, MatchResult, Start, End, *answer_types().values()], ids=str)
def test_every_type_that_is_recorded_can_be_read(kind: Any) -> None:
    """What a new answer of the host is made of has to be known here."""
    for part in types_in(kind):
        with contextlib.suppress(Malformed):
            decode({}, part)
            decode([], part)


@dataclass(frozen=True)
class Later:
    """A record to which a field was added."""

    old: int
    new: str = "usual"


@pytest.mark.parametrize("kind", get_args(Culprit), ids=lambda kind: kind.kind)
def test_of_a_union_the_kind_says_which_it_is(kind: Any) -> None:
    needed = [field.name for field in fields(kind) if field.default is MISSING]
    told = encode(kind(**dict.fromkeys(needed, "x")))
    assert told["kind"] == kind.kind
    for other in set(get_args(Culprit)) - {kind}:
        with pytest.raises(Malformed):
            decode(told, other)
    del told["kind"]
    with pytest.raises(Malformed):
        decode(told, kind)


def test_a_rule_comes_back_as_what_it_was() -> None:
    for one in (NftRule("drop", "ip", "t", handle=7), IptablesRule("-j DROP", "ip", "t", "INPUT", 3)):
        assert decode(json.loads(json.dumps(encode(one))), Culprit) == one


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("in; reboot", Word),
        ("-in", Word),
        ("in\n", Word),
        ("", Word),
        ("fe80::1%;reboot", IPv6Address),
        ("fe80::1%eth0", IPv6Address),
    ],
)
def test_what_stands_in_commands_as_it_is_holds_nothing_else(data: str, kind: Any) -> None:
    with pytest.raises(Malformed):
        decode(data, kind)


def test_a_policy_of_a_socket_has_a_direction_of_two_words() -> None:
    assert decode("socket in", PolicyDirection) == "socket in"
    with pytest.raises(Malformed):
        decode("in socket", PolicyDirection)


def test_fields_may_be_added() -> None:
    assert decode({"old": 1}, Later) == Later(1)
    assert decode({"old": 1, "new": "x", "newest": 3}, Later) == Later(1, "x")
    with pytest.raises(Malformed, match="Later is missing"):
        decode({"new": "x"}, Later)


def test_a_text_is_made_as_harmless_as_a_name_of_a_kernel() -> None:
    assert decode("a\nb\ud800\u202e\x1b[2J", str) == "a\\x0ab\\xed\\xa0\\x80\\xe2\\x80\\xae\\x1b[2J"
    assert decode(["x\n", {"\x1b": "\n"}], Any) == ["x\\x0a", {"\\x1b": "\\x0a"}]


def test_a_text_is_no_longer_than_it_can_be_read() -> None:
    assert len(decode("a" * 10_000_000, str)) == 1 << 16
