"""A destination that routing refuses: the kernel is asked again, and the route or rule that says so is named."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.causes.past.decisions import led_by
from dropwatch.host.ipv4 import Ipv4Interface, Setting
from dropwatch.host.route import Route
from dropwatch.host.rules import Refusal, Rule, Rules
from dropwatch.model import forwarding
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Event, Frame, Interface, Packet, Verdict, Where
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
LOCAL, MAIN = Rule(0, "lookup", 255), Rule(32766, "lookup", 254)
PROHIBIT = Rules((LOCAL, MAIN), (Refusal("prohibit", "10.77.0.9/32", 254),))
REFUSED = Route(None, refusal="the route is of type prohibit")


@pytest.fixture
def died(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> Died:
    """It came in through `vb` and was for 10.77.0.9."""

    def build(reason: str | None, function: str = "ip_error", **fields: Any) -> Drop:
        frame = Frame(function, 1, None, 0)
        event = make_event(skb_iif=2, ifindex=2, **fields)
        packet = make_packet(daddr=ip_address("10.77.0.9"), length=900)
        where = Where(frame, "routing", "in")
        return replace(
            make_drop(packet, event, reason=reason), where=where, stack=(frame,), iface=Interface(2, "vb")
        )

    return build


def judged(drop: Drop, **answers: Any) -> tuple[str | None, Verdict]:
    cause, verdict = diagnose(drop, ToldHost(**answers))
    return (cause.id if cause is not None else None), verdict


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
def test_the_route_that_refuses_is_the_object(died: Died, reason: str | None) -> None:
    cause, verdict = judged(died(reason), route_on=REFUSED, rules=PROHIBIT)
    assert (cause, verdict.confidence) == ("routing.prohibit", "certain")
    assert isinstance(verdict.culprit, forwarding.Route)
    assert verdict.culprit.text == "prohibit 10.77.0.9/32 table main"
    assert verdict.fix[-1].command == "ip netns exec b ip route del prohibit 10.77.0.9/32 table 254"


def test_after_a_change_it_is_likely(died: Died) -> None:
    cause, verdict = judged(died(None), route_on=REFUSED, rules=PROHIBIT, last_change=1 << 62)
    assert (cause, verdict.confidence) == ("routing.prohibit", "likely")


def test_an_answer_that_does_not_fit_the_reason_is_none(died: Died) -> None:
    nothing = Route(None, refusal="the network is unreachable")
    assert judged(died("NOT_SPECIFIED"), route_on=nothing, rules=PROHIBIT)[0] is None
    assert judged(died("IP_INNOROUTES"), route_on=REFUSED, rules=PROHIBIT)[1].confidence == "likely"


def test_no_route_is_certain_when_asked_again(died: Died) -> None:
    nothing = Route(None, refusal="the network is unreachable")
    cause, verdict = judged(died("IP_INNOROUTES"), route_on=nothing, rules=Rules((LOCAL, MAIN), ()))
    assert (cause, verdict.confidence, verdict.culprit) == ("routing.no-route-in", "certain", None)


def test_a_rule_that_says_unreachable_is_no_missing_route(died: Died) -> None:
    nothing = Route(None, refusal="the network is unreachable")
    rule = Rule(77, "unreachable", 0, iif="vb")
    cause, verdict = judged(died("IP_INNOROUTES"), route_on=nothing, rules=Rules((LOCAL, rule, MAIN), ()))
    assert (cause, verdict.confidence) == ("routing.unreachable", "certain")
    assert isinstance(verdict.culprit, forwarding.Route)
    assert verdict.culprit.rule == 77
    assert verdict.fix[-1].command == "ip netns exec b ip rule del priority 77"


def settings(forwarding: int = 1, rp_filter: tuple[int, int] = (0, 0), source: int = 0) -> Ipv4Interface:
    off = Setting(0, 0)
    return Ipv4Interface(Setting(forwarding, 1), Setting(*rp_filter), Setting(source, source), off, off)


def test_forwarding_is_off_where_kernels_give_no_reason(died: Died) -> None:
    unreachable = Route(None, refusal="the route is of type unreachable")
    cause, verdict = judged(died(None), route_on=unreachable, ipv4=settings(0), rules=PROHIBIT)
    assert (cause, verdict.confidence) == ("routing.forwarding-off", "certain")
    assert isinstance(verdict.culprit, Sysctl)
    assert verdict.culprit.text == "net.ipv4.conf.vb.forwarding = 0"


def test_the_setting_is_the_object_where_the_kernel_says_so(died: Died) -> None:
    cause, verdict = judged(died("IP_INADDRERRORS"), ipv4=settings(0))
    assert (cause, verdict.confidence) == ("routing.forwarding-off", "certain")
    assert isinstance(verdict.culprit, Sysctl)


@pytest.mark.parametrize(
    ("rp_filter", "back", "cause"),
    [
        ((1, 0), Route("other", table=254), "routing.reverse-path"),
        ((0, 1), Route("other", table=254), "routing.reverse-path"),
        ((2, 1), Route("other", table=254), None),
        ((2, 0), Route(None, refusal="the network is unreachable"), "routing.reverse-path"),
        ((0, 0), Route("other", table=254), None),
        ((1, 1), Route("vb", table=254), None),
    ],
)
def test_the_way_back_without_a_reason(
    died: Died, rp_filter: tuple[int, int], back: Route, cause: str | None
) -> None:
    drop = died(None, "ip_rcv_finish_core")
    found, verdict = judged(drop, route_back=back, ipv4=settings(rp_filter=rp_filter))
    assert found == cause
    assert cause is None or verdict.confidence == "likely"


def test_both_values_and_the_way_back_are_told(died: Died) -> None:
    drop = died("IP_RPFILTER", "ip_rcv_finish_core")
    _, verdict = judged(
        drop, route_back=Route("other", "10.1.0.1", table=77), ipv4=settings(rp_filter=(0, 1))
    )
    assert verdict.confidence == "certain"
    assert isinstance(verdict.culprit, Sysctl)
    assert verdict.culprit.name == "net.ipv4.conf.all.rp_filter"
    said = [one.text for one in verdict.evidence]
    assert said[0] == "rp_filter is strict: all = 1, vb = 0, the larger counts"
    assert said[1].endswith("leads out through other via 10.1.0.1, by table 77; it came in through vb")


def test_a_source_route_that_is_not_taken(died: Died) -> None:
    header = bytes((0x47,)) + bytes(19) + bytes((1, 137, 7, 4, 10, 1, 1, 1))
    drop = died("NOT_SPECIFIED", "ip_rcv_finish_core", packet=header)
    cause, verdict = judged(drop, ipv4=settings(source=0))
    assert (cause, verdict.confidence) == ("routing.source-route", "likely")
    assert verdict.evidence[0].text == "it has the option strict source route"
    assert judged(drop, ipv4=settings(source=1))[0] != "routing.source-route"


def test_the_size_of_the_link_where_kernels_give_no_reason(died: Died) -> None:
    whole = bytes((0x45, 0, 0, 0, 0, 0, 0x40)) + bytes(13)
    cause, verdict = judged(died(None, "ip_forward", packet=whole), route_on=Route("out", table=254), mtu=600)
    assert (cause, verdict.confidence) == ("routing.too-big", "likely")
    assert verdict.evidence[0].text == "900 bytes, and the MTU of out, by which it should leave, is 600"
    cut = bytes((0x45,)) + bytes(19)
    assert judged(died(None, "ip_forward", packet=cut), route_on=Route("out"), mtu=600)[0] is None


def test_a_size_that_an_error_told(died: Died) -> None:
    told = Route("out", table=254, mtu=600, expires=500)
    _, verdict = judged(died("PKT_TOO_BIG", "ip_forward"), route_on=told, mtu=1500)
    assert verdict.evidence[0].text == (
        "900 bytes, and the MTU of the route through out, which an ICMP error told and which is forgotten in 500 s, "
        "is 600"
    )


def test_the_rule_that_chose_the_table_led_to_it(died: Died) -> None:
    rule = Rule(77, "lookup", 100, iif="vb")
    drop = died("PKT_TOO_BIG", "ip_forward")
    host = ToldHost(route_on=Route("out", table=100), rules=Rules((LOCAL, rule, MAIN), ()), mtu=600)
    (one,) = led_by(drop, host, "routing.too-big", Verdict("certain"))
    assert one.text == "was routed by table 100, which this rule chose"
    assert isinstance(one.culprit, forwarding.Route)
    assert one.culprit.text == "ip rule 77: from all iif vb lookup 100"
    assert one.confidence == "certain"
    assert led_by(drop, host, "netfilter.nft-rule", Verdict("certain")) == ()


def test_the_rule_that_chose_the_table_of_a_route_that_refuses(died: Died) -> None:
    rule = Rule(79, "lookup", 79)
    rules = Rules((LOCAL, rule, MAIN), (Refusal("prohibit", "0.0.0.0/0", 79),))
    drop = died(None)
    cause, verdict = judged(drop, route_on=REFUSED, rules=rules)
    assert cause == "routing.prohibit"
    (one,) = led_by(drop, ToldHost(route_on=REFUSED, rules=rules), cause, verdict)
    assert one.text == "was routed by table 79, which this rule chose"
