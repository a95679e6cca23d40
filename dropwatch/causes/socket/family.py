"""The judge of sockets."""

from dropwatch.causes.family import Family, Judgement, in_order
from dropwatch.causes.socket import filtered, listener, memory, sctp, security, signs
from dropwatch.causes.socket.access import ACCESS
from dropwatch.causes.socket.connection import connection_elsewhere
from dropwatch.causes.socket.queues import QUEUES
from dropwatch.causes.socket.sctp import SCTP
from dropwatch.causes.socket.unclaimed import no_raw_socket, no_socket
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop

_OTHERS = in_order(
    ("socket.accept-queue-full", listener.accept_queue_full),
    ("socket.syn-queue-full", listener.syn_queue_full),
    ("socket.closed", signs.data_after_close),
    ("socket.udp-buffer-full", signs.udp_buffer_full),
    ("socket.raw-buffer-full", signs.raw_buffer_full),
    ("socket.packet-buffer-full", signs.packet_buffer_full),
    ("socket.accept-queue-full", signs.accept_queue_full),
    ("socket.backlog-full", memory.backlog_full),
    ("socket.filter", filtered.refused_by_filter),
    ("socket.security-module", security.refused),
    ("socket.min-ttl", filtered.below_min_ttl),
    ("socket.sctp-no-association", sctp.no_association),
)


def _judge(drop: Drop, host: Host) -> Judgement | None:
    return (
        no_socket(drop, host)
        or connection_elsewhere(drop, host)
        or no_raw_socket(drop, host)
        or memory.no_memory(drop, host)
        or _OTHERS(drop, host)
    )


SOCKET = Family("socket", (*ACCESS, *QUEUES, SCTP), _judge)
