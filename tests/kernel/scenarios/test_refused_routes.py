"""Packets that routing refuses: the route, the rule or the setting that did it, and the rule that chose the table."""

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from scenarios import losing, traffic
from scenarios.blame import deaths
from scenarios.first_fix import PORT, spoil
from scenarios.namespaces import Lab
from scenarios.roads import BEYOND4, turn_around
from scenarios.test_drops import kernel_gives_reasons
from scenarios.whydrop_process import Whydrop, told

DF = 0x4000
KINDS = {
    "prohibit": "routing.prohibit",
    "blackhole": "routing.blackhole",
    "unreachable": "routing.unreachable",
}
LIKELY = ("routing.source-route", "routing.route-localnet")  # where a kernel has no reason for it
DNAT = "type nat hook prerouting priority -100;"
MANGLE = "type filter hook prerouting priority mangle;"


def packet(
    lab: Lab,
    to: str,
    *,
    size: int = 8,
    ttl: int = 64,
    flags: int = 0,
    options: bytes = b"",
    port: int = PORT,
) -> bytes:
    """An IPv4 packet from a with a UDP datagram to the port."""
    udp = struct.pack("!HHHH", 40000, port, 8 + size, 0) + bytes(size)
    length = 20 + len(options)
    ends = socket.inet_aton(lab.a.v4) + socket.inet_aton(to)
    head = struct.pack(
        "!BBHHHBBH", 0x40 | length // 4, 0, length + len(udp), 1, flags, ttl, socket.IPPROTO_UDP, 0
    )
    bare = head + ends + options
    return bare[:10] + struct.pack("!H", traffic.checksum(bare)) + bare[12:] + udp


def framed(**about: Any) -> Callable[[Lab], None]:
    """Three of them, to b's hardware address."""

    def send(lab: Lab) -> None:
        to = about.get("to", lab.b.v4)
        body = packet(lab, to, **{key: value for key, value in about.items() if key != "to"})
        there = traffic.hardware_address(lab.b, lab.b.iface)
        traffic.frames(lab.a, lab.a.iface, to=there, kind=traffic.ETH_P_IP, body=body, count=3)

    return send


