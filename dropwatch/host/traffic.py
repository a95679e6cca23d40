"""What has arrived in a network namespace: counters of its protocols, and who has the ports in question."""

from dropwatch.host.counters.protocol import protocol_counters
from dropwatch.host.holders import read_holders
from dropwatch.host.netns.enter import entered
from dropwatch.host.sockets import PortSocket, SocketReader, tcp_connections
from dropwatch.host.sysctls import read_sysctl
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Netns, Process
from dropwatch.model.traffic import Endpoint, Traffic

_COUNTERS = ("Ip", "Udp", "Icmp")  # those of IPv4 and IPv6
_NO_ECHO = ("net.ipv4.icmp_echo_ignore_all", "net.ipv6.icmp.echo_ignore_all")


@dataclass(frozen=True, slots=True)
class Ports:
    """Of `protos` (`tcp`, `udp`) these local ports."""

    protos: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Begin:
    """How it stood at the start: counters, and the segments of each connection, by its cookie."""

    netns: Netns
    counters: dict[str, int]
    arrived: dict[int, int]


def begin(netns: Netns, ports: Ports) -> Begin:
    """Raises OSError when the namespace is gone, may not be entered, or the kernel does not answer."""
    with entered(netns.inode):
        connections = _connections(ports)
        return Begin(netns, _counters(), {each.cookie: each.arrived for _, each in connections})


def since(before: Begin, ports: Ports) -> Traffic:
    """What has happened meanwhile. Raises OSError likewise."""
    inode = before.netns.inode
    with entered(inode):
        counters, connections = _counters(), _connections(ports)
    rises = {name: count - before.counters.get(name, 0) for name, count in counters.items()}
    open_sockets = {
        (proto, port): SocketReader().read(inode, proto, port, 0).sockets
        for proto in ports.protos
        for port in ports.numbers
    }
    holders = read_holders(
        {each.inode for found in open_sockets.values() for each in found if each.inode}
        | {each.inode for _, each in connections if each.inode}
    )
    endpoints: list[Endpoint] = []
    for (proto, port), found in open_sockets.items():
        own = [each for at, each in connections if at == port] if proto == "tcp" else []
        endpoints += _endpoints(proto, port, found, own, holders, before)
    claimed = {(each.proto, each.port) for each in endpoints}
    unclaimed = tuple(key for key in open_sockets if key not in claimed)
    return Traffic(
        before.netns,
        {name: rise for name, rise in rises.items() if rise > 0},
        tuple(endpoints),
        unclaimed,
        tuple(name for name in _NO_ECHO if _is_set(inode, name)),
    )


def _endpoints(
    proto: str,
    port: int,
    found: tuple[PortSocket, ...],
    connections: list[PortSocket],
    holders: dict[int, Process],
    before: Begin,
) -> list[Endpoint]:
    """One for each process; for all sockets together whose process is not found."""
    processes = {holders.get(each.inode) for each in (*found, *connections)}
    made = []
    for process in sorted(processes, key=lambda each: (each.pid if each is not None else None) or 0):
        sockets = [each for each in found if holders.get(each.inode) == process]
        connected = [each for each in connections if holders.get(each.inode) == process]
        new = [max(0, each.arrived - before.arrived.get(each.cookie, 0)) for each in connected]
        made.append(
            Endpoint(
                proto=proto,
                port=port,
                process=process,
                sockets=len(sockets),
                connections=len(connected),
                arrived=sum(new) if proto == "tcp" else None,
                waiting=sum(each.queued for each in (sockets if proto != "tcp" else connected)),
            )
        )
    return made


def _counters() -> dict[str, int]:
    return {name: count for name, count in protocol_counters().items() if name.startswith(_COUNTERS)}


def _is_set(inode: int, name: str) -> bool:
    found = read_sysctl(inode, name)
    return found is not None and found.value != 0


def _connections(ports: Ports) -> list[tuple[int, PortSocket]]:
    if "tcp" not in ports.protos:
        return []
    return [(port, each) for port in ports.numbers for each in tcp_connections(port)]
