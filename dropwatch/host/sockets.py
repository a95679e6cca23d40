"""Which sockets of a network namespace have a local port: asked of the kernel as ss(8) does (linux/inet_diag.h)."""

import socket
import struct
import sys
import time
from collections import OrderedDict
from dataclasses import field, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

from dropwatch.host import netlink
from dropwatch.host.links import links
from dropwatch.host.netns.enter import entered
from dropwatch.host.steering import LookupProgram, lookup_programs
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.names.foreign import foreign

_SOCK_DIAG, _BY_FAMILY = 4, 20  # NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY
_ASKED = struct.Struct(
    "=BBBxI"
)  # struct inet_diag_req_v2: family, protocol, extensions, states; its id follows
_TOLD = struct.Struct("=B3x")  # struct inet_diag_msg: family, 3 others; its id follows
_ID = struct.Struct("!HH16s16s")  # struct inet_diag_sockid: ports and addresses, in network order
_REST = struct.Struct("=I8s")  # of the id: the interface, and the cookie, which no other socket ever has
_INODE = struct.Struct("=16xI")  # behind the id
_MEMORY, _V6ONLY, _CGROUP = 7, 11, 21  # INET_DIAG_SKMEMINFO, _SKV6ONLY, _CGROUP_ID (since 5.8)
_WITH_MEMORY = 1 << (_MEMORY - 1)  # among the extensions that are asked for
_INFO, _SEGMENTS_IN = 2, 140  # INET_DIAG_INFO; offset of tcpi_segs_in in struct tcp_info (linux/tcp.h)
_WITH_INFO = 1 << (_INFO - 1)  # and with the keys of TCP-MD5 (tcp_diag_get_aux)
_MD5 = 18  # INET_DIAG_MD5SIG: only who may configure the network is told
_MD5_KEY = struct.Struct(
    "=BBH16s80x"
)  # struct tcp_diag_md5sig: family, prefix length, of the key, address; the key
_QUEUED = struct.Struct("=II")  # SK_MEMINFO_RMEM_ALLOC, _RCVBUF
_LISTENS, _ANY_STATE = 1 << 10, 0xFFFFFFFF  # 1 << TCP_LISTEN
_CONNECTED = _ANY_STATE & ~(_LISTENS | 1 << 6 | 1 << 7)  # neither TCP_TIME_WAIT nor TCP_CLOSE
_IFNAME, _MASTER, _LINKINFO, _KIND = 3, 10, 18, 1  # IFLA_*
# Of raw sockets sock_diag has the protocol where others have the port.
_PROTOCOLS = {"tcp": 6, "udp": 17, "udplite": 136, "raw": 255}
# What is below /proc/sys/net is that of the namespace which the reading thread is in.
_SYSCTLS = Path("/proc/sys/net/ipv4")
_MOST = 64
_REMEMBERED = 256
_Key = tuple[int, int | None, str, int, int]  # namespace, since when, protocol, port, the peer's port or 0


@dataclass(frozen=True, slots=True)
class Md5Key:
    """A peer, or a network of peers, that the socket has a key of TCP-MD5 for. The key itself is not kept."""

    address: Address
    prefix: int

    def is_for(self, peer: Address) -> bool:
        """An IPv6 socket has keys of IPv4 peers under their mapped addresses."""
        mine = self.address
        if isinstance(mine, IPv6Address) and mine.ipv4_mapped is not None and peer.version == 4:
            peer = IPv6Address(b"\0" * 10 + b"\xff\xff" + peer.packed)
        return peer.version == mine.version and peer in ip_network((mine, self.prefix), strict=False)


