"""Filters of traffic control as the kernel tells of them, and their actions."""

import struct

from dropwatch.host.netlink import attribute, attributes
from dropwatch.host.tc.actions import SHOT
from dropwatch.host.tc.filters import Filter, filter_of
from dropwatch.host.tc.messages import KIND, OPTIONS, Message

IP = 0x0008  # htons(ETH_P_IP)


def told(kind: str, options: bytes, handle: int = 2, pref: int = 49) -> Filter | None:
    data = attribute(KIND, kind.encode() + b"\0") + attribute(OPTIONS, options)
    return filter_of(Message(4, handle, 0xFFFFFFF2, pref << 16 | IP, attributes(data)))


def action(kind: str, options: bytes, drops: int = 0, overlimits: int = 0) -> bytes:
    counted = attribute(3, struct.pack("=IIIII", 0, 0, drops, 0, overlimits))
    about = attribute(KIND, kind.encode() + b"\0") + attribute(OPTIONS, options) + attribute(4, counted)
    return attribute(1, about)


def gact(verdict: int, drops: int) -> bytes:
    return action("gact", attribute(2, struct.pack("=IIiii", 1, 0, verdict, 1, 1)), drops)


def test_flower_with_a_drop() -> None:
    found = told("flower", attribute(3, gact(SHOT, 7)))
    assert found is not None
    assert (found.kind, found.priority, found.protocol, found.handle) == ("flower", 49, "ip", 2)
    (one,) = found.actions
    assert (one.kind, one.verdict, one.drops, one.may_drop) == ("gact", SHOT, 7, True)


def test_an_action_that_has_dropped_nothing_is_innocent() -> None:
    for options in (gact(SHOT, 0), gact(0, 7)):
        found = told("matchall", attribute(2, options))
        assert found is not None
        assert not found.actions[0].may_drop


def test_a_policer() -> None:
    rate = bytes(8) + struct.pack("=I", 1000)
    parms = struct.pack("=IiIII", 1, SHOT, 0, 23437500, 2048) + rate + bytes(24)
    found = told(
        "u32",
        attribute(1, struct.pack("=I", 0xFFFF0001)) + attribute(7, action("police", attribute(1, parms), 5)),
    )
    assert found is not None
    (one,) = found.actions
    assert (one.kind, one.verdict, one.rate, one.burst, one.drops, one.may_drop) == (
        "police",
        SHOT,
        1000,
        1500,
        5,
        True,
    )
    assert found.class_id == 0xFFFF0001


def test_a_policer_of_the_filter_itself_tells_no_counters() -> None:
    parms = struct.pack("=IiIII", 1, SHOT, 0, 23437500, 2048) + bytes(8) + struct.pack("=I", 1000) + bytes(24)
    found = told("u32", attribute(1, struct.pack("=I", 0x10001)) + attribute(6, attribute(1, parms)))
    assert found is not None
    assert found.actions[0].may_drop


def test_a_redirection_that_failed() -> None:
    parms = struct.pack("=IIiiiiI", 1, 0, 4, 1, 1, 1, 9)
    found = told("matchall", attribute(2, action("mirred", attribute(2, parms), overlimits=3)))
    assert found is not None
    (one,) = found.actions
    assert (one.to, one.may_drop) == (9, True)
    copied = struct.pack("=IIiiiiI", 1, 0, 3, 1, 1, 2, 9)
    mirrored = told("matchall", attribute(2, action("mirred", attribute(2, copied), overlimits=3)))
    assert mirrored is not None
    assert not mirrored.actions[0].may_drop, "a copy is no packet"


def test_a_program_that_decides_by_itself() -> None:
    options = attribute(7, b"from-netdev\0") + attribute(8, struct.pack("=I", 1))
    options += attribute(10, bytes.fromhex("0123456789abcdef")) + attribute(11, struct.pack("=I", 77))
    found = told("bpf", options)
    assert found is not None
    assert (found.program, found.name, found.tag, found.direct) == (
        77,
        "from-netdev",
        "0123456789abcdef",
        True,
    )


def test_what_only_heads_a_list_is_none() -> None:
    assert told("flower", b"", handle=0) is None
    assert told("u32", attribute(4, struct.pack("=I", 1)), handle=0x80000000) is None
