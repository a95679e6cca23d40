"""Drops that nearly fit, as the kernel keeps them: what the C compiler makes of them is what Python reads."""

import re
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest

from dropwatch.resources import resource_dir
from dropwatch.wire.flow import FLOW_BYTES
from dropwatch.wire.near import NEAR_BYTES, near_of, passed_over
from tests.unit.wire.test_structs import ask_compiler

BPF = resource_dir("bpf")


def raw(packets: int = 3, family: int = 4, has_ports: int = 1) -> bytes:
    addresses = [ip_address(text).packed for text in ("::ffff:10.9.0.1", "::ffff:10.9.0.2")]
    flow = struct.pack("=16s16sIHHBBBB", *addresses, 0, 40000, 5001, family, 17, has_ports, 0)
    return struct.pack("=QQ44sIIIII16s", packets, 0x40, flow, 9, 1, 1, 2, 0x10, b"vb\0old name")


def test_a_place_says_how_many_where_and_what_the_first_was() -> None:
    near = near_of(raw())
    assert near is not None
    assert (near.packets, near.location, near.netns, near.ifindex, near.ifname) == (3, 0x40, 9, 2, "vb")
    packet = near.packet
    assert (packet.family, packet.proto, packet.sport, packet.dport, packet.mark) == (
        4,
        "udp",
        40000,
        5001,
        16,
    )
    assert (str(packet.saddr), str(packet.daddr)) == ("10.9.0.1", "10.9.0.2")


def test_a_place_may_be_empty_and_a_packet_without_ports() -> None:
    assert near_of(bytes(NEAR_BYTES)) is None
    near = near_of(raw(has_ports=0))
    assert near is not None
    assert (near.packet.sport, near.packet.dport) == (None, None)
    with pytest.raises(struct.error):
        near_of(raw()[:-1])


def test_what_was_not_compared_is_counted() -> None:
    assert passed_over((5, 2, 77)) == 7


def test_the_structs_are_those_of_the_programs(tmp_path: Path) -> None:
    structs = "".join(
        re.findall(r"^struct (?:flow|near|near_looks) {.*?^};", text, re.S | re.M)[at]
        for name, found in (("flow.c", (0,)), ("near.c", (0, 1)))
        for text in [(BPF / name).read_text()]
        for at in found
    )
    types = "".join(f"typedef unsigned {old} {new};\n" for old, new in TYPES.items())
    (tmp_path / "near.h").write_text(f"{types}#define NAME_BYTES 16\n{structs}")
    asked = [
        "sizeof(struct flow)",
        "sizeof(struct near)",
        *(f"__builtin_offsetof(struct near, {name})" for name in ("flow", "netns", "mark", "ifname")),
        "__builtin_offsetof(struct near_looks, crowded_out)",
    ]
    answers = ask_compiler(tmp_path, asked, ('"near.h"',), f"-I{tmp_path}")
    assert list(answers.values()) == [FLOW_BYTES, NEAR_BYTES, 16, 60, 76, 80, 8]


TYPES = {"char": "u8", "short": "u16", "int": "u32", "long long": "u64"}
