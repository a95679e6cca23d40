"""Where the route to an address leads, as the kernel of that network namespace would take it."""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from dropwatch.host.netns.enter import entered
from dropwatch.model.drop import Address

# include/uapi/linux/netlink.h and rtnetlink.h. The question is three attributes: pyroute2 would take longer to
# import than the answer takes.
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, dst_len, 5 others, type, flags
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_NUMBER = struct.Struct("=i")
_NETLINK_ROUTE = 0
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_MARK = 1, 4, 5, 16
_RTN_LOCAL = 2
_TIMEOUT_S = 5.0
_ANSWER_BYTES = 1 << 15
# What a lookup answers that finds no usable route (fib_props of net/ipv4/fib_semantics.c).
_REFUSALS = {
    errno.ENETUNREACH: "the network is unreachable",
    errno.EHOSTUNREACH: "the route is of type unreachable",
    errno.EACCES: "the route is of type prohibit",
    errno.EINVAL: "the route is of type blackhole",
}


@dataclass(frozen=True, slots=True)
class Route:
    """`device` is the interface it leaves through, None when `refusal` says in words that there is none.

    `local` says that the address is one of this host.
    """

    device: str | None
    gateway: str | None = None
    local: bool = False
    refusal: str | None = None


def read_route(netns_inode: int, address: Address, mark: int = 0) -> Route:
    """The same as `ip route get ADDRESS [mark MARK]`.

    Raises OSError when the namespace is gone, may not be entered, or the kernel does not answer.
    """
    with entered(netns_inode):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.sendto(question(address, mark), (0, 0))
            answer = connection.recv(_ANSWER_BYTES)
        return route_of(answer, _name)


def question(address: Address, mark: int) -> bytes:
    """An RTM_GETROUTE message."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = _ROUTE.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    body += _attribute(_RTA_DST, address.packed)
    if mark:
        body += _attribute(_RTA_MARK, struct.pack("=I", mark))
    return _HEADER.pack(_HEADER.size + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    """Addresses and numbers are of whole words: nothing to fill up."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def route_of(answer: bytes, name_of: Callable[[int], str | None]) -> Route:
    """What the kernel answered; `name_of` gives the name of an interface by its index.

    Raises OSError for an error that does not mean that there is no route.
    """
    try:
        _, kind, _, _, _ = _HEADER.unpack_from(answer)
        if kind == _NLMSG_ERROR:
            return _refused(-_NUMBER.unpack_from(answer, _HEADER.size)[0])
        if kind != _RTM_NEWROUTE:
            raise ValueError("no route")
        found = dict(_attributes(answer, _HEADER.size + _ROUTE.size))
        route_type = _ROUTE.unpack_from(answer, _HEADER.size)[7]
        index = _NUMBER.unpack(found[_RTA_OIF])[0] if _RTA_OIF in found else 0
        gateway = str(ip_address(found[_RTA_GATEWAY])) if _RTA_GATEWAY in found else None
    except (struct.error, ValueError) as error:
        raise OSError(errno.EBADMSG, "the kernel's answer about a route cannot be read") from error
    return Route(name_of(index) if index else None, gateway, local=route_type == _RTN_LOCAL)


def _refused(number: int) -> Route:
    if number in _REFUSALS:
        return Route(None, refusal=_REFUSALS[number])
    raise OSError(number, os.strerror(number))


def _attributes(answer: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    while start + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, start)
        yield kind, answer[start + _ATTRIBUTE.size : start + length]
        start += (max(length, _ATTRIBUTE.size) + 3) & ~3


def _name(index: int) -> str | None:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None
