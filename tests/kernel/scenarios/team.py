"""A port of a team that its runner does not use, without its daemon: over generic netlink."""

import errno
import os
import socket
import struct

from scenarios.namespaces import Namespace

NETLINK_GENERIC, CONTROL, GET_FAMILY, FAMILY_ID, FAMILY_NAME = 16, 16, 3, 1, 2  # linux/genetlink.h
# linux/if_team.h
OPTIONS_SET = 1  # TEAM_CMD_OPTIONS_SET
TEAM, OPTIONS, OPTION = 1, 2, 1  # TEAM_ATTR_TEAM_IFINDEX, _LIST_OPTION, _ITEM_OPTION
NAME, TYPE, PORT = 1, 3, 6  # TEAM_ATTR_OPTION_NAME, _TYPE, _PORT_IFINDEX
FLAG = 6  # NLA_FLAG: set where there is data
REQUEST, WITH_ACK, NESTED = 1, 5, 0x8000


def disable(end: Namespace, team: str, port: str) -> None:
    with end.entered():
        talk = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        numbers = [struct.pack("=I", socket.if_nametoindex(name)) for name in (team, port)]
    with talk:
        found = _ask(talk, CONTROL, REQUEST, GET_FAMILY, _attribute(FAMILY_NAME, b"team\0"))
        option = (
            _attribute(NAME, b"enabled\0") + _attribute(TYPE, bytes((FLAG,))) + _attribute(PORT, numbers[1])
        )
        options = _attribute(OPTIONS | NESTED, _attribute(OPTION | NESTED, option))
        _ask(talk, _family(found), WITH_ACK, OPTIONS_SET, _attribute(TEAM, numbers[0]) + options)


def _ask(talk: socket.socket, kind: int, flags: int, command: int, body: bytes) -> bytes:
    """The answer, without its headers."""
    header = struct.pack("=IHHIIBBH", 20 + len(body), kind, flags, 1, 0, command, 1, 0)
    talk.send(header + body)
    answer = talk.recv(1 << 16)
    if struct.unpack_from("=H", answer, 4)[0] == 2:  # NLMSG_ERROR
        (error,) = struct.unpack_from("=i", answer, 16)
        assert error in (0, -errno.ESRCH), os.strerror(-error)  # done, and nobody listens to what has changed
    return answer[20:]


def _family(attributes: bytes) -> int:
    while attributes:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == FAMILY_ID:
            return int(struct.unpack_from("=H", attributes, 4)[0])
        attributes = attributes[(length + 3) & ~3 :]
    raise AssertionError("no such family")


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
