"""What is advised fits the drop, runs where the drop was, names no placeholder, and weakens nothing unsaid."""

import errno
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes import CATALOGUE, by_id
from dropwatch.causes.advice import UNKNOWN, Step, advise, last_twice, of_catalogue, twice
from dropwatch.causes.cause import Cause
from dropwatch.causes.placeholders import MEANINGS
from dropwatch.host.commands import in_namespace, of_the_first
from dropwatch.model.drop import Direction, Drop, Event, Fix, Netns, Packet, Process
from dropwatch.model.send import SendNote
from tests.unit.told_host import ToldHost

HOST = ToldHost()
Make = Callable[..., Drop]
with_advice = pytest.mark.parametrize(
    "cause", [cause for cause in CATALOGUE if cause.fix], ids=lambda cause: cause.id
)
PLACEHOLDERS = re.compile(rf"\b(?:{'|'.join((*MEANINGS, *UNKNOWN))})\b")


@pytest.fixture
def given(
    make_drop: Make, make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> Callable[..., Drop]:
    """A drop; what is not of the packet is of the event (`event`) or of the way that it went (`direction`)."""

    def build(direction: Direction = "in", event: dict[str, object] | None = None, **fields: object) -> Drop:
        drop = make_drop(make_packet(**fields), make_event(**(event or {})))
        return replace(drop, where=replace(drop.where, direction=direction))

    return build


def shown(cause_id: str, drop: Drop) -> tuple[Fix, ...]:
    cause = by_id(cause_id)
    assert cause is not None
    return advise(of_catalogue(cause.fix, drop), drop, HOST)


def commands(cause_id: str, drop: Drop) -> list[str]:
    return [fix.command for fix in shown(cause_id, drop) if fix.command is not None]


@pytest.fixture
def drops(given: Callable[..., Drop]) -> list[Drop]:
    """A datagram, a segment over IPv6 with a mark, a packet of our own, and a frame without IP."""
    return [
        given(),
        given(family=6, saddr="fd09::1", daddr="fd09::2", proto="tcp", mark=7),
        replace(given("out", {"skb_iif": 0}), process=Process(812, "client")),
        given(family=None, saddr=None, daddr=None, sport=None, dport=None, proto="lldp"),
    ]


@with_advice
def test_something_is_advised_for_any_packet(cause: Cause, drops: list[Drop]) -> None:
    assert all(shown(cause.id, drop) for drop in drops)


@with_advice
def test_no_command_needs_to_be_filled_in(cause: Cause, drops: list[Drop]) -> None:
    for drop in drops:
        for command in commands(cause.id, drop):
            assert not PLACEHOLDERS.search(command), command


@with_advice
def test_what_is_to_be_filled_in_is_explained(cause: Cause, drops: list[Drop]) -> None:
    for fix in (fix for drop in drops for fix in shown(cause.id, drop)):
        inside = "".join(re.findall(r"`(.*?)`", fix.text))
        for word in set(PLACEHOLDERS.findall(inside)):
            assert f"{word} is {(MEANINGS | UNKNOWN)[word]}" in fix.text


@with_advice
def test_no_command_comes_twice(cause: Cause, drops: list[Drop]) -> None:
    for drop in drops:
        found = commands(cause.id, drop)
        assert len(found) == len(set(found)), found


@with_advice
def test_what_weakens_security_comes_last_and_says_so(cause: Cause, drops: list[Drop]) -> None:
    for drop in drops:
        weakens = ["this weakens security: " in fix.text for fix in shown(cause.id, drop)]
        assert weakens == sorted(weakens)
        assert not all(weakens)


@with_advice
def test_commands_run_where_the_drop_was(cause: Cause, drops: list[Drop]) -> None:
    for drop in drops:
        for fix in of_catalogue(cause.fix, drop):
            if fix.command is not None and not (isinstance(fix, Step) and fix.elsewhere):
                assert in_namespace(drop.netns, fix.command) in commands(cause.id, drop)


def test_settings_that_weaken_are_all_marked() -> None:
    """Each of these opens something; the rest of what is set changes a size, a time, or a way."""
    opens = re.compile(
        r"rp_filter=|accept_local=|route_localnet=|accept_source_route=|seg6_enabled=|unicast_in_l2|accept_dad=|be_liberal"
        r"|l3mdev_accept=|setenforce|isolated off|xdpgeneric off|policy delete|setdefault"
    )
    for cause in CATALOGUE:
        for fix in cause.fix:
            if opens.search(fix.command or ""):
                assert isinstance(fix, Step), fix
                assert fix.weakens, fix


def test_a_value_that_no_drop_tells_is_asked_for_in_words(given: Callable[..., Drop]) -> None:
    missing = Fix("add the missing route", "ip route add DADDR via GATEWAY")
    (fix,) = advise(of_catalogue([missing], given()), given(), HOST)
    assert fix == Fix(
        "add the missing route: `ip netns exec b ip route add 10.9.0.2 via GATEWAY`, where GATEWAY is the next "
        "router for the packet"
    )


def test_a_name_that_looks_like_a_placeholder_is_a_name(given: Callable[..., Drop]) -> None:
    drop = given()
    assert drop.iface is not None
    drop = replace(drop, iface=replace(drop.iface, name="MAC"))
    (fix,) = advise(of_catalogue([Fix("show it", "ip link show DEV")], drop), drop, HOST)
    assert fix.command == "ip netns exec b ip link show MAC"


@pytest.mark.parametrize(
    ("direction", "event", "fields", "question"),
    [
        ("in", {}, {}, "10.9.0.2 from 10.9.0.1 iif vb"),
        ("forward", {}, {"mark": 0x2A}, "10.9.0.2 from 10.9.0.1 iif vb mark 0x2a"),
        ("out", {"skb_iif": 0}, {}, "10.9.0.2 from 10.9.0.1"),
        ("out", {"skb_iif": 0}, {"mark": 1}, "10.9.0.2 from 10.9.0.1 mark 0x1"),
        ("out", {"skb_iif": 0}, {"saddr": "0.0.0.0"}, "10.9.0.2"),
        ("out", {"skb_iif": 5}, {"mark": 1}, "10.9.0.2 mark 0x1"),
        ("out", {"skb_iif": 0}, {"daddr": "224.0.0.5"}, "224.0.0.5 from 10.9.0.1 oif vb"),
    ],
    ids=[
        "came in",
        "with a mark",
        "own",
        "own with a mark",
        "without an address yet",
        "came in elsewhere",
        "own to a group",
    ],
)
def test_the_routes_are_asked_as_the_kernel_asked(
    given: Callable[..., Drop],
    direction: Direction,
    event: dict[str, object],
    fields: dict[str, object],
    question: str,
) -> None:
    drop = given(direction, event, **fields)
    for asked in ("ip route get DADDR", "ip route get DADDR from SADDR iif DEV"):
        (fix,) = of_catalogue([Fix("ask", asked)], drop)
        assert fix.command == f"ip route get {question}"


def test_a_send_is_asked_with_the_user_that_a_rule_may_ask_for(given: Callable[..., Drop]) -> None:
    for uid, words in ((1234, " uid 1234"), (0, "")):
        event = {"send": SendNote(errno.ENETUNREACH, uid), "skb_iif": 0}
        (fix,) = of_catalogue([Fix("ask", "ip route get DADDR")], given("out", event, saddr=None))
        assert fix.command == f"ip route get 10.9.0.2{words}"


def test_ipv6_has_its_own_iptables(given: Callable[..., Drop]) -> None:
    drop = given(family=6, saddr="fd09::1", daddr="fd09::2")
    fixes = of_catalogue(
        [Fix("a", "iptables -t mangle -L"), Fix("b", "iptables-legacy -L; iptables-save")], drop
    )
    assert [fix.command for fix in fixes] == ["ip6tables -t mangle -L", "ip6tables-legacy -L; ip6tables-save"]


def test_ipv6_has_its_own_words_in_nft(given: Callable[..., Drop]) -> None:
    drop = given(family=6, saddr="fd09::1", daddr="fd09::2")
    rule = Fix("a", "nft add rule inet t c ip saddr SADDR ip daddr DADDR accept")
    (fix,) = of_catalogue([rule], drop)
    assert fix.command == "nft add rule inet t c ip6 saddr fd09::1 ip6 daddr fd09::2 accept"


def test_another_host_has_none_of_our_namespaces(given: Callable[..., Drop]) -> None:
    (fix,) = advise([Step("on the sender", "ip xfrm policy", elsewhere=True)], given(), HOST)
    assert fix.command == "ip xfrm policy"


def test_equal_commands_are_shown_once(given: Callable[..., Drop]) -> None:
    assert advise(
        [Fix("see it", "ss"), Fix("watch it", "ss"), Fix("think"), Fix("think")], given(), HOST
    ) == (
        Fix("see it", "ip netns exec b ss"),
        Fix("think"),
    )


def test_a_setting_of_the_first_namespace_is_set_there_and_that_is_said(given: Callable[..., Drop]) -> None:
    table = next(fix for fix in shown("neighbour.table-full", given()) if fix.command is not None)
    assert table.command == f"nsenter -t 1 -n sh -c '{twice('net.ipv4.neigh.default.gc_thresh3')}'"
    assert table.text.endswith("; the sysctl is in the initial network namespace")
    here = replace(given(), netns=Netns(7, None))
    assert commands("neighbour.table-full", here)[0] == twice("net.ipv4.neigh.default.gc_thresh3")


def test_a_limit_is_doubled_whatever_it_is() -> None:
    assert (
        twice("net.core.somaxconn") == "sysctl -w net.core.somaxconn=$((2 * $(sysctl -n net.core.somaxconn)))"
    )
    assert of_the_first(last_twice("net.ipv4.udp_mem"))
    for cause in CATALOGUE:
        for fix in cause.fix:
            assert not re.search(
                r"(?:_max|_mem|thresh3|backlog|burst|unres_qlen_bytes)=\d", fix.command or ""
            ), fix


def test_advice_is_for_the_packet_that_died(given: Callable[..., Drop]) -> None:
    esp, gre6 = given(proto="esp"), given(proto="gre", family=6)
    assert [one for one in commands("socket.protocol-unhandled", esp) if "modprobe" in one] == [
        "modprobe esp4"
    ]
    assert [one for one in commands("socket.protocol-unhandled", gre6) if "modprobe" in one] == [
        "modprobe ip6_gre"
    ]
    assert not any("modprobe" in one for one in commands("socket.protocol-unhandled", given(proto="113")))
    group = given(family=6, saddr="fe80::1", daddr="ff02::16", proto="icmp6")
    assert not any("route add" in f"{fix.text} {fix.command}" for fix in shown("routing.no-route-in", group))
    assert any("route add" in fix.text for fix in shown("routing.no-route-in", given()))
    assert not any("MASQUERADE --" in one for one in commands("netfilter.conntrack-clash", given()))
    assert not any("resolver" in fix.text for fix in shown("netfilter.conntrack-clash", given()))
    assert any("resolver" in fix.text for fix in shown("netfilter.conntrack-clash", given(dport=53)))
    assert not any("ethtool" in one for one in commands("malformed.udp-checksum", given()))


def test_a_check_of_the_way_back_looks_at_the_mark_where_it_is_told_to(given: Callable[..., Drop]) -> None:
    back = "ip netns exec b ip route get 10.9.0.1"
    assert [one for one in commands("routing.reverse-path", given()) if "route get" in one] == [back]
    marked = commands("routing.reverse-path", given(mark=0x2A))
    assert [one for one in marked if "route get" in one] == [back, f"{back} mark 0x2a"]


@pytest.mark.parametrize(
    "cause_id", ["netfilter.iptables-rule", "netfilter.nft-reject", "netfilter.chain-policy"]
)
def test_no_rule_is_advised_about_the_port_of_a_client(cause_id: str, given: Callable[..., Drop]) -> None:
    for fix in shown(cause_id, given(sport=53, dport=40000)):
        assert "40000" not in f"{fix.text} {fix.command}"
    assert any("5000" in f"{fix.text} {fix.command}" for fix in shown(cause_id, given()))


def test_the_unit_of_the_sender_is_asked_of_its_process(given: Callable[..., Drop]) -> None:
    drop = given("out", {"skb_iif": 0})
    first = shown("bpf.cgroup-egress", replace(drop, process=Process(812, "client")))[0]
    assert first.command == "systemctl set-property --runtime $(ps -o unit= -p 812) IPAddressAllow=10.9.0.2"
    assert shown("bpf.cgroup-egress", drop)[0].command is None


def test_nothing_is_done_here_about_a_namespace_that_is_gone(given: Callable[..., Drop]) -> None:
    nameless = replace(given(), netns=Netns(4026532234, None))
    look, page = Fix("look", "ip rule"), Fix("read", "whydrop explain NO_SOCKET")
    assert advise([look, page], nameless, ToldHost(own_netns=4026532234)) == (look, page)
    assert advise([look, page], nameless, HOST) == (look, page)
    assert advise([look, page], nameless, ToldHost(own_netns=4026531840)) == (
        Fix("look: `ip rule`, in network namespace 4026532234, which is gone now"),
        page,
    )


def test_what_cannot_be_run_as_it_stands_is_there_in_two_parts(given: Callable[..., Drop]) -> None:
    asks = (Fix("add a route", "ip route add DADDR via GATEWAY"), Fix("who is it?", "ip -o link via GATEWAY"))
    (first, second) = advise(of_catalogue(asks, given()), given(), HOST)
    assert first.sketch is not None
    assert first.sketch.command == "ip netns exec b ip route add 10.9.0.2 via GATEWAY"
    assert first.sketch.text == f"add a route, where GATEWAY is {UNKNOWN['GATEWAY']}"
    assert first.text.startswith(f"add a route: `{first.sketch.command}`, where")
    assert second.text.startswith("who is it? `ip ")


def test_what_weakens_is_known_by_more_than_its_words(given: Callable[..., Drop]) -> None:
    weak = Step("open it", "nft flush ruleset", weakens="all passes")
    (fix,) = advise((weak,), given(), HOST)
    assert (fix.weakens, fix.text) == ("all passes", "open it; this weakens security: all passes")
