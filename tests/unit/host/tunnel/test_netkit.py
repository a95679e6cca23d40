"""Pairs of netkit, from messages of rtnetlink."""

import struct
from dataclasses import replace

from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.tunnel.netkit import Netkit, netkit_of, read_netkit

X0 = Netkit("x0", 4, True, True, "forward", "blackhole", 5)
PAIR = {2: b"\1", 3: struct.pack("=I", 0), 4: struct.pack("=I", 2)}


def message(data: dict[int, bytes], kind: bytes = b"netkit", *more: bytes) -> bytes:
    inside = b"".join(attribute(*each) for each in data.items())
    info = attribute(1, kind + b"\0") + attribute(2, inside)
    header = struct.pack("=BxHiII", 0, 1, 4, 1, 0)
    return b"".join(
        (header, attribute(3, b"x0\0"), attribute(5, struct.pack("=I", 5)), attribute(18, info), *more)
    )


def test_both_policies() -> None:
    assert netkit_of(message(PAIR)) == X0
    assert netkit_of(message({**PAIR, 3: struct.pack("=I", 7)})) == replace(X0, policy="7")
    assert netkit_of(message({**PAIR, 2: b"\0"})) == replace(X0, primary=False)


def test_a_peer_in_another_namespace() -> None:
    assert netkit_of(message(PAIR, b"netkit", attribute(37, bytes(4)))) == replace(X0, elsewhere=True)


def test_what_is_no_pair() -> None:
    assert netkit_of(message(PAIR, b"veth")) is None
    assert netkit_of(message({2: b"\1", 3: bytes(4)})) is None


def test_this_host_answers() -> None:
    assert read_netkit(own_inode(), 1) is None
    assert read_netkit(own_inode(), 1 << 30) is None
