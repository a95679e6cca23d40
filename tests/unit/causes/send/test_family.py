"""The errno, the function that gave it, and what is asked after it say why a send failed."""

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.addresses import OwnAddress
from dropwatch.host.link import Link
from dropwatch.host.route import Route, refusal
from dropwatch.host.rules import Refusal, Rule, Rules
from dropwatch.model import forwarding
from dropwatch.model.drop import Drop, Frame, Where
from dropwatch.model.send import SendNote
from tests.unit.told_host import ToldHost

Sent = Callable[..., Drop]
V4, V6 = "ip_route_output_flow", "ip6_dst_lookup_flow"
NO_RULES = {"refusing_rules": ()}


@pytest.fixture
def sent(
    make_drop: Callable[..., Drop], make_event: Callable[..., Any], make_packet: Callable[..., Any]
) -> Sent:
    def build(source: str, error: int, note: dict[str, Any] | None = None, **packet: Any) -> Drop:
        event = make_event(source=source, send=SendNote(error, 1000, **(note or {})), skb_iif=0)
        frame = Frame(source, 5, None, event.location)
        drop = make_drop(make_packet(**packet), event, iface=None)
        return replace(drop, where=Where(frame, "routing", "out"), stack=(frame,))

    return build


def judged(drop: Drop, **answers: Any) -> tuple[str, str]:
    cause, verdict = diagnose(drop, ToldHost(**{**NO_RULES, **answers}))
    assert verdict.evidence[-1].source.startswith("probe") or verdict.confidence != "certain"
    return (cause.id if cause is not None else "unknown"), verdict.confidence


@pytest.mark.parametrize("source", [V4, V6])
@pytest.mark.parametrize(
    ("error", "cause", "confidence"),
    [
        (errno.ENETUNREACH, "send.no-route", "certain"),
        (errno.EACCES, "send.prohibited", "certain"),
        (errno.EHOSTUNREACH, "send.prohibited", "certain"),
        (errno.ENODEV, "send.interface-down", "certain"),
        (errno.ENETDOWN, "send.interface-down", "certain"),
        (errno.ENOBUFS, "send.no-buffer", "certain"),
        (errno.EADDRNOTAVAIL, "send.no-address", "certain"),
        (errno.EINVAL, "unknown", "unknown"),
        (errno.EPERM, "unknown", "unknown"),
        (9999, "unknown", "unknown"),
    ],
)
def test_what_a_lookup_answers(sent: Sent, source: str, error: int, cause: str, confidence: str) -> None:
    assert judged(sent(source, error)) == (cause, confidence)


def test_an_unknown_one_says_the_errno(sent: Sent) -> None:
    _, verdict = diagnose(sent(V4, errno.EPERM), ToldHost())
    assert verdict.title == "the send failed: EPERM"
    assert verdict.evidence[0].text == "it returned EPERM: no packet was created"


@pytest.mark.parametrize(
    "answers",
    [
        {"refusing_rules": ("prohibit", "unreachable")},
        {"refusing_rules": None},
        {"last_change": 83521935615},
    ],
    ids=["a rule", "unread rules", "changed since"],
)
def test_no_route_is_likely_where_it_may_be_something_else(sent: Sent, answers: dict[str, Any]) -> None:
    assert judged(sent(V4, errno.ENETUNREACH), **answers) == ("send.no-route", "likely")


def test_an_interface_that_is_down_has_the_same_answer(sent: Sent) -> None:
    bound = {"bound_ifindex": 3}
    assert judged(sent(V4, errno.ENETUNREACH, bound)) == ("send.no-route", "likely")
    assert judged(sent(V6, errno.ENETUNREACH, bound, family=6)) == ("send.no-route", "certain")


def test_a_connection_to_a_group(sent: Sent) -> None:
    drop = sent("tcp_v4_connect", errno.ENETUNREACH, daddr="224.0.0.251", proto="tcp")
    _, verdict = diagnose(drop, ToldHost())
    assert "a multicast address" in verdict.evidence[0].text


@pytest.mark.parametrize("source", [V4, "tcp_v4_connect", "tcp_v6_connect"])
def test_a_blackhole_is_asked_for(sent: Sent, source: str) -> None:
    drop, route = sent(source, errno.EINVAL), Route(None, refusal=refusal(errno.EINVAL))
    assert judged(drop, route_of_send=route) == ("send.prohibited", "certain")
    assert judged(drop, route_of_send=route, last_change=83521935615) == ("send.prohibited", "likely")
    assert judged(drop, route_of_send=Route("va")) == ("unknown", "unknown")


def test_the_question_is_the_senders_own(sent: Sent) -> None:
    asked: list[tuple[Any, ...]] = []
    drop = sent("tcp_v4_connect", errno.EACCES, {"bound_ifindex": 3}, saddr="0.0.0.0", mark=7)
    diagnose(drop, ToldHost(route_of_send=lambda *words: asked.append(words[:6])))
    assert asked == [(4026532234, drop.packet.daddr, None, 3, 7, 1000)]


