"""For which packets a piece of advice is meant."""

from collections.abc import Callable

from dropwatch.model.drop import Drop

Fits = Callable[[Drop], bool]

_DNS = 53
_BROADCAST = "255.255.255.255"
# Where clients take their ports: the kernel's default (net.ipv4.ip_local_port_range), and IANA's from 49152 on.
_FIRST_OF_CLIENTS = 32768


def came_in(drop: Drop) -> bool:
    """From a network or through loopback, also where it died on its way out again."""
    return drop.where.direction in ("in", "forward") or drop.event.skb_iif != 0


def forwarded(drop: Drop) -> bool:
    """From one interface to another."""
    return drop.where.direction == "forward"


def own(drop: Drop) -> bool:
    """This host made it."""
    return not came_in(drop)


def ipv4(drop: Drop) -> bool:
    return drop.packet.family == 4


def ipv6(drop: Drop) -> bool:
    return drop.packet.family == 6


def tcp(drop: Drop) -> bool:
    return drop.packet.proto == "tcp"


def not_tcp(drop: Drop) -> bool:
    return not tcp(drop)


def any_packet(drop: Drop) -> bool:
    return True


def udp(drop: Drop) -> bool:
    return drop.packet.proto == "udp"


def dns(drop: Drop) -> bool:
    return drop.packet.dport == _DNS


def marked(drop: Drop) -> bool:
    """It has a firewall mark."""
    return drop.packet.mark != 0


def multicast(drop: Drop) -> bool:
    return drop.packet.daddr is not None and drop.packet.daddr.is_multicast


def unicast(drop: Drop) -> bool:
    """To one address, that other hosts may have."""
    daddr = drop.packet.daddr
    return daddr is not None and not (daddr.is_multicast or str(daddr) == "255.255.255.255")


def to_a_service(drop: Drop) -> bool:
    """Its destination port is not one that a client took for a while, so that a rule about it stays right."""
    port, flags = drop.packet.dport, drop.packet.tcp_flags or ""
    if port is None:
        return False
    return port < _FIRST_OF_CLIENTS or ("S" in flags and "A" not in flags)


def answers(drop: Drop) -> bool:
    """It has a port, and that is a client's."""
    return drop.packet.dport is not None and not to_a_service(drop)


def both(one: Fits, other: Fits) -> Fits:
    return lambda drop: one(drop) and other(drop)


def from_dns(drop: Drop) -> bool:
    """An answer of a name server."""
    return drop.packet.sport == _DNS


def ethertype(*numbers: int) -> Fits:
    return lambda drop: drop.event.protocol in numbers


def proto(*names: str) -> Fits:
    return lambda drop: drop.packet.proto in names


def from_loopback(drop: Drop) -> bool:
    """Its source is 127.0.0.0/8 or ::1."""
    return drop.packet.saddr is not None and drop.packet.saddr.is_loopback


def from_a_host(drop: Drop) -> bool:
    """Its source is an address that a host can have on a network."""
    saddr = drop.packet.saddr
    if saddr is None or str(saddr) == _BROADCAST:
        return False
    return not (saddr.is_loopback or saddr.is_multicast or saddr.is_unspecified)


def to_loopback(drop: Drop) -> bool:
    return drop.packet.daddr is not None and drop.packet.daddr.is_loopback
