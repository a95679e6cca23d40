"""Sessions of L2TP, from messages of generic netlink."""

import struct

from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.tunnel.l2tp import L2tpSession, read_l2tp_sessions, session_of

HEADER = struct.pack("=BBH", 8, 1, 0)


def test_a_session_without_its_cookie() -> None:
    numbers = attribute(9, struct.pack("=I", 10)) + attribute(11, struct.pack("=I", 30))
    message = HEADER + attribute(8, b"l0\0") + numbers + attribute(16, b"01234567")
    assert session_of(message) == L2tpSession(10, 30, "l0", 8)
    assert session_of(HEADER + numbers) == L2tpSession(10, 30)


def test_this_host_answers() -> None:
    assert all(one.session for one in read_l2tp_sessions(own_inode()))
