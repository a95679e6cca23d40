"""Rules of `ip rule` and routes that refuse, as the kernel tells of them."""

import socket
import struct

import pytest

from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.rules import (
    Refusal,
    Rule,
    action_of,
    read_refusing_rules,
    read_rules,
    refusal_of,
    rule_of,
)


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def rule(*attributes: bytes, action: int = 1, table: int = 77, to: int = 0, flags: int = 0) -> Rule:
    return rule_of(struct.pack("=BBBBBBBBI", 2, to, 0, 0, table, 0, 0, action, flags) + b"".join(attributes))


def test_a_rule_with_nearly_all_that_it_may_ask_for() -> None:
    found = rule(
        u32(6, 70),
        attribute(1, bytes((10, 0, 0, 0))),
        attribute(3, b"vb\0"),
        u32(10, 1),
        u32(16, 15),
        u32(15, 1077),
        attribute(20, struct.pack("=II", 0, 999)),
        attribute(22, b"\x11"),
        attribute(24, struct.pack("=HH", 7, 9)),
        to=8,
    )
    assert found.table == 1077
    assert found.text == (
        "70: from all to 10.0.0.0/8 fwmark 0x1/0xf iif vb uidrange 0-999 ipproto udp dport 7-9 lookup 1077"
    )


def test_the_rules_that_everybody_has() -> None:
    assert rule(u32(6, 32766), table=254).text == "32766: from all lookup main"
    assert rule(u32(6, 1000), attribute(19, b"\1"), table=0).text == "1000: from all lookup [l3mdev-table]"


def test_a_rule_that_refuses_all_but_some() -> None:
    found = rule(u32(6, 9), attribute(1, bytes((10, 0, 0, 7))), action=8, to=32, flags=2)
    assert (found.action, found.inverted) == ("prohibit", True)
    assert found.text == "9: not from all to 10.0.0.7/32 prohibit"


def test_what_routes_refuse() -> None:
    head = struct.pack("=BBBBBBBBI", socket.AF_INET6, 128, 0, 0, 254, 0, 0, 8, 0)
    route = head + attribute(1, socket.inet_pton(socket.AF_INET6, "fd77::9"))
    assert refusal_of(route) == Refusal("prohibit", "fd77::9/128", 254)
    everything = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 77, 0, 0, 7, 0)
    assert refusal_of(everything) == Refusal("unreachable", "0.0.0.0/0", 77)
    assert refusal_of(struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 77, 0, 0, 1, 0)) is None


def test_what_is_cut_short_is_refused() -> None:
    with pytest.raises(struct.error):
        rule_of(b"\2\0\0")


def test_this_host_answers() -> None:
    found = read_rules(own_inode(), 4)
    assert [one.priority for one in found.rules] == sorted(one.priority for one in found.rules)


@pytest.mark.parametrize(
    ("action", "told"), [(1, None), (6, "blackhole"), (7, "unreachable"), (8, "prohibit")]
)
def test_the_action_of_a_rule(action: int, told: str | None) -> None:
    assert action_of(struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 0, 0, action, 0)) == told


def test_a_rule_that_is_cut_short() -> None:
    with pytest.raises(struct.error):
        action_of(b"\2\0\0")


@pytest.mark.parametrize("family", [4, 6])
def test_this_kernel_answers(family: int) -> None:
    assert set(read_refusing_rules(own_inode(), family)) <= {"blackhole", "unreachable", "prohibit"}
