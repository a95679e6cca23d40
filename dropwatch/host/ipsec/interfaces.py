"""Reads the interfaces of a network namespace that belong to IPsec: xfrm interfaces with their if_id, VTI with keys."""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from dropwatch.host.netns.enter import entered
from dropwatch.model.drop import Address

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
_IFLA_VTI_IKEY, _IFLA_VTI_OKEY, _IFLA_VTI_LOCAL, _IFLA_VTI_REMOTE = 2, 3, 4, 5  # if_tunnel.h
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_VTI = ("vti", "vti6")
_TIMEOUT_S = 5.0
_ANSWER_BYTES = 1 << 17


@dataclass(frozen=True, slots=True)
class IpsecInterface:
    """`kind` is `xfrm`, `vti` or `vti6`. An xfrm interface has an `if_id`, None where it comes with each packet.

    For packets of a VTI interface its keys stand in for their mark; `local` and `remote` are its end points.
    """

    kind: str
    if_id: int | None = 0
    ikey: int = 0
    okey: int = 0
    local: Address | None = None
    remote: Address | None = None


def read_interfaces(netns_inode: int) -> dict[int, IpsecInterface]:
    """By index.

    Raises OSError when the namespace is gone, may not be entered, or the kernel does not answer.
    """
    with entered(netns_inode):
        connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
    found: dict[int, IpsecInterface] = {}
    with connection:
        connection.settimeout(_TIMEOUT_S)
        connection.sendto(question(), (0, 0))
        is_done = False
        while not is_done:
            links, is_done = interfaces_of(connection.recv(_ANSWER_BYTES))
            found |= links
    return found


def question() -> bytes:
    """An RTM_GETLINK dump. To ask for one kind would need its module to be there."""
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return _HEADER.pack(_HEADER.size + len(body), _RTM_GETLINK, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + body


def interfaces_of(answer: bytes) -> tuple[dict[int, IpsecInterface], bool]:
    """Those in a piece of the answer, and whether it was the last. Raises OSError."""
    found: dict[int, IpsecInterface] = {}
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


def _link(message: bytes) -> dict[int, IpsecInterface]:
    index = _LINK.unpack_from(message)[2]
    about = dict(_attributes(dict(_attributes(message[_LINK.size :])).get(_IFLA_LINKINFO, b"")))
    kind = about.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode("ascii", "replace")
    data = dict(_attributes(about.get(_IFLA_INFO_DATA, b"")))
    if kind == "xfrm":
        if_id = data.get(_IFLA_XFRM_IF_ID)
        return {index: IpsecInterface(kind, None if if_id is None else struct.unpack("=I", if_id)[0])}
    if kind not in _VTI:
        return {}
    ikey, okey = (int.from_bytes(data.get(name, b""), "big") for name in (_IFLA_VTI_IKEY, _IFLA_VTI_OKEY))
    local, remote = (_address(data.get(name)) for name in (_IFLA_VTI_LOCAL, _IFLA_VTI_REMOTE))
    return {index: IpsecInterface(kind, 0, ikey, okey, local, remote)}


def _address(raw: bytes | None) -> Address | None:
    """None where it is left open."""
    return ip_address(raw) if raw and any(raw) else None


def _attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start + _ATTRIBUTE.size <= len(raw):
        length, kind = _ATTRIBUTE.unpack_from(raw, start)
        yield kind & _TYPE_MASK, raw[start + _ATTRIBUTE.size : start + length]
        start += (max(length, _ATTRIBUTE.size) + 3) & ~3
