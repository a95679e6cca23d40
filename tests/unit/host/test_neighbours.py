"""Neighbour tables as the kernel tells of them."""

import struct
from ipaddress import ip_address

from dropwatch.host.neighbours import (
    Entry,
    Holder,
    Table,
    entry_of,
    holders_of,
    read_entry,
    read_holders,
    read_table,
    table_of,
)
from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode

U32 = struct.Struct("=I")


def head(state: int, index: int = 3) -> tuple[int, ...]:
    return (2, index, state, 0, 1)


def test_an_entry() -> None:
    times = struct.pack("=IIII", 3500, 1200, 5, 1)
    data = struct.pack("=BxxxiHBB", *head(0x04)) + attribute(2, bytes(range(6))) + attribute(3, times)
    assert entry_of(data) == Entry("STALE", "00:01:02:03:04:05", 35, 12)
    silent = struct.pack("=BxxxiHBB", *head(0x20)) + attribute(3, times) + attribute(4, U32.pack(3))
    assert entry_of(silent) == Entry("FAILED", None, 35, 12, 3)
    assert entry_of(struct.pack("=BxxxiHBB", *head(0))).state == "NONE"


def whole(entries: int, fulls: int) -> dict[int, bytes]:
    stats = bytes(80) + struct.pack("=Q", fulls)
    limits = {2: U32.pack(128), 3: U32.pack(512), 4: U32.pack(1024)}
    return limits | {5: struct.pack("=HHI", 4, 300, entries) + bytes(24), 7: stats}


def test_a_table_and_what_an_interface_is_set_to() -> None:
    here = {6: attribute(1, U32.pack(3)) + attribute(16, U32.pack(4096)) + attribute(11, U32.pack(0))}
    other = {6: attribute(1, U32.pack(4)) + attribute(16, U32.pack(9))}
    found = table_of([whole(1030, 7), other, here], 3)
    assert found == Table(1030, (128, 512, 1024), 7, 4096, 0, None)
    assert table_of([here], 3) is None


def test_who_has_the_entries() -> None:
    heads = [head(0x20, 4), head(0x02, 4), head(0x02, 3), head(0x01, 4)]
    assert holders_of(heads, {3: "va", 4: "vb"}, "b") == (Holder("b", "vb", 3, 2), Holder("b", "va", 1, 0))


def test_this_host_answers() -> None:
    table = read_table(own_inode(), 1, 4)
    assert table is None or table.thresholds == tuple(sorted(table.thresholds))
    assert read_entry(own_inode(), 1, ip_address("10.99.99.99")) is None
    assert sum(one.entries for one in read_holders(4)) >= 0
