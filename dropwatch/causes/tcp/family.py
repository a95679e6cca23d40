"""The judge of TCP: nearly all of it the kernel's reasons settle."""

from dropwatch.causes import kernel_word
from dropwatch.causes.family import Family, Judgement, in_order
from dropwatch.causes.socket.connection import may_be_elsewhere
from dropwatch.causes.socket.signs import tcp_without_socket
from dropwatch.causes.tcp import discards
from dropwatch.causes.tcp.authentication import AUTHENTICATION
from dropwatch.causes.tcp.keys import ao, md5
from dropwatch.causes.tcp.numbers import with_numbers
from dropwatch.causes.tcp.state import STATE
from dropwatch.causes.tcp.window import WINDOW
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.packet.fields_transport import tcp_flag_words


def _no_connection(drop: Drop, host: Host) -> Verdict | None:
    """Any other segment for which there is no socket. A reset that nobody misses is benign, and judged there."""
    flags = drop.packet.tcp_flags
    if not flags or not tcp_without_socket(drop) or ("S" in flags and "A" not in flags):
        return None
    fact = Evidence("packet", f"{tcp_flag_words(flags)}, and this host has no such connection")
    doubt = may_be_elsewhere(drop, host)
    return kernel_word.certain(drop, fact) if doubt is None else kernel_word.likely(drop, fact, doubt)


def _time_wait_refused(drop: Drop, host: Host) -> Verdict | None:
    """A SYN that a time-wait socket did not take for a new connection: it was answered with an ACK."""
    flags = drop.packet.tcp_flags or ""
    is_syn = "S" in flags and "A" not in flags
    if "time-wait" in drop.event.notes and kernel_word.gave_no_reason(drop) and is_syn:
        source = "probe tcp_timewait_state_process"
        return kernel_word.certain(drop, Evidence(source, "a SYN for a connection that is in TIME_WAIT here"))
    return None


def _late_for_time_wait(drop: Drop, host: Host) -> Verdict | None:
    """The reason is that of a SYN as well, which wants a new connection (tcp_timewait_state_process)."""
    flags = drop.packet.tcp_flags
    if drop.reason != "TCP_RFC7323_TW_PAWS" or flags is None or "S" in flags:
        return None
    fact = f"{tcp_flag_words(flags)} for a connection that is in TIME_WAIT here, and its timestamp is older"
    return kernel_word.certain(drop, Evidence("reason", fact))


_signs = in_order(
    ("tcp.no-connection", _no_connection),
    ("tcp.time-wait", _time_wait_refused),
    ("tcp.paws", _late_for_time_wait),
)


def _judge(drop: Drop, host: Host) -> Judgement | None:
    reason = drop.reason or discards.reason(drop)
    return (
        _signs(drop, host)
        or md5(drop, host)
        or ao(drop, host)
        or with_numbers((*WINDOW, *STATE), reason, drop, host)
    )


TCP = Family("tcp", (*WINDOW, *STATE, *AUTHENTICATION), _judge)
