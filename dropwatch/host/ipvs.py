"""IPVS, the kernel's load balancer: its virtual services and their servers, by generic netlink."""

import socket
import struct
from ipaddress import ip_address

from dropwatch.host import netlink
from dropwatch.host.generic import HEADER, ask_family
from dropwatch.host.netlink import attributes, number
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.names.foreign import foreign

# linux/ip_vs.h
_VERSION, _GET_SERVICE, _GET_SERVER = 1, 4, 8  # IPVS_CMD_GET_SERVICE, _GET_DEST
_SERVICE, _SERVER = 1, 2  # IPVS_CMD_ATTR_SERVICE, _DEST
_FAMILY, _PROTOCOL, _ADDRESS, _PORT, _MARK, _SCHEDULER = 1, 2, 3, 4, 5, 6  # IPVS_SVC_ATTR_*
_OWN_ADDRESS, _OWN_PORT, _WEIGHT, _LIMIT = 1, 2, 4, 5  # IPVS_DEST_ATTR_ADDR, _PORT, _WEIGHT, _U_THRESH
_ACTIVE, _INACTIVE, _PERSISTENT, _OWN_FAMILY = 7, 8, 9, 11  # IPVS_DEST_ATTR_*_CONNS, _ADDR_FAMILY
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_SCTP: "sctp"}


@dataclass(frozen=True, slots=True)
class Server:
    """A real server. `limit` is the number of connections from which on it gets no new ones, 0: there is none."""

    address: Address
    port: int
    weight: int
    limit: int = 0
    connections: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A virtual service: of an address (port 0: of all ports), or of a firewall mark (`address` is None)."""

    protocol: str | None
    address: Address | None
    port: int
    mark: int
    scheduler: str
    servers: tuple[Server, ...] = ()


def read_ipvs(netns_inode: int) -> tuple[Service, ...]:
    """Those of the namespace. Raises OSError when it is gone."""
    with entered(netns_inode):
        try:
            family = ask_family(b"IPVS")
            found = netlink.dump(
                netlink.GENERIC, family, HEADER.pack(_GET_SERVICE, _VERSION, 0), family, _which
            )
            return tuple(_with_servers(family, which) for which in found)
        except netlink.Refused:  # there is no such module
            return ()


def _which(message: memoryview | bytes) -> bytes:
    return attributes(message[HEADER.size :]).get(_SERVICE, b"")


def _with_servers(family: int, which: bytes) -> Service:
    """The service and what it is asked for its servers by."""
    known = attributes(which)
    names = (_FAMILY, _MARK) if _MARK in known else (_FAMILY, _PROTOCOL, _ADDRESS, _PORT)
    key = b"".join(netlink.attribute(name, bytes(known[name])) for name in names)
    body = HEADER.pack(_GET_SERVER, _VERSION, 0) + netlink.attribute(_SERVICE, key)
    servers = netlink.dump(netlink.GENERIC, family, body, family, server_of)
    return service_of(which, tuple(servers))


def service_of(which: bytes, servers: tuple[Server, ...] = ()) -> Service:
    """From what the kernel tells of it."""
    found = attributes(which)
    of_mark = _MARK in found
    return Service(
        None if of_mark else _PROTOCOLS.get(number(found.get(_PROTOCOL))),
        None if of_mark else _address(number(found.get(_FAMILY)), found.get(_ADDRESS, b"")),
        _port(found.get(_PORT)),
        number(found.get(_MARK)),
        foreign(bytes(found.get(_SCHEDULER, b"")).partition(b"\0")[0]),
        servers,
    )


def server_of(message: memoryview | bytes) -> Server:
    """From one message."""
    found = attributes(attributes(message[HEADER.size :]).get(_SERVER, b""))
    counted = (number(found.get(name)) for name in (_ACTIVE, _INACTIVE, _PERSISTENT))
    return Server(
        _address(number(found.get(_OWN_FAMILY)), found.get(_OWN_ADDRESS, b"")),
        _port(found.get(_OWN_PORT)),
        struct.unpack("=i", found[_WEIGHT])[0] if _WEIGHT in found else 0,
        number(found.get(_LIMIT)),
        sum(counted),
    )


def _address(family: int, value: bytes) -> Address:
    """union nf_inet_addr: of IPv4 its first four bytes. A kernel without the family of servers means that of IPv4."""
    return ip_address(bytes(value[:16] if family == socket.AF_INET6 else value[:4]))


def _port(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "big")
