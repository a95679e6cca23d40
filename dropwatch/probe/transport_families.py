"""The families of probes of sockets and of TCP."""

from dropwatch.probe.family import Family, Hook, TailCall, both, entries
from dropwatch.wire.connection import CONNECTION_NOTE, RECORD_CONNECTION
from dropwatch.wire.listener import LISTENER_NOTE, RECORD_LISTENER
from dropwatch.wire.socket import RECORD_SOCKET, SOCKET_NOTE

TCP = Family(
    name="tcp",
    layer="tcp",
    files=("tcp.c",),
    flag="HAS_TCP",
    hooks=(
        Hook("tcp_timewait_state_process", "on_tcp_timewait", "on_tcp_timewait_return"),
        Hook("tcp_send_dupack", "on_tcp_send_dupack", unless_reason="SKB_DROP_REASON_TCP_OLD_SEQUENCE"),
        Hook(
            "tcp_oow_rate_limited",
            "on_tcp_limit",
            "on_tcp_limit_return",
            unless_reason="SKB_DROP_REASON_TCP_OLD_SEQUENCE",
        ),
        *entries("on_tcp_send_reset", "tcp_v4_send_reset", "tcp_v6_send_reset"),
        Hook("tcp_check_req", "on_tcp_check_request", "on_tcp_check_request_return"),
        Hook("inet_csk_reqsk_queue_drop", "on_request_drop"),
        Hook("tcp_rtx_synack", "on_synack_again"),
    ),
)

_NAMES_SOCKET = "KFREE_SKB_SOCKET_ARGUMENT"

# A compiler may have made it a part of the function that calls it: then nothing names the connection.
TCP_QUEUE = Family(
    name="queues of tcp connections",
    layer="tcp",
    files=("tcp_queue.c",),
    flag="HAS_TCP_QUEUE",
    hooks=tuple(
        Hook(
            function,
            "on_tcp_data_queue",
            "on_tcp_data_queue_return",
            unless=_NAMES_SOCKET,
            only_with="KFREE_SKB_REASON_ARGUMENT",
        )
        for function in ("tcp_data_queue", "tcp_rcv_state_process")
    ),
    needs=TCP.name,
    comes_and_goes=True,
)

SOCKET = Family(
    name="socket",
    layer="udp",
    files=("socket.c",),
    flag="HAS_SOCKET",
    hooks=(
        Hook("__udp_enqueue_schedule_skb", "on_udp_enqueue", unless=_NAMES_SOCKET),
        Hook(
            "__udp_enqueue_schedule_skb",
            back="on_udp_enqueue_return",
            unless=_NAMES_SOCKET,
            unless_reason="SKB_DROP_REASON_PROTO_MEM",
        ),
    ),
    tail_calls=(TailCall("drop_details", RECORD_SOCKET, "send_socket"),),
    notes=(SOCKET_NOTE,),
)

LISTEN = Family(
    name="listening sockets",
    layer="tcp",
    files=("listen.c",),
    flag="HAS_LISTEN",
    hooks=(
        Hook("tcp_conn_request", "on_conn_request", "on_conn_request_return"),
        *both("on_syn_recv_sock", "on_syn_recv_sock_return", "tcp_v4_syn_recv_sock", "tcp_v6_syn_recv_sock"),
    ),
    tail_calls=(TailCall("drop_details", RECORD_LISTENER, "send_listener"),),
    notes=(LISTENER_NOTE,),
)

# Read at a death only.
CONNECTION = Family(
    name="tcp connections",
    files=("connection.c",),
    flag="HAS_CONNECTION",
    tail_calls=(TailCall("drop_details", RECORD_CONNECTION, "send_connection"),),
    notes=(CONNECTION_NOTE,),
    needs=TCP.name,
)

_BY_KFREE_SKB = "SKB_DROP_REASON_TCP_OLD_SEQUENCE"  # since 5.18 (tcp_drop_reason)

# What TCP discards as if it had been used.
DISCARDS = Family(
    name="discards of tcp",
    layer="tcp",
    files=("discards.c",),
    flag="HAS_DISCARDS",
    hooks=(
        Hook("tcp_validate_incoming", "on_tcp_validate", unless_reason=_BY_KFREE_SKB),
        Hook("__kfree_skb", "on_free", unless_reason=_BY_KFREE_SKB),
    ),
    needs=CONNECTION.name,
)
