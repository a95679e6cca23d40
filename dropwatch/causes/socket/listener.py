"""Signs of listening sockets of TCP: which of their queues was full, of whom, and what would make room."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import twice
from dropwatch.causes.socket.owner import owned, owner_evidence
from dropwatch.causes.socket.words import end
from dropwatch.host.host import Host
from dropwatch.model.culprits import Socket
from dropwatch.model.drop import Drop, Evidence, Fix, Process, Verdict
from dropwatch.model.listener import ListenerNote

_SOURCE = "listening socket at the drop"
_Advice = Callable[[ListenerNote, Process | None], Iterator[Fix]]


def accept_queue_full(drop: Drop, host: Host) -> Verdict | None:
    """The kernel counted this very packet in ListenOverflows."""
    note = drop.event.listener
    if note is None or not note.overflowed:
        return None
    what = "the last ACK of a handshake" if note.handshake_done else "a SYN"
    waits = (
        f"{note.accept_queue:,} connections wait for accept(), more than the limit of {note.accept_limit:,}: "
        f"no room for {what}"
    )
    limits = f"the limit is the program's listen() backlog, at most net.core.somaxconn ({note.somaxconn:,})"
    return _told(drop, host, note, (waits, limits), _more_room)


def syn_queue_full(drop: Drop, host: Host) -> Verdict | None:
    """Counted in TCPReqQFullDrop; or, without SYN cookies, the last quarter is kept for hosts that are known."""
    note = drop.event.listener
    if note is None or note.handshake_done or note.overflowed:
        return None
    if note.syn_queue_full:
        fact = (
            f"{note.syn_queue:,} half-open connections, and the limit is {note.accept_limit:,}: the listen() "
            "backlog, "
            f"at most net.core.somaxconn ({note.somaxconn:,})"
        )
        return _told(drop, host, note, (fact, _cookies(note)), _cookies_or_more)
    if note.syncookies == 0 and note.max_syn_backlog - note.syn_queue < note.max_syn_backlog >> 2:
        fact = (
            f"{note.syn_queue:,} half-open connections: the last quarter of net.ipv4.tcp_max_syn_backlog "
            f"({note.max_syn_backlog:,}) is reserved for hosts that connected before"
        )
        verdict = _told(drop, host, note, (fact, _cookies(note)), _cookies_or_more)
        return replace(verdict, confidence="likely")
    return None


def _told(drop: Drop, host: Host, note: ListenerNote, facts: tuple[str, ...], advice: _Advice) -> Verdict:
    since = drop.event.monotonic_ns
    holder = host.socket_holder(drop.event.netns, note.inode, since) if note.inode else None
    evidence = [Evidence(_SOURCE, fact) for fact in facts]
    if holder is not None:
        evidence.append(owner_evidence(holder, note.inode))
    return replace(
        kernel_word.certain(drop, *evidence),
        culprit=_socket(note, holder),
        fix=tuple(advice(note, holder)),
        owner=owned(holder, drop.event.cgroup, host),
    )


def _socket(note: ListenerNote, holder: Process | None) -> Socket:
    """As `ss -ltnp` has it."""
    users = f' users:(("{holder.comm}",pid={holder.pid}))' if holder is not None else ""
    return Socket(
        text=f"tcp LISTEN {end(note.address, note.port)} {end(None, None)}{users}",
        proto="tcp",
        address=str(note.address),
        port=note.port,
        peer=None,
        peer_port=None,
        bound_ifindex=note.bound_ifindex,
        inode=note.inode or None,
        accept_queue=note.accept_queue,
        accept_limit=note.accept_limit,
        syn_queue=note.syn_queue,
    )


def _cookies(note: ListenerNote) -> str:
    return f"net.ipv4.tcp_syncookies is {note.syncookies}"


def _more_room(note: ListenerNote, holder: Process | None) -> Iterator[Fix]:
    """The backlog is taken at listen(): a larger sysctl helps from then on only."""
    who = f"{holder.comm} (pid {holder.pid})" if holder is not None else "the program"
    doing = f"cat /proc/{holder.pid}/stack" if holder is not None else f"ss -ltnp 'sport = :{note.port}'"
    yield Fix(f"see why {who} does not call accept()", doing)
    if note.accept_limit < note.somaxconn:
        yield Fix(
            f"if bursts are normal: have {who} request more than {note.accept_limit} in listen() (its backlog)"
        )
    else:
        yield Fix(
            f"if bursts are normal: raise the limit, then restart {who}, which must request as much in listen()",
            twice("net.core.somaxconn"),
        )


def _cookies_or_more(note: ListenerNote, holder: Process | None) -> Iterator[Fix]:
    if note.syncookies == 0:
        yield Fix("use SYN cookies when the queue is full", "sysctl -w net.ipv4.tcp_syncookies=1")
    yield Fix(
        "see which hosts start a handshake and do not finish it",
        f"ss -tn state syn-recv 'sport = :{note.port}'",
    )
    if not note.syn_queue_full:
        yield Fix("allow more half-open connections", twice("net.ipv4.tcp_max_syn_backlog"))
    elif note.accept_limit < note.somaxconn:
        who = f"{holder.comm} (pid {holder.pid})" if holder is not None else "the program"
        yield Fix(f"have {who} request more than {note.accept_limit} in listen() (its backlog)")
    else:
        yield Fix("allow a larger backlog, for sockets that listen afterwards", twice("net.core.somaxconn"))
