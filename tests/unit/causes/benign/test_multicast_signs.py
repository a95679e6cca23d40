"""What is sent to many: harmless where nobody here was to get it, a loss where somebody was."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.sockets import PortSocket, PortSockets
from dropwatch.model.drop import Drop
from tests.unit.causes.benign.test_signs import died as died
from tests.unit.told_host import ToldHost

MDNS, HOSTS = ip_address("224.0.0.251"), ip_address("224.0.0.1")


def judged(drop: Drop, **answers: Any) -> str:
    cause, _ = diagnose(drop, ToldHost(**answers))
    return cause.id if cause is not None else "unknown"


def igmp(kind: int) -> bytes:
    header = bytes((0x46, 0, 0, 32, 0, 1, 0, 0, 1, 2, 0, 0, 10, 9, 0, 1, 224, 0, 0, 1, 0x94, 4, 0, 0))
    return header + bytes((kind, 10, 0, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(("kind", "expected"), [(0x11, "unknown"), (0x16, "benign.multicast-noise")])
def test_a_query_that_igmp_refuses_is_a_loss(died: Callable[..., Drop], kind: int, expected: str) -> None:
    assert judged(died("igmp_rcv", data=igmp(kind))) == expected


def test_a_group_that_is_joined_is_no_noise(died: Callable[..., Drop]) -> None:
    to_us = died("ip_rcv_finish_core", proto="udp", daddr=MDNS)
    assert judged(to_us, groups=(HOSTS,)) == "benign.multicast-noise"
    assert judged(to_us, groups=(HOSTS, MDNS)) == "unknown"
    solicited = ip_address("ff02::1:ff00:2")
    asked = died(
        "ip6_pkt_drop", reason="IP_INNOROUTES", family=6, proto="icmp6", icmp_type=135, daddr=solicited
    )
    assert judged(asked, groups=()) == "benign.multicast-noise"
    assert judged(asked, groups=(solicited,)) == "routing.no-route-in"


@pytest.mark.parametrize(
    ("address", "sport", "port", "expected"),
    [
        ("10.9.0.2", 40000, 1900, "socket.bound-elsewhere"),
        ("10.9.0.2", 1900, 1900, "benign.own-copy"),
        ("0.0.0.0", 1900, 1900, "benign.own-copy"),
        ("10.9.0.3", 1900, 1900, "socket.bound-elsewhere"),
        ("10.9.0.2", 40000, 68, "benign.own-copy"),
    ],
)
def test_an_own_copy_that_somebody_here_may_wait_for(
    died: Callable[..., Drop], address: str, sport: int, port: int, expected: str
) -> None:
    ends = {"saddr": ip_address("10.9.0.2"), "daddr": ip_address("10.9.0.255"), "sport": sport, "dport": port}
    copy = died("udp_rcv", notes=frozenset({"looped-back", "to-many"}), proto="udp", **ends)
    there = PortSocket(ip_address(address), None, 0, 0, False, 4711, 7, 0)
    assert judged(copy, sockets_at=PortSockets()) == "benign.own-copy"
    assert judged(copy, sockets_at=PortSockets((there,), 1, {})) == expected


@pytest.mark.parametrize("address", ["255.255.255.255", "::ffff:0.0.0.0"])
def test_a_dhcp_server_that_is_bound_to_all_hosts_takes_part(died: Callable[..., Drop], address: str) -> None:
    dhcp = died("udp_rcv", proto="udp", dport=67, daddr=ip_address("255.255.255.255"))
    there = PortSocket(ip_address(address), None, 0, 9, False, 4711, 7, 0)
    assert judged(dhcp, sockets_at=PortSockets((there,), 1, {})) == "socket.bound-elsewhere"


def test_what_is_not_to_leave_this_host_is_no_loss(died: Callable[..., Drop]) -> None:
    kept = {"daddr": ip_address("239.9.9.9"), "ttl": 0}
    assert judged(died("ip_mc_output", **kept)) == "benign.multicast-noise"
    assert judged(died("ip_mc_output", **kept | {"ttl": 1})) == "unknown"


LLC, LLDP, EAPOL = 0x0004, 0x88CC, 0x888E


@pytest.mark.parametrize(
    ("protocol", "notes", "handled", "expected"),
    [
        (LLDP, {"to-many", "to-group"}, (0x0800,), "benign.multicast-noise"),
        (LLC, {"to-many", "to-group"}, (0x0800,), "benign.multicast-noise"),
        (LLDP, {"to-many", "to-group"}, (0x0800, LLDP), "device.unhandled-protocol"),
        (LLDP, {"to-many"}, (0x0800,), "device.unhandled-protocol"),
        (LLDP, set(), (0x0800,), "device.unhandled-protocol"),
        (EAPOL, {"to-many", "to-group"}, (0x0800,), "device.unhandled-protocol"),
    ],
)
def test_what_switches_tell_one_another_is_no_loss(
    died: Callable[..., Drop], protocol: int, notes: set[str], handled: tuple[int, ...], expected: str
) -> None:
    frame = died(
        "__netif_receive_skb_core",
        reason="UNHANDLED_PROTO",
        protocol=protocol,
        notes=frozenset(notes),
        family=None,
        proto=None,
    )
    assert judged(frame, ethertypes=handled) == expected