@dataclass(frozen=True, slots=True)
class PortSocket:
    """A socket with the port. `address` is its own, unspecified for any; `peer` None: it is not connected.

    `bound_ifindex` is the interface or VRF that it is bound to, 0: none. `cookie` is its alone, `inode` what
    /proc/PID/fd calls it by, 0: it is the kernel's own. At the monotonic time `since_ns` it was there as it is now, but
    for the bytes that are `queued` in it, of the `limit` at which it takes no more. `arrived` are the segments that it
    has received, of TCP. `cgroup` is the number of the one that it was made in, 0: unknown. `keys`
    are those of TCP-MD5.
    """

    address: Address
    peer: Address | None
    peer_port: int
    bound_ifindex: int
    v6_only: bool
    inode: int
    cookie: int
    since_ns: int
    queued: int = field(default=0, compare=False)
    limit: int = field(default=0, compare=False)
    arrived: int = field(default=0, compare=False)
    cgroup: int = field(default=0, compare=False)
    keys: tuple[Md5Key, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Device:
    """`vrf` is the index of the VRF that it belongs to, or is."""

    name: str
    vrf: int = 0


@dataclass(frozen=True, slots=True)
class PortSockets:
    """`sockets` are the first of `count`; `devices` by index: those they are bound to, and that of the packet.

    `l3mdev_accept` says that a socket outside of VRFs takes what comes in through one. `programs` are asked before
    sockets that are not connected. `gone` are so many that were there at the last reading, where none is there now.
    """

    sockets: tuple[PortSocket, ...] = ()
    count: int = 0
    devices: dict[int, Device] | None = None
    l3mdev_accept: bool = True
    programs: tuple[LookupProgram, ...] = ()
    gone: int = 0


class SocketReader:
    """Reads them, and remembers since when each socket is known to be as it is."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Key, dict[PortSocket, int]] = OrderedDict()

    def read(
        self, netns_inode: int, proto: str, port: int, came_in: int, began_ns: int | None = None
    ) -> PortSockets:
        """Of TCP those that listen. `came_in` is the index of the packet's interface, `began_ns` tells the namespace
        from others that had its number.

        Raises OSError when the namespace is gone, may not be entered, or the kernel does not answer.
        """
        with entered(netns_inode):
            found = _sockets(_PROTOCOLS[proto], port)
            key = netns_inode, began_ns, proto, port, 0
            return replace(self._told(key, found, came_in), programs=lookup_programs())

    def connections(
        self, netns_inode: int, port: int, peer_port: int, came_in: int, began_ns: int | None = None
    ) -> PortSockets:
        """Those of TCP that are connected with these two ports, or about to be."""
        with entered(netns_inode):
            found = _sockets(_PROTOCOLS["tcp"], port, peer_port)
            return self._told((netns_inode, began_ns, "tcp", port, peer_port), found, came_in)

    def _told(self, key: _Key, found: list[PortSocket], came_in: int) -> PortSockets:
        read_at = time.monotonic_ns()
        if not found:
            return PortSockets(gone=len(self._known.pop(key, ())))
        first = self._dated(key, found[:_MOST], read_at)
        wanted = {each.bound_ifindex for each in first} | {came_in}
        return PortSockets(first, len(found), _devices(wanted), _accepts(key[2]))

    def _dated(self, key: _Key, found: list[PortSocket], read_at: int) -> tuple[PortSocket, ...]:
        before = self._known.pop(key, {})
        now = self._known[key] = {each: before.get(each, read_at) for each in found}
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return tuple(replace(each, since_ns=since) for each, since in now.items())


def tcp_connections(port: int) -> list[PortSocket]:
    """Those with this local port in the network namespace that this thread is in."""
    return _sockets(_PROTOCOLS["tcp"], port, states=_CONNECTED)


def _sockets(protocol: int, port: int, peer_port: int = 0, states: int = 0) -> list[PortSocket]:
    """Those that are not connected first: they are for everybody. Of TCP those that listen, else with `peer_port`."""
    if not states:
        states = _ANY_STATE
        if protocol == _PROTOCOLS["tcp"]:
            states = _CONNECTED if peer_port else _LISTENS
    extensions = _WITH_MEMORY | (_WITH_INFO if protocol == _PROTOCOLS["tcp"] else 0)
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        body = (
            _ASKED.pack(family, protocol, extensions, states)
            + _ID.pack(port, peer_port, b"", b"")
            + _REST.pack(0, bytes(8))
        )
        found += netlink.dump(_SOCK_DIAG, _BY_FAMILY, body, _BY_FAMILY, socket_of)
    return sorted(found, key=lambda each: (each.peer is not None, each.cookie))


def socket_of(message: memoryview | bytes) -> PortSocket:
    """From the body of an answer. Raises ValueError or struct.error for one that cannot be read."""
    (family,) = _TOLD.unpack_from(message)
    at = _TOLD.size
    _, peer_port, address, peer = _ID.unpack_from(message, at)
    ifindex, cookie = _REST.unpack_from(message, at + _ID.size)
    at += _ID.size + _REST.size
    (inode,) = _INODE.unpack_from(message, at)
    found = netlink.attributes(message[at + _INODE.size :])
    memory = found.get(_MEMORY, b"")
    queued, limit = _QUEUED.unpack_from(memory) if len(memory) >= _QUEUED.size else (0, 0)
    info = found.get(_INFO, b"")
    counted = len(info) >= _SEGMENTS_IN + 4
    return PortSocket(
        address=_address(family, address),
        peer=_address(family, peer) if peer_port or any(peer) else None,
        peer_port=peer_port,
        bound_ifindex=ifindex,
        v6_only=any(found.get(_V6ONLY, b"")),
        inode=inode,
        cookie=int.from_bytes(cookie, sys.byteorder),
        since_ns=0,
        queued=queued,
        limit=limit,
        arrived=int.from_bytes(info[_SEGMENTS_IN : _SEGMENTS_IN + 4], sys.byteorder) if counted else 0,
        cgroup=int.from_bytes(found.get(_CGROUP, b""), sys.byteorder),
        keys=_md5_keys(found.get(_MD5, b"")),
    )


def _md5_keys(data: bytes) -> tuple[Md5Key, ...]:
    whole = data[: len(data) - len(data) % _MD5_KEY.size]
    return tuple(
        Md5Key(_address(family, address), prefix)
        for family, prefix, _, address in _MD5_KEY.iter_unpack(whole)
    )


def _address(family: int, raw: bytes) -> Address:
    return IPv6Address(raw) if family == socket.AF_INET6 else IPv4Address(raw[:4])


def _devices(wanted: set[int]) -> dict[int, Device]:
    found = {index: (name, master, kind) for index, name, master, kind in links(_device)}
    vrfs = {index for index, (_, _, kind) in found.items() if kind == "vrf"}
    return {
        index: Device(name, index if index in vrfs else master if master in vrfs else 0)
        for index, (name, master, _) in found.items()
        if index in wanted
    }


def _device(index: int, link: dict[int, bytes]) -> tuple[int, str, int, str]:
    about = netlink.attributes(link.get(_LINKINFO, b""))
    master = int.from_bytes(link.get(_MASTER, b""), sys.byteorder)
    name = foreign(link.get(_IFNAME, b"").partition(b"\0")[0])
    return index, name, master, netlink.text(about.get(_KIND, b""))


def _accepts(proto: str) -> bool:
    """udplite has no sysctl of its own. A kernel without VRFs has none, and refuses nothing."""
    try:
        return (_SYSCTLS / f"{proto.removesuffix('lite')}_l3mdev_accept").read_text().strip() != "0"
    except FileNotFoundError:
        return True
