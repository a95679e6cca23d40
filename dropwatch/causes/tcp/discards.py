"""What a connection discards where TCP gives no reason (before 5.18): its numbers decide, in the kernel's own order.

tcp_validate_incoming(), tcp_ack() and tcp_data_queue() of net/ipv4/tcp_input.c. Where the numbers leave more than one
reason open, nothing is said.
"""

from dropwatch.causes import kernel_word
from dropwatch.causes.tcp.numbers import ahead
from dropwatch.model.connection import ConnectionNote
from dropwatch.model.drop import Drop
from dropwatch.packet.payload import TcpNumbers, tcp_numbers

_PAWS_WINDOW = 1  # TCP_PAWS_WINDOW of net/tcp.h


def says_nothing_new(drop: Drop) -> bool:
    """The connection has all its bytes, and knows what it acknowledges: whatever refused it, nothing is lost.

    Not a SYN that may want a new connection, nor a reset, nor one that asks for more by being without ACK.
    """
    note, numbers, flags = drop.event.connection, tcp_numbers(drop), drop.packet.tcp_flags or ""
    if note is None or numbers is None or "A" not in flags or "R" in flags:
        return False
    return not _is_new(numbers, note) and ahead(numbers.ack, note.snd_una) <= 0


def has_all_of(drop: Drop) -> bool:
    """The connection is known, and has received all of the segment's bytes."""
    note, numbers = drop.event.connection, tcp_numbers(drop)
    return note is not None and numbers is not None and not _is_new(numbers, note)


def reason(drop: Drop) -> str | None:
    """What newer kernels would call it; None: the numbers do not say."""
    note, numbers, flags = drop.event.connection, tcp_numbers(drop), drop.packet.tcp_flags or ""
    if drop.event.source != kernel_word.DISCARDED or note is None or numbers is None:
        return None
    begins, is_new = ahead(numbers.seq, note.rcv_nxt), _is_new(numbers, note)
    if _is_late(numbers, note) and "R" not in flags:
        # an ACK that is behind by no more than its connection's timeout may be let through: tcp_disordered_ack()
        return "TCP_RFC7323_PAWS" if is_new else None
    if ahead(numbers.seq, note.rcv_nxt + note.window) > 0:
        return "TCP_INVALID_SEQUENCE"
    if says_nothing_new(drop):
        return "TCP_OLD_SEQUENCE"
    if not is_new and begins:
        return None
    if "R" in flags:
        return "TCP_RESET" if begins else None
    if "S" in flags:
        return "TCP_INVALID_SYN"
    if ahead(numbers.ack, note.snd_nxt) > 0:
        return "TCP_ACK_UNSENT_DATA"
    if ahead(numbers.ack, note.snd_una) >= 0 and is_new and begins <= 0 and not note.window:
        return "TCP_ZEROWINDOW"
    return None


def _is_new(numbers: TcpNumbers, note: ConnectionNote) -> bool:
    return ahead(numbers.seq + numbers.length, note.rcv_nxt) > 0


def _is_late(numbers: TcpNumbers, note: ConnectionNote) -> bool:
    """tcp_paws_check() of net/tcp.h. A connection without timestamps has seen none."""
    stamp = numbers.timestamp
    return stamp is not None and note.ts_recent != 0 and ahead(note.ts_recent, stamp) > _PAWS_WINDOW
