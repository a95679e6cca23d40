"""What a judge needs of an SCTP packet: its first chunk, and whether its checksum is right (RFC 9260)."""

from typing import NamedTuple

from dropwatch.model.drop import Drop
from dropwatch.packet.payload import transport

HEADER, SUM_AT = 12, 8  # bytes: the common header, and where in it the checksum is
_POLYNOMIAL = 0x82F63B78  # of CRC32c, its bits the other way round


class Sctp(NamedTuple):
    """`chunk` is the type of the first one, None where it was not captured. `right` is what the checksum should be,
    None where the packet was not captured whole.
    """

    chunk: int | None
    stands: int
    right: int | None

    @property
    def instead(self) -> int | None:
        """What should stand where another sum does. 0: the sender left it to a card (CHECKSUM_PARTIAL), and SCTP does
        not look at it.
        """
        return None if self.right is None or self.stands in (0, self.right) else self.right


def sctp(drop: Drop) -> Sctp | None:
    """None for a fragment, and for what is no complete header."""
    header = transport(drop, "sctp")
    if header is None or header.room < HEADER:
        return None
    length = drop.packet.length - header.at
    data = header.bytes(0, length)
    right = None
    if length == len(data):
        right = sum_of(data)
    return Sctp(
        data[HEADER] if len(data) > HEADER else None,
        int.from_bytes(data[SUM_AT:HEADER], "little"),
        right,
    )


def sum_of(data: bytes | bytearray) -> int:
    """What should stand in the header of this packet."""
    return crc32c(data[:SUM_AT] + bytes(HEADER - SUM_AT) + data[HEADER:])


def crc32c(data: bytes | bytearray) -> int:
    """The sum as SCTP has it, which writes its lowest byte first."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
