"""The judge of sockets."""

from dropwatch.causes.family import Family, in_order
from dropwatch.causes.socket import signs
from dropwatch.causes.socket.access import ACCESS
from dropwatch.causes.socket.queues import QUEUES

SOCKET = Family(
    "socket",
    (*ACCESS, *QUEUES),
    in_order(
        ("socket.udp-no-listener", signs.udp_no_listener),
        ("socket.tcp-no-listener", signs.tcp_no_listener),
        ("socket.closed", signs.data_after_close),
        ("socket.udp-buffer-full", signs.udp_buffer_full),
        ("socket.raw-buffer-full", signs.raw_buffer_full),
        ("socket.packet-buffer-full", signs.packet_buffer_full),
        ("socket.accept-queue-full", signs.accept_queue_full),
        ("socket.memory-pressure", signs.memory_pressure),
    ),
)
