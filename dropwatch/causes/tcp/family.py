"""The judge of TCP: nearly all of it the kernel's reasons settle."""

from dropwatch.causes import kernel_word
from dropwatch.causes.family import Family, in_order
from dropwatch.causes.socket.signs import tcp_without_socket
from dropwatch.causes.tcp.authentication import AUTHENTICATION
from dropwatch.causes.tcp.state import STATE
from dropwatch.causes.tcp.window import WINDOW
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Verdict


def _no_connection(drop: Drop, host: Host) -> Verdict | None:
    """Any other segment for which there is no socket. A reset among them is benign and judged there."""
    flags = drop.packet.tcp_flags
    if flags and tcp_without_socket(drop) and not ("S" in flags and "A" not in flags) and "R" not in flags:
        return kernel_word.certain(
            drop, Evidence("packet", f"flags {flags}, and this host knows no such connection")
        )
    return None


def _time_wait_refused(drop: Drop, host: Host) -> Verdict | None:
    """A SYN that a time-wait socket did not take for a new connection: it was answered with an ACK."""
    flags = drop.packet.tcp_flags or ""
    is_syn = "S" in flags and "A" not in flags
    if "time-wait" in drop.event.notes and kernel_word.gave_no_reason(drop) and is_syn:
        source = "probe tcp_timewait_state_process"
        return kernel_word.certain(drop, Evidence(source, "a SYN for a connection that is in TIME_WAIT here"))
    return None


TCP = Family(
    "tcp",
    (*WINDOW, *STATE, *AUTHENTICATION),
    in_order(("tcp.no-connection", _no_connection), ("tcp.time-wait", _time_wait_refused)),
)
