"""WireGuard interfaces: their peers, by generic netlink. No private or preshared key leaves the message."""

import socket
import struct
import time
from functools import partial
from ipaddress import ip_address, ip_network

from dropwatch.host import netlink
from dropwatch.host.generic import HEADER, ask_family
from dropwatch.host.netlink import attributes, number, spans
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.names.foreign import foreign

# linux/wireguard.h
_VERSION = 1
_IFINDEX, _IFNAME, _PORT, _PEERS = 1, 2, 6, 8  # WGDEVICE_A_*
_PUBLIC, _ENDPOINT, _KEEPALIVE, _HANDSHAKE, _ALLOWED = 1, 4, 5, 6, 9  # WGPEER_A_*
_ADDRESS, _LENGTH = 2, 3  # WGALLOWEDIP_A_*


@dataclass(frozen=True, slots=True)
class Endpoint:
    address: Address
    port: int


@dataclass(frozen=True, slots=True)
class Peer:
    """`key` is the public one, 32 bytes. `handshake` is the time of the latest, seconds since 1970; 0: there was none.
    `allowed` are prefixes, as `10.0.0.0/8`.
    """

    key: bytes
    allowed: tuple[str, ...]
    endpoint: Endpoint | None = None
    handshake: int = 0
    keepalive: int = 0


@dataclass(frozen=True, slots=True)
class Wireguard:
    name: str
    port: int
    peers: tuple[Peer, ...]
    read_at: int = 0


def read_wireguard(netns_inode: int, ifindex: int) -> Wireguard | None:
    """The interface of this index, None where it is no WireGuard interface. Raises OSError."""
    with entered(netns_inode):
        try:
            family = ask_family(b"wireguard")
            body = HEADER.pack(0, _VERSION, 0)  # WG_CMD_GET_DEVICE
            body += netlink.attribute(_IFINDEX, struct.pack("=I", ifindex))
            parts = netlink.dump(
                netlink.GENERIC, family, body, family, partial(wireguard_of, now=int(time.time()))
            )
        except netlink.Refused:  # there is no such module, or it is not of this kind
            return None
    return joined(parts)


def joined(parts: list[Wireguard]) -> Wireguard | None:
    """Many peers come in several messages, and a peer with many addresses in two that follow each other."""
    if not parts:
        return None
    peers: list[Peer] = []
    for peer in (peer for part in parts for peer in part.peers):
        if peers and peers[-1].key == peer.key:
            last = peers[-1]
            peers[-1] = Peer(
                last.key, last.allowed + peer.allowed, last.endpoint, last.handshake, last.keepalive
            )
        else:
            peers.append(peer)
    first = parts[0]
    return Wireguard(first.name, first.port, tuple(peers), first.read_at)


def wireguard_of(message: memoryview | bytes, now: int = 0) -> Wireguard:
    """From one message. What it has of private keys is not copied. Raises struct.error, ValueError."""
    name, port = b"", 0
    peers: list[Peer] = []
    for kind, value in _parts(message[HEADER.size :]):
        if kind == _IFNAME:
            name = bytes(value).partition(b"\0")[0]
        elif kind == _PORT:
            port = number(value)
        elif kind == _PEERS:
            peers += [_peer(peer) for _, peer in _parts(value)]
    return Wireguard(foreign(name), port, tuple(peers), now)


def _parts(data: memoryview | bytes) -> list[tuple[int, memoryview | bytes]]:
    """Without a copy: there are keys in it."""
    return [(kind, data[start:end]) for kind, start, end in spans(data)]


def _peer(data: memoryview | bytes) -> Peer:
    found = {kind: value for kind, value in _parts(data) if kind != 2}  # WGPEER_A_PRESHARED_KEY
    handshake = bytes(found.get(_HANDSHAKE, b""))  # struct __kernel_timespec
    return Peer(
        bytes(found.get(_PUBLIC, b"")),
        tuple(_prefix(attributes(each)) for _, each in _parts(found.get(_ALLOWED, b""))),
        _endpoint(bytes(found.get(_ENDPOINT, b""))),
        number(handshake[:8]),
        number(found.get(_KEEPALIVE)),
    )


def _prefix(found: dict[int, bytes]) -> str:
    return str(ip_network((ip_address(found[_ADDRESS]), number(found[_LENGTH]))))


def _endpoint(raw: bytes) -> Endpoint | None:
    """A struct sockaddr_in or sockaddr_in6."""
    if len(raw) < 8:
        return None
    family, port = number(raw[:2]), int.from_bytes(raw[2:4], "big")
    if family == socket.AF_INET:
        return Endpoint(ip_address(raw[4:8]), port)
    return Endpoint(ip_address(raw[8:24]), port) if family == socket.AF_INET6 else None
