"""Where the route to an address leads, as the kernel of that network namespace would take it."""

import errno
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

from dropwatch.host import netlink
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.names.foreign import foreign

# linux/rtnetlink.h
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, dst_len, 5 others, type, flags
_NUMBER = struct.Struct("=i")
_NEWROUTE, _GETROUTE = 24, 26  # RTM_*
_DST, _SRC, _IIF, _OIF, _GATEWAY, _MARK = 1, 2, 3, 4, 5, 16  # RTA_*
_RTN_LOCAL = 2
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


def read_route(
    netns_inode: int, address: Address, mark: int = 0, source: Address | None = None, came_in: int = 0
) -> Route:
    """The same as `ip route get ADDRESS [from SOURCE] [iif CAME_IN] [mark MARK]`; `came_in` is an index, 0: none.

    Raises OSError when the namespace is gone, may not be entered, or the kernel does not answer.
    """
    with entered(netns_inode):
        try:
            return netlink.get(
                netlink.ROUTE,
                _GETROUTE,
                question(address, mark, source, came_in),
                _NEWROUTE,
                lambda message: route_of(message, _name),
            )
        except netlink.Refused as refused:
            if refused.errno not in _REFUSALS:
                raise
            return Route(None, refusal=_REFUSALS[refused.errno])


def question(address: Address, mark: int, source: Address | None = None, came_in: int = 0) -> bytes:
    """The body of an RTM_GETROUTE message."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    source_length = source.max_prefixlen if source is not None else 0
    body = _ROUTE.pack(family, address.max_prefixlen, source_length, 0, 0, 0, 0, 0, 0)
    body += netlink.attribute(_DST, address.packed)
    body += netlink.attribute(_SRC, source.packed) if source is not None else b""
    body += netlink.attribute(_IIF, struct.pack("=I", came_in)) if came_in else b""
    return body + netlink.attribute(_MARK, struct.pack("=I", mark)) if mark else body


def route_of(message: memoryview | bytes, name_of: Callable[[int], str | None]) -> Route:
    """From the body of an RTM_NEWROUTE message; `name_of` gives the name of an interface by its index.

    Raises ValueError or struct.error for one that cannot be read.
    """
    found = netlink.attributes(message[_ROUTE.size :])
    route_type = _ROUTE.unpack_from(message)[7]
    index = _NUMBER.unpack(found[_OIF])[0] if _OIF in found else 0
    gateway = str(ip_address(found[_GATEWAY])) if _GATEWAY in found else None
    return Route(name_of(index) if index else None, gateway, local=route_type == _RTN_LOCAL)


def _name(index: int) -> str | None:
    try:
        return foreign(socket.if_indextoname(index))
    except OSError:
        return None
