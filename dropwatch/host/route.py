"""Where the route to an address leads, as the kernel of that network namespace would take it."""

import errno
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

from dropwatch.host import netlink
from dropwatch.host.bpf.lwt import RouteProgram, of_route
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.names.foreign import foreign

# linux/rtnetlink.h
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, dst_len, 5 others, type, flags
_NUMBER = struct.Struct("=i")
_NEWROUTE, _GETROUTE = 24, 26  # RTM_*
# RTA_*
_DST, _SRC, _IIF, _OIF, _GATEWAY, _METRICS, _CACHEINFO, _TABLE, _MARK, _UID = 1, 2, 3, 4, 5, 8, 12, 15, 16, 25
_ENCAP_TYPE, _ENCAP = 21, 22
_MTU = 2  # RTAX_MTU
_EXPIRES_AT = 8  # rta_expires in struct rta_cacheinfo, in hundredths of a second
_RTN_LOCAL = 2
_FIB_MATCH = 0x2000  # RTM_F_FIB_MATCH: the route as it was made; older kernels tell its programs only then
_LOOKUP_TABLE = 0x1000  # RTM_F_LOOKUP_TABLE: IPv6 tells the table by itself
# What a lookup answers that finds no usable route (fib_props of net/ipv4/fib_semantics.c).
_REFUSALS = {
    errno.ENETUNREACH: "the network is unreachable",
    errno.EHOSTUNREACH: "the route is of type unreachable",
    errno.EACCES: "the route is of type prohibit",
    errno.EINVAL: "the route is of type blackhole",
}
_TYPES = {6: errno.EINVAL, 7: errno.EHOSTUNREACH, 8: errno.EACCES}  # RTN_*: IPv6 answers with such a route


@dataclass(frozen=True, slots=True)
class Route:
    """`device` is the interface it leaves through, None when `refusal` says in words that there is none.

    `local` says that the address is one of this host. `table` is where it was found. `mtu` is one of the route's own;
    `expires` the seconds for which it is remembered, of one that an ICMP error told.
    """

    device: str | None
    gateway: str | None = None
    local: bool = False
    refusal: str | None = None
    table: int | None = None
    mtu: int | None = None
    expires: int | None = None


def refusal(error: int) -> str | None:
    """In words, what a lookup says with this errno; None where it says nothing of routes."""
    return _REFUSALS.get(error)


def read_route(
    netns_inode: int, address: Address, mark: int = 0, source: Address | None = None, came_in: int = 0
) -> Route:
    """The same as `ip route get ADDRESS [from SOURCE] [iif CAME_IN] [mark MARK]`; `came_in` is an index, 0: none.

    Raises OSError when the namespace is gone, may not be entered, or the kernel does not answer.
    """
    return _asked(netns_inode, question(address, mark, source, came_in))


def read_route_of_send(
    netns_inode: int, address: Address, source: Address | None, out: int, mark: int, uid: int
) -> Route:
    """The same as `ip route get ADDRESS [from SOURCE] [oif OUT] [mark MARK] uid UID`; `out` is an index, 0: none.

    Raises OSError as read_route() does.
    """
    body = question(address, mark, source)
    body += netlink.attribute(_OIF, struct.pack("=I", out)) if out else b""
    return _asked(netns_inode, body + netlink.attribute(_UID, struct.pack("=I", uid)))


def read_route_programs(
    netns_inode: int, address: Address, mark: int = 0, source: Address | None = None, came_in: int = 0
) -> tuple[RouteProgram, ...]:
    """Those of the route that read_route() finds, which raises the same."""

    def programs(message: memoryview) -> tuple[RouteProgram, ...]:
        found = netlink.attributes(message[_ROUTE.size :])
        return of_route(found.get(_ENCAP_TYPE), found.get(_ENCAP))

    body = question(address, mark, source, came_in, _FIB_MATCH)
    with entered(netns_inode):
        try:
            return netlink.get(netlink.ROUTE, _GETROUTE, body, _NEWROUTE, programs)
        except netlink.Refused:
            return ()


def _asked(netns_inode: int, body: bytes) -> Route:
    with entered(netns_inode):
        try:
            return netlink.get(
                netlink.ROUTE,
                _GETROUTE,
                body,
                _NEWROUTE,
                lambda message: route_of(message, _name),
            )
        except netlink.Refused as refused:
            if refused.errno == errno.EMSGSIZE:  # rt_fill_info, rt6_fill_node: multicast routing has no entry
                raise OSError(refused.errno, "the kernel tells no route for a multicast group") from None
            if refused.errno not in _REFUSALS:
                raise
            return Route(None, refusal=_REFUSALS[refused.errno])


def question(
    address: Address, mark: int, source: Address | None = None, came_in: int = 0, flags: int = 0
) -> bytes:
    """The body of an RTM_GETROUTE message."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    source_length = source.max_prefixlen if source is not None else 0
    flags |= _LOOKUP_TABLE if address.version == 4 else 0
    body = _ROUTE.pack(family, address.max_prefixlen, source_length, 0, 0, 0, 0, 0, flags)
    body += netlink.attribute(_DST, address.packed)
    body += netlink.attribute(_SRC, source.packed) if source is not None else b""
    body += netlink.attribute(_IIF, struct.pack("=I", came_in)) if came_in else b""
    return body + netlink.attribute(_MARK, struct.pack("=I", mark)) if mark else body


def route_of(message: memoryview | bytes, name_of: Callable[[int], str | None]) -> Route:
    """From the body of an RTM_NEWROUTE message; `name_of` gives the name of an interface by its index.

    Raises ValueError or struct.error for one that cannot be read.
    """
    found = netlink.attributes(message[_ROUTE.size :])
    short_table, route_type = (_ROUTE.unpack_from(message)[at] for at in (4, 7))
    index = _NUMBER.unpack(found[_OIF])[0] if _OIF in found else 0
    refused = _REFUSALS[_TYPES[route_type]] if route_type in _TYPES else None
    cached = found.get(_CACHEINFO, b"")
    expires = _NUMBER.unpack_from(cached, _EXPIRES_AT)[0] // 100 if len(cached) >= _EXPIRES_AT + 4 else 0
    return Route(
        name_of(index) if index and refused is None else None,
        str(ip_address(found[_GATEWAY])) if _GATEWAY in found else None,
        route_type == _RTN_LOCAL,
        refused,
        (_NUMBER.unpack(found[_TABLE])[0] if _TABLE in found else short_table) or None,
        _number(netlink.attributes(found.get(_METRICS, b"")).get(_MTU)),
        expires if expires > 0 else None,
    )


def _number(data: bytes | None) -> int | None:
    return int(_NUMBER.unpack(data)[0]) if data is not None else None


def _name(index: int) -> str | None:
    try:
        return foreign(socket.if_indextoname(index))
    except OSError:
        return None
