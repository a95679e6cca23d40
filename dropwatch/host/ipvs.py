"""IPVS, the kernel's load balancer: its virtual services and their servers, by generic netlink."""

import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address
from typing import TypeVar

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
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_SHORT = struct.Struct("=H")
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_SCTP: "sctp"}

Found = TypeVar("Found")


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
    """A virtual service: of an address (port 0: of all ports), or of a firewall mark (`address` is None) and a family,
    4 or 6. `servers` None: they are asked for apart, since there may be thousands of services. Older recordings have
    them here, and no family (0).
    """

    protocol: str | None
    address: Address | None
    port: int
    mark: int
    scheduler: str
    servers: tuple[Server, ...] | None = ()
    family: int = 0


def read_ipvs(netns_inode: int) -> tuple[Service, ...]:
    """Those of the namespace, without their servers. Raises OSError when it is gone."""
    with entered(netns_inode):
        try:
            return tuple(_dump(_GET_SERVICE, b"", service_of))
        except netlink.Refused:  # there is no such module
            return ()


def read_ipvs_servers(netns_inode: int, key: bytes) -> tuple[Server, ...]:
    """Those of the service with this `service_key`; none where that is gone. Raises OSError like `read_ipvs`."""
    with entered(netns_inode):
        return tuple(_dump(_GET_SERVER, netlink.attribute(_SERVICE, key), server_of))


def _dump(command: int, wanted: bytes, read: Callable[[memoryview], Found]) -> list[Found]:
    family = ask_family(b"IPVS")
    return netlink.dump(netlink.GENERIC, family, HEADER.pack(command, _VERSION, 0) + wanted, family, read)


def service_key(family: int, mark: int, protocol: str | None, address: Address | None, port: int) -> bytes:
    """By which the kernel finds a service."""
    of_family = netlink.attribute(_FAMILY, _SHORT.pack(_FAMILIES[family]))
    if address is None:
        return of_family + netlink.attribute(_MARK, struct.pack("=I", mark))
    number_of = {name: number for number, name in _PROTOCOLS.items()}
    return b"".join(
        (
            of_family,
            netlink.attribute(_PROTOCOL, _SHORT.pack(number_of.get(protocol or "", 0))),
            netlink.attribute(_ADDRESS, address.packed.ljust(16, b"\0")),
            netlink.attribute(_PORT, port.to_bytes(2, "big")),
        )
    )


def service_of(message: memoryview | bytes) -> Service:
    """From one message."""
    found = attributes(attributes(message[HEADER.size :]).get(_SERVICE, b""))
    of_mark = _MARK in found
    family = number(found.get(_FAMILY))
    return Service(
        None if of_mark else _PROTOCOLS.get(number(found.get(_PROTOCOL))),
        None if of_mark else _address(family, found.get(_ADDRESS, b"")),
        _port(found.get(_PORT)),
        number(found.get(_MARK)),
        foreign(bytes(found.get(_SCHEDULER, b"")).partition(b"\0")[0]),
        None,
        6 if family == socket.AF_INET6 else 4,
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
