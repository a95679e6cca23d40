"""Signs of sockets that had no room but not for want of their own: the memory of all, the backlog of one in use."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.family import Judgement
from dropwatch.causes.socket import receiver, signs
from dropwatch.host.host import Host
from dropwatch.model.connection import ConnectionNote
from dropwatch.model.drop import Drop, Evidence, Verdict

_FULL = "the receive buffer is full: the program does not read"


def backlog_full(drop: Drop, host: Host) -> Verdict | None:
    if drop.reason != "SOCKET_BACKLOG":
        return None
    fact = "a system call had the socket, and its backlog was full"
    said = kernel_word.certain(drop, Evidence("reason", fact))
    note = drop.event.connection
    if note is not None:
        return receiver.read_by(said, note, drop, host)
    return receiver.as_it_is(said, drop, host) or said


def no_memory(drop: Drop, host: Host) -> Judgement | None:
    """UDP has this reason, or ENOBUFS, for the memory of all or of a cgroup alone; TCP for one full buffer as well."""
    if drop.packet.proto == "tcp":
        return _of_tcp(drop, host) if drop.reason == "PROTO_MEM" else None
    if drop.packet.proto not in signs.UDP:
        return None
    note, function = drop.event.socket, kernel_word.place(drop) or ""
    by_reason = drop.reason == "PROTO_MEM" and function.lstrip("_").startswith("udp")
    by_errno = note is not None and note.error == "ENOBUFS" and kernel_word.gave_no_reason(drop)
    if not (by_reason or by_errno):
        return None
    if note is None:
        fact = "the limit of the protocol's memory, or that of the cgroup, is reached"
        return "socket.memory-pressure", kernel_word.certain(drop, Evidence("place", fact))
    said = kernel_word.certain(drop, _has_room(note.queued, note.limit))
    return "socket.memory-pressure", signs.named(said, drop, note, host)


def _of_tcp(drop: Drop, host: Host) -> Judgement | None:
    """tcp_try_rmem_schedule: the buffer of this one is full, or there is no memory for any."""
    note = drop.event.connection
    if note is None:
        one = receiver.present(drop, host)
        if one is None or one.socket.queued >= one.socket.limit:
            return None
        said = receiver.as_it_is(kernel_word.likely(drop), drop, host)
        return ("socket.memory-pressure", said) if said is not None else None
    if note.queued <= note.limit:
        said = kernel_word.certain(drop, _has_room(note.queued, note.limit))
        return "socket.memory-pressure", receiver.read_by(said, note, drop, host)
    return _own_buffer(drop, note, host)


def _own_buffer(drop: Drop, note: ConnectionNote, host: Host) -> Judgement:
    queued = f"{note.queued:,} of {note.limit:,} bytes of its receive buffer are in use"
    said = kernel_word.certain(drop, Evidence(receiver.SOURCE, queued, "proof"))
    said = receiver.read_by(said, note, drop, host)
    if kernel_word.place(drop) == "tcp_data_queue_ofo":
        return "tcp.ofo-pruned", said
    return "tcp.zero-window", replace(said, title=_FULL)


def _has_room(queued: int, limit: int) -> Evidence:
    room = f"only {queued:,} of {limit:,} bytes are queued in the socket"
    fact = f"{room}: the memory that all sockets share, or that of the cgroup, is used up"
    return Evidence("socket at the drop", fact, "proof")