@dataclass(frozen=True)
class Refused:
    """`sure`: also a kernel without reasons leaves one explanation."""

    cause_id: str
    spoil: tuple[str, ...]
    send: Callable[[Lab], None] = losing.beyond
    thing: dict[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    led_by: str = ""
    sure: bool = True
    turned: bool = True


def route(kind: str, family: int) -> Refused:
    address = "10.77.0.9/32" if family == 4 else "fd77::9/128"
    send = losing.beyond if family == 4 else losing.beyond_in_ipv6
    thing = {"kind": "route", "type": kind, "destination": address, "table": 254}
    return Refused(KINDS[kind], (f"b: ip route add {kind} {address}",), send, thing)


def rule(kind: str, family: int) -> Refused:
    to, tool = ("10.77.0.9", "ip rule") if family == 4 else ("fd77::9", "ip -6 rule")
    send = losing.beyond if family == 4 else losing.beyond_in_ipv6
    thing = {"kind": "route", "type": kind, "rule": 77}
    return Refused(KINDS[kind], (f"b: sh -c '{tool} add iif vb to {to} priority 77 {kind}'",), send, thing)


REFUSED = {
    **{
        f"a route of IPv{family} that says {kind}": route(kind, family) for kind in KINDS for family in (4, 6)
    },
    **{f"a rule of IPv{family} that says {kind}": rule(kind, family) for kind in KINDS for family in (4, 6)},
    "no route": Refused("routing.no-route-in", ("b: ip route del 10.77.0.0/24",)),
    "no route in IPv6": Refused("routing.no-route-in", ("b: ip route del fd77::/64",), losing.beyond_in_ipv6),
    "forwarding off": Refused(
        "routing.forwarding-off",
        ("b: net.ipv4.conf.vb.forwarding = 0",),
        thing={"kind": "sysctl", "name": "net.ipv4.conf.vb.forwarding", "value": 0},
    ),
    "forwarding off everywhere": Refused(
        "routing.forwarding-off",
        ("b: net.ipv4.ip_forward = 0",),
        thing={"kind": "sysctl", "name": "net.ipv4.ip_forward", "value": 0},
    ),
    "a source route": Refused(
        "routing.source-route",
        ("b: net.ipv4.conf.vb.accept_source_route = 0",),
        framed(options=b"\x83\x07\x04" + socket.inet_aton("10.1.1.1") + b"\0"),
        {"kind": "sysctl", "value": 0},
        ("loose source route", "accept_source_route"),
        sure=False,
        turned=False,
    ),
    "DNAT to the loopback": Refused(
        "routing.route-localnet",
        (f"b: nft table ip n {{ chain c {{ {DNAT} udp dport 5901 dnat to 127.0.0.1:{PORT}; }} }}",),
        framed(port=5901),
        {"kind": "sysctl", "name": "net.ipv4.conf.vb.route_localnet", "value": 0},
        ("until DNAT", "route_localnet: all = 0, vb = 0, one of them must be 1"),
        "was for ",
        sure=False,
        turned=False,
    ),
    "the way back": Refused(
        "routing.reverse-path",
        (
            "b: ip link add other type dummy",
            "b: ip link set other up",
            "b: ip route add 10.9.0.0/16 dev other table 77",
            "b: ip rule add to {a4} priority 77 lookup 77",
            "b: net.ipv4.conf.all.rp_filter = 0",
            "b: net.ipv4.conf.vb.rp_filter = 1",
        ),
        framed(),
        {"kind": "sysctl", "name": "net.ipv4.conf.vb.rp_filter", "value": 1},
        (
            "rp_filter is strict: all = 0, vb = 1",
            "leads out through other, by table 77; it came in through vb",
        ),
        "the way back is that of table 77, which this rule chose",
        sure=False,
        turned=False,
    ),
    "too big for the link": Refused(
        "routing.too-big",
        (
            "b: ip link add d0 type dummy",
            "b: ip link set d0 mtu 600 up",
            "b: ip route add default dev d0 table 78",
            "b: ip rule add iif vb priority 78 lookup 78",
        ),
        framed(to=BEYOND4, size=900, flags=DF),
        words=("928 bytes, and the MTU of d0, by which it should leave, is 600",),
        led_by="was routed by table 78, which this rule chose",
        sure=False,
    ),
    "too big for the route": Refused(
        "routing.too-big",
        ("b: ip route replace 10.77.0.0/24 via {a4} mtu lock 700",),
        framed(to=BEYOND4, size=900, flags=DF),
        words=("928 bytes, and the MTU of the route through vb, is 700",),
        sure=False,
    ),
    "hops used up": Refused("routing.ttl-expired", (), framed(to=BEYOND4, ttl=1), sure=False),
    "an address that is gone": Refused(
        "routing.forwarding-off",
        ("b: net.ipv4.ip_forward = 0", "b: ip address del {b4}/24 dev vb"),
        framed(),
        turned=False,
    ),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in REFUSED.items()])
def test_what_refused_it_is_named(lab: Lab, whydrop: Whydrop, case: Refused) -> None:
    if case.turned:
        turn_around(lab)
    for command in case.spoil:
        spoil(lab, command)
    case.send(lab)
    for line in deaths(whydrop, lab.b, 3, PORT):
        shown = told(line)
        assert line["cause"]["id"] == case.cause_id, shown
        sure = ("certain",) if kernel_gives_reasons() and case.cause_id not in LIKELY else ()
        assert line["cause"]["confidence"] in (
            sure or (("certain",) if case.sure else ("certain", "likely"))
        ), shown
        if case.thing:
            assert line["object"] is not None, shown
            assert {key: line["object"].get(key) for key in case.thing} == case.thing, shown
        said = " ".join(one["text"] for one in line["evidence"])
        assert all(word in said for word in case.words), f"{case.words}: {shown}"
        led_by = [one["text"] for one in line["led_by"]]
        assert any(text.startswith(case.led_by) for text in led_by) or not case.led_by, shown
        rules = [one["object"]["rule"] for one in line["led_by"] if "rule" in (one["object"] or {})]
        assert all(f" priority {rule} " in " ".join(case.spoil) for rule in rules), shown


def test_the_mark_that_a_rule_asks_for(lab: Lab, whydrop: Whydrop) -> None:
    """Who set it, and which rule of `ip rule` it led to."""
    turn_around(lab)
    for command in (
        f"b: nft table ip m {{ chain c {{ {MANGLE} udp dport {PORT} meta mark set 0x7; }} }}",
        "b: ip route add prohibit default table 79",
        "b: ip rule add fwmark 0x7 priority 79 lookup 79",
    ):
        spoil(lab, command)
    losing.beyond(lab)
    for line in deaths(whydrop, lab.b, 3, PORT):
        shown = told(line)
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("routing.prohibit", "certain"), shown
        assert line["object"]["text"] == "prohibit 0.0.0.0/0 table 79", shown
        assert any("got its mark 0x7 from" in one["text"] for one in line["led_by"]), shown
