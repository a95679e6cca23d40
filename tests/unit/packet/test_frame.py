"""The header of a frame of Ethernet, with and without a tag."""

import pytest

from dropwatch.packet.frame import FrameHeader, frame_header, mac

TO, FROM = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


@pytest.mark.parametrize(
    ("rest", "vid"),
    [("0800", None), ("8100e01e0800", 30), ("88a800010800", 1), ("810020000800", 0), ("910000010800", None)],
)
def test_a_header(rest: str, vid: int | None) -> None:
    assert frame_header(TO + FROM + bytes.fromhex(rest)) == FrameHeader(TO, FROM, vid)


@pytest.mark.parametrize("length", [0, 12, 13, 16, 20])
def test_what_is_none(length: int) -> None:
    assert frame_header(bytes(length)) is None


@pytest.mark.parametrize(
    ("source", "valid"), [("020000000002", True), ("000000000000", False), ("010000000002", False)]
)
def test_whether_it_has_a_sender(source: str, valid: bool) -> None:
    assert FrameHeader(TO, bytes.fromhex(source), None).has_a_sender is valid


def test_words() -> None:
    assert mac(TO) == "02:00:00:00:00:01"
    assert FrameHeader(bytes.fromhex("0180c2000001"), FROM, None).is_pause
    assert FrameHeader(bytes.fromhex("0180c2000001"), FROM, None).is_for_many
    assert not FrameHeader(TO, FROM, None).is_for_many
