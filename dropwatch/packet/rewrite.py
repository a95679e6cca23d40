"""Changes a packet's bytes so that it stays the same packet: other addresses, zeros for payload, checksums in step."""

from collections.abc import Callable

from dropwatch.packet.outline import Checksum, Span, outline

Rename = Callable[[bytes], bytes]


def rewritten(
    data: bytes, protocol: int, spi: int | None = None, *, payload: bool, rename: Rename | None = None
) -> bytes:
    """`data` begins at the network header, `protocol` is its ethertype, `spi` that of ESP in UDP on an unusual port.

    Without `payload` all that is no header becomes zeros, of the same length. `rename` gives another address for one of
    4, 16 or 6 bytes. A checksum that was right stays right, and one that was wrong stays wrong.
    """
    found = outline(data, protocol, spi)
    new = bytearray(data)
    if not payload:
        new = bytearray(len(data))
        for start, end in found.headers:
            new[start:end] = data[start:end]
    if rename is not None:
        for start, end in found.addresses:
            new[start:end] = rename(bytes(data[start:end]))
    for checksum in found.checksums:
        _follow(checksum, data, new)
    return bytes(new)


def headers_only(data: bytes, protocol: int, spi: int | None = None) -> bytes:
    """The bytes up to the end of the last header."""
    return data[: outline(data, protocol, spi).end]


def _follow(checksum: Checksum, old: bytes, new: bytearray) -> None:
    """RFC 1624: what was added to the covered words is taken from the checksum."""
    risen = (_sum(new, checksum.covers) - _sum(old, checksum.covers)) % 0xFFFF
    if risen:
        at = checksum.at
        value = (int.from_bytes(new[at : at + 2], "big") - risen) % 0xFFFF
        new[at : at + 2] = (value or 0xFFFF).to_bytes(2, "big")


def _sum(data: bytes | bytearray, covers: tuple[Span, ...]) -> int:
    """The sum of 16-bit words; a last odd byte is the upper half of one."""
    total = 0
    for start, end in covers:
        part = data[start:end]
        total += int.from_bytes(part + b"\0" * (len(part) % 2), "big") % 0xFFFF  # 2^16 is 1 modulo 2^16 - 1
    return total
