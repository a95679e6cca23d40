"""Too big to be forwarded: what is said to do, and of which interface."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.link import Link
from dropwatch.host.route import Route
from dropwatch.model.drop import Drop, Event, Fix, Frame, Interface, Packet, Where
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
    assert found[0] == Fix("make the program send smaller packets")
    assert found[1].command == "ip netns exec b ip link set dev 'out 0' mtu 1500"
    assert found[1].text.startswith("or raise the MTU of out 0, through which it should leave")
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
    assert set(asked) == {(event.netns, packet.daddr, packet.saddr, 2, 7, event.monotonic_ns)}


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


@pytest.mark.parametrize(
    ("place", "came_in", "mtu", "cause"),
    [
        ("ip6_fragment", 2, 1300, "routing.too-big"),
        ("ip6_fragment", 2, 1500, None),
        ("ip6_fragment", 0, 1300, None),
        ("ip6_output", 2, 1300, None),
    ],
)
def test_what_is_not_cut_while_it_is_forwarded_is_too_big(
    too_big: Callable[..., Drop], place: str, came_in: int, mtu: int, cause: str | None
) -> None:
    """A route may have a smaller MTU than forwarding asks for. The kernel names no reason."""
    drop = too_big(family=6, saddr=ip_address("fd09::1"), daddr=ip_address("fd77::9"))
    frame = Frame(place, 1, None, 0)
    event = replace(drop.event, skb_iif=came_in)
    drop = replace(drop, event=event, where=replace(drop.where, frame=frame), stack=(frame,))
    found, verdict = diagnose(
        replace(drop, reason="NOT_SPECIFIED"), ToldHost(route_on=Route("out0", mtu=mtu))
    )
    assert (found.id if found is not None else None) == cause
    assert cause is None or verdict.confidence == "likely"


def test_a_routing_header_that_is_not_followed(too_big: Callable[..., Drop]) -> None:
    frame = Frame("ipv6_rthdr_rcv", 1, None, 0)
    drop = too_big(family=6, saddr=ip_address("fd09::1"), daddr=ip_address("fd09::2"))
    drop = replace(drop, where=replace(drop.where, frame=frame), stack=(frame,))
    for reason, cause in ((None, "routing.source-route"), ("NOT_SPECIFIED", "routing.source-route")):
        found, verdict = diagnose(replace(drop, reason=reason), ToldHost())
        assert found is not None
        assert (found.id, verdict.confidence) == (cause, "likely")


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


@pytest.mark.parametrize("function", ["ip_fragment.constprop.0", "ip6_fragment"])
def test_what_may_not_be_cut_on_its_way_out(
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
    make_event: Callable[..., Event],
    function: str,
) -> None:
    """The link that it is to leave by is that of the packet there; without DF it would have been cut."""
    place = Frame(function, 1, None, 0)

    def died(flags: int = 0x40, length: int = 1480) -> Drop:
        header = bytes((0x45, 0, 0, 0, 0, 0, flags, 0)) + bytes(12)
        event = make_event(packet=header, ifindex=7, skb_iif=2)
        made = make_drop(make_packet(length=length, family=6 if "6" in function else 4), event)
        return replace(made, where=Where(place, "routing", "out"), stack=(place,), reason="NOT_SPECIFIED")

    host = ToldHost(
        link=lambda inode, which, at: Link("tun0", 1400, "UP", True, True) if which == 7 else None
    )
    cause, verdict = diagnose(died(), host)
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("routing.too-big", "likely")
    assert verdict.culprit is not None
    assert verdict.culprit.text == "tun0 mtu 1400"
    assert diagnose(died(length=1400), host)[0] is None
    assert (diagnose(died(flags=0), host)[0] is None) is (function != "ip6_fragment")
