"""A pair of netkit, which the `ip` of Debian 12 does not know: over rtnetlink."""

import errno
import os
import socket
import struct
from pathlib import Path

from scenarios.namespaces import Namespace

# linux/rtnetlink.h, linux/netlink.h, linux/if_link.h
NEWLINK, FLAGS, ERROR = 16, 0x605, 2  # RTM_NEWLINK; REQUEST, ACK, EXCL and CREATE; NLMSG_ERROR
IFNAME, LINKINFO, NET_NS_FD, KIND, DATA = 3, 18, 28, 1, 2  # IFLA_*, IFLA_INFO_*
PEER_INFO, POLICY, PEER_POLICY = 1, 3, 4  # IFLA_NETKIT_*
NESTED = 0x8000
FORWARD, BLACKHOLE = 0, 2  # NETKIT_PASS, _DROP


class NoSuchLink(Exception):
    """This kernel has no netkit."""


def pair(end: Namespace, other: Namespace, *, policy: int = FORWARD, peer_policy: int = FORWARD) -> None:
    """The primary x0 in `end`, whose peer is x1 in `other`. Raises NoSuchLink."""
    with other.entered(), Path("/proc/thread-self/ns/net").open() as there:
        peer = bytes(16) + _attribute(IFNAME, b"x1\0") + _number(NET_NS_FD, there.fileno())
        data = _attribute(PEER_INFO, peer) + _number(POLICY, policy) + _number(PEER_POLICY, peer_policy)
        info = _attribute(KIND, b"netkit") + _attribute(DATA | NESTED, data)
        body = bytes(16) + _attribute(IFNAME, b"x0\0") + _attribute(LINKINFO | NESTED, info)
        with end.entered(), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as talk:
            talk.send(struct.pack("=IHHII", 16 + len(body), NEWLINK, FLAGS, 1, 0) + body)
            answer = talk.recv(1 << 16)
    kind, error = struct.unpack_from("=H", answer, 4)[0], -struct.unpack_from("=i", answer, 16)[0]
    assert kind == ERROR
    if error == errno.EOPNOTSUPP:
        raise NoSuchLink(os.strerror(error))
    assert error == 0, os.strerror(error)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
