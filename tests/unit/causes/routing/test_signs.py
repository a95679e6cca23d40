"""Too big to be forwarded: what is said to do, and of which interface."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.route import Route
from dropwatch.model.drop import Drop, Fix, Frame, Interface, Packet, Where
from tests.unit.told_host import ToldHost


@pytest.fixture
def too_big(make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]) -> Callable[..., Drop]:
    """It came in through `in0` and died in ip_forward."""

    def build(**fields: Any) -> Drop:
        place = Frame("ip_forward", 1, None, 0)
        drop = make_drop(make_packet(**{"length": 1480, **fields}))
        where = Where(place, "routing", "forward")
        return replace(drop, where=where, stack=(place,), reason="PKT_TOO_BIG", iface=Interface(2, "in0"))

    return build


def fixes(drop: Drop, route: Route | None) -> tuple[Fix, ...]:
    cause, verdict = diagnose(drop, ToldHost(route_on=route))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("routing.too-big", "certain")
    return verdict.fix


def test_the_interface_that_it_should_leave_by_is_named(too_big: Callable[..., Drop]) -> None:
    found = fixes(too_big(), Route("out 0", "10.8.0.1"))
    assert found[0] == Fix("have the program that sends it send smaller packets")
    assert found[1].command == "ip netns exec b ip link set dev 'out 0' mtu 1500"
    assert found[1].text.startswith("or give out 0, by which it should leave, a larger MTU")
    assert (
        fixes(too_big(length=4000), Route("out0"))[1].command
        == "ip netns exec b ip link set dev out0 mtu 4000"
    )
    assert not any("in0" in f"{fix.text} {fix.command}" for fix in found)


def test_the_route_is_asked_as_for_this_packet(too_big: Callable[..., Drop]) -> None:
    asked = []

    def answer(*arguments: Any) -> Route:
        asked.append(arguments)
        return Route("out0")

    drop = too_big(mark=7)
    diagnose(drop, ToldHost(route_on=answer))
    packet, event = drop.packet, drop.event
    assert asked == [(event.netns, packet.daddr, packet.saddr, 2, 7, event.monotonic_ns)]


def test_where_nobody_knows_it_the_user_is_told_how_to_ask(too_big: Callable[..., Drop]) -> None:
    found = fixes(too_big(mark=7), None)
    assert found[1].command == "ip netns exec b ip route get 10.9.0.2 from 10.9.0.1 iif in0 mark 0x7"


@pytest.mark.parametrize("kind", ["routes", "links"])
def test_an_interface_is_not_named_by_other_routes(too_big: Callable[..., Drop], kind: str) -> None:
    drop = too_big()
    later = drop.event.monotonic_ns + 1
    host = ToldHost(
        route_on=Route("out0"), last_change=lambda inode, asked, read_at: later if asked == kind else 0
    )
    _, verdict = diagnose(drop, host)
    assert verdict.confidence == "certain"
    assert any("out0" in f"{fix.text} {fix.command}" for fix in verdict.fix) == (kind == "links")


def test_segments_of_tcp_are_made_smaller(too_big: Callable[..., Drop]) -> None:
    clamp = "-t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
    assert fixes(too_big(proto="tcp"), None)[0].command == f"ip netns exec b iptables {clamp}"
    six = too_big(proto="tcp", family=6, saddr="fd09::1", daddr="fd09::2")
    assert fixes(six, None)[0].command == f"ip netns exec b ip6tables {clamp}"


@pytest.mark.parametrize(
    ("route", "change"),
    [
        (Route("eth1"), "net.ipv4.conf.vb.rp_filter=2"),
        (None, "net.ipv4.conf.vb.rp_filter=2"),
        (
            Route(None, refusal="the network is unreachable"),
            "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.vb.rp_filter=0",
        ),
    ],
)
def test_loose_mode_is_for_a_source_that_has_a_route(
    make_drop: Callable[..., Drop], route: Route | None, change: str
) -> None:
    place = Frame("ip_rcv_finish_core", 1, None, 0)
    drop = replace(make_drop(), where=Where(place, "routing", "in"), stack=(place,), reason="IP_RPFILTER")
    cause, verdict = diagnose(drop, ToldHost(route_back=route))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("routing.reverse-path", "certain")
    (written,) = [fix.command for fix in verdict.fix if "sysctl" in (fix.command or "")]
    assert written == f"ip netns exec b sysctl -w {change}"


def test_a_blackhole_of_ipv6_is_told_by_where_the_packet_came_from(
    make_drop: Callable[..., Drop], make_event: Callable[..., Any], make_packet: Callable[..., Packet]
) -> None:
    """Below a softirq the stack may show who sent it, of another namespace."""
    names = ("dst_discard", "ip6_rcv_finish", "ipv6_rcv", "ip6_send_skb")
    stack = tuple(Frame(name, 1, None, 0) for name in names)

    def judged(skb_iif: int) -> str | None:
        drop = make_drop(make_packet(family=6), event=make_event(skb_iif=skb_iif), reason=None)
        cause, _ = diagnose(replace(drop, where=Where(stack[0], "routing", "in"), stack=stack), ToldHost())
        return cause.id if cause is not None else None

    assert judged(2) == "routing.blackhole"
    assert judged(0) is None
