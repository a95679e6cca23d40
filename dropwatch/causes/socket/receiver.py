"""The connection of TCP that a segment was for, and who has it: as it was at the drop, else as it is after it."""

from dataclasses import replace

from dropwatch.causes.socket.lookup import came_in
from dropwatch.causes.socket.owner import owned
from dropwatch.causes.socket.unclaimed import Compared, compared, culprit_of, with_owner
from dropwatch.causes.socket.words import end
from dropwatch.host.host import Host
from dropwatch.host.sockets import PortSockets
from dropwatch.model.connection import ConnectionNote
from dropwatch.model.culprits import Socket
from dropwatch.model.drop import Drop, Evidence, Process, Verdict

SOURCE = "connection at the drop"


def read_by(said: Verdict, note: ConnectionNote, drop: Drop, host: Host) -> Verdict:
    """With the connection as its object, and the process that should read it."""
    since = drop.event.monotonic_ns
    holder = host.socket_holder(drop.event.netns, note.inode, since) if note.inode else None
    evidence = (*said.evidence, *_held(holder, note.inode))
    owner = owned(holder, drop.event.cgroup, host)
    return replace(said, culprit=connection(drop, note, holder), evidence=evidence, owner=owner)


def as_it_is(said: Verdict, drop: Drop, host: Host) -> Verdict | None:
    """Where no probe had it at the drop; None: nor is it known after it. No object where it may be a new one."""
    one = present(drop, host)
    if one is None:
        return None
    one = with_owner(one, drop, host)
    fact = f"after the drop: {one.socket.queued:,} of {one.socket.limit:,} bytes of its receive buffer are in use"
    evidence = (
        Evidence("netlink sock_diag", fact, "proof"),
        *said.evidence,
        *_held(one.holder, one.socket.inode),
    )
    return replace(
        said, culprit=culprit_of(one, drop) if one.pinned else None, evidence=evidence, owner=one.owner
    )


def present(drop: Drop, host: Host) -> Compared | None:
    """The one connection that takes this segment, as it is after the drop."""
    packet, event = drop.packet, drop.event
    if packet.dport is None or packet.sport is None:
        return None
    return only(
        host.connections_at(event.netns, packet.dport, packet.sport, came_in(drop), event.monotonic_ns), drop
    )


def only(found: PortSockets | None, drop: Drop) -> Compared | None:
    """The one of them that takes it."""
    if found is None or found.count != len(found.sockets):
        return None
    fitting = [one for one in (compared(each, drop, found) for each in found.sockets) if one.mismatch is None]
    return fitting[0] if len(fitting) == 1 else None


def connection(drop: Drop, note: ConnectionNote, holder: Process | None = None) -> Socket:
    """As `ss -tnp` has it. The segment has come to its end: its addresses are those of the connection."""
    packet = drop.packet
    users = f' users:(("{holder.comm}",pid={holder.pid}))' if holder is not None else ""
    return Socket(
        text=f"tcp {end(packet.daddr, packet.dport)} {end(packet.saddr, packet.sport)}{users}",
        proto="tcp",
        address=str(packet.daddr),
        port=packet.dport or 0,
        peer=str(packet.saddr),
        peer_port=packet.sport,
        bound_ifindex=note.bound_ifindex,
        inode=note.inode or None,
        queued=note.queued,
        limit=note.limit,
    )


def _held(holder: Process | None, inode: int) -> tuple[Evidence, ...]:
    if holder is None:
        return ()
    fact = f"after the drop: {holder.comm} (pid {holder.pid}) holds the socket, inode {inode}"
    return (Evidence("/proc/PID/fd", fact, "owner"),)
