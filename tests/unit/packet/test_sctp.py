"""Packets of SCTP: the first chunk, and the checksum."""

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.model.drop import Drop, Event
from dropwatch.packet.parse import parse_event
from dropwatch.packet.rewrite import rewritten
from dropwatch.packet.sctp import Sctp, crc32c, sctp
from dropwatch.packet.walk import walk_event
from tests.unit.packet import packets

BARE = struct.pack("!HHII", 40000, 5900, 5, 0) + struct.pack("!BBH", 6, 0, 4)


def test_the_sum_that_everybody_knows() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C


@pytest.fixture
def packet(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Callable[..., Drop]:
    def build(body: bytes, missing: int = 0) -> Drop:
        whole = packets.ipv4(132, body)
        event = make_event(packet=whole[: len(whole) - missing], length=len(whole), protocol=0x0800)
        return replace(make_drop(event=event), packet=parse_event(event))

    return build


def test_the_first_chunk_and_the_sum(packet: Callable[..., Drop]) -> None:
    assert sctp(packet(BARE)) == Sctp(6, 0, crc32c(BARE))


def test_without_its_end(packet: Callable[..., Drop]) -> None:
    assert sctp(packet(BARE, missing=2)) == Sctp(6, 0, None)
    assert sctp(packet(BARE, missing=4)) == Sctp(None, 0, None)
    assert sctp(packet(BARE, missing=5)) is None


@pytest.mark.parametrize("spoilt", [0, 7], ids=["right", "wrong"])
def test_without_payload_a_sum_is_as_right_as_before(packet: Callable[..., Drop], spoilt: int) -> None:
    with_data = BARE + b"the reason of the abort, sixteen words or more"
    body = with_data[:8] + (crc32c(with_data) ^ spoilt).to_bytes(4, "little") + with_data[12:]
    drop = packet(body)
    bare = rewritten(walk_event(drop.event), payload=False)
    assert b"reason" not in bare
    found = sctp(replace(drop, event=replace(drop.event, packet=bare)))
    assert found is not None
    assert found.right is not None
    assert (found.chunk, found.stands ^ found.right) == (6, spoilt)


def test_a_sum_that_nobody_made_stays_so(packet: Callable[..., Drop]) -> None:
    drop = packet(BARE + b"data")
    bare = rewritten(walk_event(drop.event), payload=False)
    found = sctp(replace(drop, event=replace(drop.event, packet=bare)))
    assert found is not None
    assert (found.chunk, found.stands) == (6, 0)
