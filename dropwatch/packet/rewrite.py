"""Changes a packet's bytes so that it stays the same packet: other addresses, zeros for payload, checksums in step."""

from collections.abc import Callable

from dropwatch.packet import sctp
from dropwatch.packet.checksum import remainder
from dropwatch.packet.layer import Span
from dropwatch.packet.outline import Checksum, outline
from dropwatch.packet.walk import Walk

Rename = Callable[[bytes], bytes]


def rewritten(walked: Walk, *, payload: bool, rename: Rename | None = None) -> bytes:
    """Without `payload` all that is no header becomes zeros, of the same length. `rename` gives another address for one
    of 4, 16 or 6 bytes. A checksum that was right stays right, and one that was wrong stays wrong.
    """
    data, found = walked.data, outline(walked)
    new = bytearray(data)
    if not payload:
        new = bytearray(len(data))
        for start, end in found.headers:
            new[start:end] = data[start:end]
    if rename is not None:
        for start, end in found.addresses:
            new[start:end] = rename(data[start:end])
    for layer in walked.layers:
        if layer.kind == "sctp":
            _follow_sctp((layer.at, layer.limit), data, new)
    for checksum in found.checksums:
        _follow(checksum, data, new)
    return bytes(new)


def headers_only(walked: Walk) -> bytes:
    """The bytes up to the end of the last header."""
    return walked.data[: outline(walked).end]


def _follow(checksum: Checksum, old: bytes, new: bytearray) -> None:
    """RFC 1624: what was added to the covered words is taken from the checksum. What a card was to finish stays so."""
    if checksum.partial is not None and _stands(old, checksum) == _unfinished(old, *checksum.partial):
        new[checksum.at : checksum.at + 2] = _unfinished(new, *checksum.partial).to_bytes(2, "big")
        return
    risen = (_sum(new, checksum.covers) - _sum(old, checksum.covers)) % 0xFFFF
    if risen:
        at = checksum.at
        value = (int.from_bytes(new[at : at + 2], "big") - risen) % 0xFFFF
        new[at : at + 2] = (value or 0xFFFF).to_bytes(2, "big")


def _follow_sctp(covers: Span, old: bytes, new: bytearray) -> None:
    """A CRC is linear: what changes in the bytes changes in it, whether it was right or not. 0: none was made."""
    at, end = covers
    field = slice(at + sctp.SUM_AT, at + sctp.HEADER)
    stands = int.from_bytes(old[field], "little")
    if end - at >= sctp.HEADER and stands:
        risen = sctp.sum_of(old[at:end]) ^ sctp.sum_of(new[at:end])
        new[field] = (stands ^ risen).to_bytes(4, "little")


def _stands(data: bytes, checksum: Checksum) -> int:
    return int.from_bytes(data[checksum.at : checksum.at + 2], "big")


def _unfinished(data: bytes | bytearray, covers: tuple[Span, ...], rest: int) -> int:
    return (_sum(data, covers) + rest) % 0xFFFF or 0xFFFF


def _sum(data: bytes | bytearray, covers: tuple[Span, ...]) -> int:
    return sum(remainder(data[start:end]) for start, end in covers)
