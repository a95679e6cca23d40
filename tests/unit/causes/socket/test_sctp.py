"""SCTP without an association, and wrong checksums, which come first."""

import struct
from collections.abc import Callable

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.model.drop import Drop
from dropwatch.packet.sctp import crc32c
from tests.unit.packet import packets
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
INIT, ABORT, END = 1, 6, 14


def sctp(chunk: int, *, spoilt: int = 0, left_to_the_card: bool = False) -> bytes:
    bare = struct.pack("!HHII", 40000, 5900, 5, 0) + struct.pack("!BBH", chunk, 0, 4)
    written = 0 if left_to_the_card else crc32c(bare) ^ spoilt
    return packets.ipv4(132, bare[:8] + written.to_bytes(4, "little") + bare[12:])


def judged(drop: Drop) -> tuple[str, str]:
    cause, verdict = diagnose(drop, ToldHost())
    return (cause.id if cause is not None else "unknown"), verdict.confidence


@pytest.mark.parametrize("chunk", [ABORT, END])
@pytest.mark.parametrize("left_to_the_card", [False, True])
def test_what_ends_no_association(died: Died, chunk: int, left_to_the_card: bool) -> None:
    packet = sctp(chunk, left_to_the_card=left_to_the_card)
    assert judged(died("sctp_rcv", packet)) == ("socket.sctp-no-association", "likely")


def test_others_are_answered(died: Died) -> None:
    assert judged(died("sctp_rcv", sctp(INIT))) == ("unknown", "unknown")


@pytest.mark.parametrize("chunk", [INIT, ABORT])
def test_a_wrong_checksum(died: Died, chunk: int) -> None:
    assert judged(died("sctp_rcv", sctp(chunk, spoilt=1))) == ("malformed.sctp-checksum", "certain")
    assert judged(died("sctp_rcv", sctp(chunk, spoilt=1)[:-2])) != ("malformed.sctp-checksum", "certain")
