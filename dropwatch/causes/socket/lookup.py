"""Why the kernel's lookup did not take a socket for a packet.

What compute_score asks of it: net/ipv4/udp.c and inet_hashtables.c, net/ipv6/udp.c and inet6_hashtables.c. Of a
datagram to many __udp_is_mcast_sock and __udp_v6_is_mcast_sock ask the same, of raw sockets raw_v4_match and
raw_v6_match.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Literal, get_args

from dropwatch.host.sockets import Device, PortSocket, PortSockets
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Drop, Packet

Kind = Literal["device", "vrf", "v6-only", "address", "peer", "family"]
_NEAREST = get_args(Kind)
_LOOPBACK = 1  # LOOPBACK_IFINDEX, include/net/flow.h


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What was asked for, the first thing that did not fit, in words that go on from the socket's name.

    `sure` False: what the kernel compared it with is not all known.
    """

    kind: Kind
    words: str
    sure: bool = True

    @property
    def distance(self) -> int:
        """How little the socket has to do with the packet: a device is compared last."""
        return _NEAREST.index(self.kind)


def came_in(drop: Drop) -> int:
    """The index of the interface that lookups compare with: in a VRF it is that of the VRF."""
    return drop.event.skb_iif or drop.event.ifindex


def mismatch(one: PortSocket, drop: Drop, found: PortSockets) -> Mismatch | None:
    """Why it was not taken; None: it would have been, as it is now."""
    return (
        _of_family(one, drop.packet)
        or _of_address(one, drop.packet)
        or _of_peer(one, drop.packet)
        or _of_device(one, drop, found)
    )


def _of_family(one: PortSocket, packet: Packet) -> Mismatch | None:
    """A socket that is bound to an IPv6 address takes IPv6 only, whatever its program says (__inet6_bind)."""
    if packet.family == 6 and one.address.version == 4:
        return Mismatch("family", "is an IPv4 socket, and the packet is IPv6")
    if packet.family == 4 and _for_family(one.address, packet).version == 6:
        return Mismatch("family", "is bound to an IPv6 address, and the packet is IPv4")
    if packet.family == 4 and one.v6_only:
        return Mismatch("v6-only", "accepts IPv6 only (IPV6_V6ONLY), and the packet is IPv4")
    return None


def _of_address(one: PortSocket, packet: Packet) -> Mismatch | None:
    own = _for_family(one.address, packet)
    if _is_any(own) or own == packet.daddr:
        return None
    return Mismatch("address", f"is bound to this address, and the packet is for {packet.daddr}")


def _of_peer(one: PortSocket, packet: Packet) -> Mismatch | None:
    if one.peer is None:
        return None
    peer = _for_family(one.peer, packet)
    port = one.peer_port if packet.sport is not None else 0  # a raw socket has it from connect(), for nothing
    if (_is_any(peer) or peer == packet.saddr) and port in (0, packet.sport):
        return None
    connected, sender = _end(one.peer, port), _end(packet.saddr, packet.sport)
    return Mismatch("peer", f"is connected to {connected}, and the packet is from {sender}")


def _end(address: Address | None, port: int | None) -> str:
    return f"{address} port {port}" if port else f"{address}"


def _of_device(one: PortSocket, drop: Drop, found: PortSockets) -> Mismatch | None:
    """inet_bound_dev_eq: the VRF of a packet counts as its device, and so does the interface behind it.

    Which of a VRF's interfaces that was is not known here. What this host sends to itself is compared with the
    interface that the sender is bound to (rt_iif), or in IPv6 that of the address.
    """
    devices = found.devices or {}
    index = came_in(drop)
    arrival = devices.get(index)
    through_vrf = arrival is not None and arrival.vrf == index
    through = _called(index, arrival)
    if not one.bound_ifindex:
        if not through_vrf or found.l3mdev_accept:
            return None
        return Mismatch(
            "vrf", f"is outside of VRFs, and the packet came in through {through}: {accept(drop)} is 0"
        )
    if one.bound_ifindex == index:
        return _of_loopback(drop)
    bound = devices.get(one.bound_ifindex)
    may_be_behind = through_vrf and (bound is None or bound.vrf == index)
    words = f"is bound to {_bound_to(one.bound_ifindex, bound)}, and the packet came in through {through}"
    return Mismatch("device", words, sure=not (may_be_behind or arrival is None or index == _LOOPBACK))


def _of_loopback(drop: Drop) -> Mismatch | None:
    """Of a socket that is bound to the interface of the packet."""
    packet = drop.packet
    if came_in(drop) != _LOOPBACK or packet.family != 6 or packet.daddr is None or packet.daddr.is_loopback:
        return None
    counts_as = f"IPv6 packets to an own address count as received on the interface that has {packet.daddr}"
    return Mismatch("device", f"is bound to interface lo, and {counts_as}", sure=False)


def accept(drop: Drop) -> str:
    """The sysctl that lets a socket outside of VRFs take what comes in through one."""
    kind = {"tcp": "tcp", "udp": "udp", "udplite": "udp"}.get(drop.packet.proto or "", "raw")
    return f"net.ipv4.{kind}_l3mdev_accept"


def _bound_to(index: int, device: Device | None) -> str:
    name = _called(index, device)
    return name if device is None or device.vrf == index else f"interface {name}"


def _called(index: int, device: Device | None) -> str:
    if device is None:
        return f"interface index {index}"
    if device.vrf == index:
        return f"VRF {device.name}"
    return device.name


def _for_family(address: Address, packet: Packet) -> Address:
    """What it is for a packet of IPv4: a socket of IPv6 that is open to both has ::ffff:10.9.0.2, or :: for any."""
    if packet.family != 4 or not isinstance(address, IPv6Address):
        return address
    return IPv4Address(0) if _is_any(address) else address.ipv4_mapped or address


def _is_any(address: Address) -> bool:
    """Not ::ffff:0.0.0.0, which is any address of IPv4 alone; is_unspecified says yes to it in newer Pythons."""
    return int(address) == 0
