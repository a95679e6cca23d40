"""What is known of a connection of TCP that did not take a segment."""

from dropwatch.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionNote:
    """Its numbers when the segment died, as struct tcp_sock has them: sequence numbers of 32 bits, a timestamp, bytes.

    `window` is what it was ready to take from `rcv_nxt` on. `rcv_wup` is where the window stood when it was last told.
    `queued` and `limit` are those of its receive buffer. `inode` is what /proc/PID/fd calls the socket by, 0: it is the
    kernel's own.
    """

    rcv_nxt: int
    rcv_wup: int
    window: int
    snd_una: int
    snd_nxt: int
    ts_recent: int
    queued: int
    limit: int
    inode: int
    bound_ifindex: int | None = None
