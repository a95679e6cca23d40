"""A segment that its connection did not take, for a reason that the kernel gives: the numbers of both, side by side."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.cause import Cause
from dropwatch.causes.family import Judgement
from dropwatch.causes.socket import receiver
from dropwatch.host.host import Host
from dropwatch.model.connection import ConnectionNote
from dropwatch.model.drop import Drop, Evidence
from dropwatch.packet.payload import TcpNumbers, tcp_numbers

_HALF = 1 << 31
_NOT_READ = frozenset({"tcp.zero-window", "tcp.ofo-pruned"})  # the program is what is to be looked at


def ahead(number: int, of: int) -> int:
    """By how much one sequence number or timestamp is ahead of another, negative: behind. They begin anew at 2^32."""
    return ((number - of + _HALF) & 0xFFFFFFFF) - _HALF


def with_numbers(causes: Iterable[Cause], reason: str | None, drop: Drop, host: Host) -> Judgement | None:
    """Of these causes that which the reason settles, where the connection is known."""
    note, numbers = drop.event.connection, tcp_numbers(drop)
    cause_id = next((cause.id for cause in causes if reason in cause.reasons), None)
    if cause_id is None:
        return None
    if note is None or numbers is None:
        said = receiver.as_it_is(kernel_word.certain(drop), drop, host) if cause_id in _NOT_READ else None
        return (cause_id, said) if said is not None else None
    if reason == "TCP_INVALID_END_SEQUENCE" and _has_no_room(numbers, note):
        cause_id = "tcp.zero-window"
    words = _WORDS.get(cause_id, _sequence)(numbers, note)
    said = kernel_word.certain(drop, Evidence(receiver.SOURCE, words, "proof"))
    if cause_id in _NOT_READ:
        return cause_id, receiver.read_by(said, note, drop, host)
    return cause_id, replace(said, culprit=receiver.connection(drop, note))


def _has_no_room(numbers: TcpNumbers, note: ConnectionNote) -> bool:
    """What the connection expects, but for a closed window: newer kernels find that it ends beyond it."""
    return not note.window and ahead(numbers.seq, note.rcv_nxt) <= 0


def _sequence(numbers: TcpNumbers, note: ConnectionNote) -> str:
    """tcp_sequence() in net/ipv4/tcp_input.c: it has to lie in the window."""
    its = f"seq {numbers.seq}" + (f", {_bytes(numbers.length)}" if numbers.length else "")
    expected = f"rcv_nxt {note.rcv_nxt}, and a window of {note.window:,} bytes"
    last, beyond = numbers.seq + numbers.length, ahead(numbers.seq, note.rcv_nxt + note.window)
    if beyond > 0:
        return f"{its}: it begins {_bytes(beyond)} beyond what the connection takes ({expected})"
    if ahead(last, note.rcv_nxt) <= 0 and numbers.seq != note.rcv_nxt:
        behind = -ahead(last, note.rcv_nxt)
        return f"{its}: it ends {_bytes(behind)} before what the connection expects ({expected})"
    if ahead(last, note.rcv_nxt + note.window) > 0:
        over = ahead(last, note.rcv_nxt + note.window)
        return f"{its}: it ends {_bytes(over)} beyond what the connection takes ({expected})"
    return f"{its}: the connection expects {expected}"


def _exactly(numbers: TcpNumbers, note: ConnectionNote) -> str:
    """RFC 5961: to end a connection takes the very number."""
    off = ahead(numbers.seq, note.rcv_nxt)
    if not off:
        return f"seq {numbers.seq} is what the connection expects (rcv_nxt)"
    where = f"{_bytes(off)} ahead of" if off > 0 else f"{_bytes(-off)} behind"
    return f"seq {numbers.seq} is {where} what the connection expects (rcv_nxt {note.rcv_nxt})"


def _room(numbers: TcpNumbers, note: ConnectionNote) -> str:
    return f"{note.queued:,} of {note.limit:,} bytes of its receive buffer are in use; {_sequence(numbers, note)}"


def _acknowledged(numbers: TcpNumbers, note: ConnectionNote) -> str:
    """tcp_ack() in net/ipv4/tcp_input.c: between what is acknowledged and what has been sent."""
    unsent, sent = ahead(numbers.ack, note.snd_nxt), f"snd_una {note.snd_una}, snd_nxt {note.snd_nxt}"
    if unsent > 0:
        return f"ack {numbers.ack} acknowledges {_bytes(unsent)} that were never sent ({sent})"
    old = -ahead(numbers.ack, note.snd_una)
    if old > 0:
        return f"ack {numbers.ack} is {_bytes(old)} older than what has been acknowledged ({sent})"
    return f"ack {numbers.ack}; the connection has {sent}"


def _timestamps(numbers: TcpNumbers, note: ConnectionNote) -> str:
    if numbers.timestamp is None:
        return f"it has no timestamp; the connection has seen {note.ts_recent}; {_sequence(numbers, note)}"
    older = -ahead(numbers.timestamp, note.ts_recent)
    return f"its timestamp {numbers.timestamp} is {older:,} older than the last one that counted, {note.ts_recent}"


def _bytes(number: int) -> str:
    return "1 byte" if number == 1 else f"{number:,} bytes"


_WORDS: Mapping[str, Callable[[TcpNumbers, ConnectionNote], str]] = {
    "tcp.zero-window": _room,
    "tcp.ofo-pruned": _room,
    "tcp.invalid-ack": _acknowledged,
    "tcp.paws": _timestamps,
    "tcp.reset": _exactly,
    "tcp.invalid-syn": _exactly,
}