def test_a_source_that_is_no_address_of_this_host(sent: Sent) -> None:
    drop = sent(V4, errno.EINVAL)
    assert drop.packet.saddr is not None
    elsewhere = (OwnAddress(drop.packet.daddr or drop.packet.saddr, "va", True),)
    assert judged(drop, addresses=elsewhere) == ("send.no-address", "likely")
    assert judged(drop, addresses=(OwnAddress(drop.packet.saddr, "va", True),)) == ("unknown", "unknown")


@pytest.mark.parametrize(
    ("source", "confidence"), [("tcp_v4_connect", "certain"), ("tcp_v6_connect", "likely")]
)
def test_a_connection_without_a_port(sent: Sent, source: str, confidence: str) -> None:
    assert judged(sent(source, errno.EADDRNOTAVAIL)) == ("send.no-address", confidence)


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ({"mtu": 1500, "length": 1999}, "1999 bytes and their headers do not fit into 1500"),
        ({"mtu": 1280}, "its bytes and their headers do not fit into 1280"),
        ({"length": 70000}, "70000 bytes are more than a datagram can have"),
    ],
)
def test_what_is_too_big(sent: Sent, note: dict[str, Any], words: str) -> None:
    drop = sent("ip_local_error", errno.EMSGSIZE, note)
    assert judged(drop) == ("send.too-big", "certain")
    assert words in diagnose(drop, ToldHost())[1].evidence[0].text


def test_a_broadcast(sent: Sent) -> None:
    assert judged(sent("udp_sendmsg", errno.EACCES)) == ("send.broadcast-off", "likely")
    assert judged(sent("udp_sendmsg", errno.EIO)) == ("unknown", "unknown")


RULES = Rules(
    (Rule(0, "lookup", 255), Rule(32766, "lookup", 254)), (Refusal("prohibit", "10.9.0.0/24", 254),)
)
DOWN, UP = Link("v", 1400, "DOWN", False, False), Link("v", 1400, "UP", True, True)


def test_the_route_that_forbids_it_is_the_object(sent: Sent) -> None:
    drop = sent(V4, errno.EACCES, daddr="10.9.0.2")
    _, verdict = diagnose(drop, ToldHost(rules=RULES))
    assert isinstance(verdict.culprit, forwarding.Route)
    assert verdict.culprit.text == "prohibit 10.9.0.0/24 table main"
    _, changed = diagnose(drop, ToldHost(rules=RULES, last_change=83521935615))
    assert (changed.confidence, changed.culprit) == ("certain", None)


def test_a_rule_for_another_user_is_not_it(sent: Sent) -> None:
    """The note says whose send it was."""
    drop = sent(V4, errno.EACCES, daddr="10.9.0.2")
    for uid, named in ((1000, True), (1001, False)):
        rule = Rule(77, "prohibit", 0, uids=(uid, uid))
        _, verdict = diagnose(drop, ToldHost(rules=Rules((rule,), ())))
        assert (verdict.culprit is not None) is named


def test_the_interface_that_it_is_bound_to(sent: Sent) -> None:
    bound = {"bound_ifindex": 3}
    drop = sent(V4, errno.ENETUNREACH, bound)
    assert judged(drop, link=DOWN) == ("send.interface-down", "certain")
    assert judged(drop, link=UP) == ("send.no-route", "certain")
    _, verdict = diagnose(sent(V6, errno.ENETDOWN, bound), ToldHost(link=DOWN))
    assert isinstance(verdict.culprit, forwarding.Device)
    assert (verdict.culprit.text, verdict.culprit.interface) == ("v state DOWN", "v")
    _, gone = diagnose(sent(V4, errno.ENODEV, bound), ToldHost())
    assert gone.culprit is None
    assert "index 3 is gone" in gone.evidence[0].text


@pytest.mark.parametrize(
    ("mtu", "route", "named", "words"),
    [
        (1400, Route("v"), "v mtu 1400", "the MTU of v is 1400"),
        (1400, Route("v", mtu=1400, expires=9), None, "an ICMP error told"),
        (1300, Route("v"), None, None),
    ],
    ids=["its interface", "learned", "another by now"],
)
def test_whose_mtu_it_is(sent: Sent, mtu: int, route: Route, named: str | None, words: str | None) -> None:
    drop = sent("ip_local_error", errno.EMSGSIZE, {"mtu": mtu, "length": 1999})
    _, verdict = diagnose(drop, ToldHost(route_of_send=route, link=UP))
    assert (verdict.culprit.text if verdict.culprit is not None else None) == named
    assert words is None or any(words in one.text for one in verdict.evidence)
