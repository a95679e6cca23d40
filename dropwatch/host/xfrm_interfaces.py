"""Reads which xfrm interfaces a network namespace has, and their if_ids."""

import errno
import os
import socket
import struct
from collections.abc import Iterator

from dropwatch.host.entering import entered

# include/uapi/linux/netlink.h, rtnetlink.h and if_link.h. pyroute2 knows these too, but takes longer to import than
# the whole answer takes.
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_NUMBER = struct.Struct("=i")
_NETLINK_ROUTE = 0
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_IFLA_LINKINFO, _IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_XFRM_IF_ID = 18, 1, 2, 2
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_KIND = b"xfrm"
_TIMEOUT_S = 5.0
_ANSWER_BYTES = 1 << 17


def read_interfaces(netns_inode: int) -> dict[int, int | None]:
    """Index to if_id of every xfrm interface; None for one that takes its if_id from each packet's metadata.

    Raises OSError when the namespace is gone, may not be entered, or the kernel does not answer.
    """
    with entered(netns_inode):
        connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
    found: dict[int, int | None] = {}
    with connection:
        connection.settimeout(_TIMEOUT_S)
        connection.sendto(question(), (0, 0))
        is_done = False
        while not is_done:
            links, is_done = interfaces_of(connection.recv(_ANSWER_BYTES))
            found |= links
    return found


def question() -> bytes:
    """An RTM_GETLINK dump. The kernel leaves out other kinds where it knows this one; asking loads no module."""
    kind = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(_KIND) + 1, _IFLA_INFO_KIND) + _KIND.ljust(8, b"\0")
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(kind), _IFLA_LINKINFO) + kind
    return _HEADER.pack(_HEADER.size + len(body), _RTM_GETLINK, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + body


def interfaces_of(answer: bytes) -> tuple[dict[int, int | None], bool]:
    """The xfrm interfaces in a piece of the answer, and whether it was the last. Raises OSError."""
    found: dict[int, int | None] = {}
    start = 0
    try:
        while start < len(answer):
            length, kind, _, _, _ = _HEADER.unpack_from(answer, start)
            if kind == _NLMSG_DONE:
                return found, True
            if kind == _NLMSG_ERROR:
                number = -_NUMBER.unpack_from(answer, start + _HEADER.size)[0]
                raise OSError(number, os.strerror(number))
            if length < _HEADER.size:
                raise ValueError("a message without a header")
            if kind == _RTM_NEWLINK:
                found |= _link(answer[start + _HEADER.size : start + length])
            start += (length + 3) & ~3
    except (struct.error, ValueError) as error:
        raise OSError(errno.EBADMSG, "the kernel's answer about interfaces cannot be read") from error
    return found, False


def _link(message: bytes) -> dict[int, int | None]:
    index = _LINK.unpack_from(message)[2]
    about = dict(_attributes(dict(_attributes(message[_LINK.size :])).get(_IFLA_LINKINFO, b"")))
    if about.get(_IFLA_INFO_KIND, b"").rstrip(b"\0") != _KIND:
        return {}
    if_id = dict(_attributes(about.get(_IFLA_INFO_DATA, b""))).get(_IFLA_XFRM_IF_ID)
    return {index: None if if_id is None else struct.unpack("=I", if_id)[0]}


def _attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start + _ATTRIBUTE.size <= len(raw):
        length, kind = _ATTRIBUTE.unpack_from(raw, start)
        yield kind & _TYPE_MASK, raw[start + _ATTRIBUTE.size : start + length]
        start += (max(length, _ATTRIBUTE.size) + 3) & ~3
