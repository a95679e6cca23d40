"""The header of a frame of Ethernet, which a bridge goes by."""

from typing import NamedTuple

BROADCAST = b"\xff" * 6
_TAGS = (0x8100, 0x88A8)  # IEEE 802.1Q and 802.1ad
_PAUSE = bytes.fromhex("0180c2000001")  # of MAC control, IEEE 802.3 annex 31B


class FrameHeader(NamedTuple):
    """`vid` is None for a frame without a tag, 0 where the tag has a priority only."""

    destination: bytes
    source: bytes
    vid: int | None

    @property
    def is_for_many(self) -> bool:
        return bool(self.destination[0] & 1)

    @property
    def is_pause(self) -> bool:
        return self.destination == _PAUSE

    @property
    def has_a_sender(self) -> bool:
        """As is_valid_ether_addr (linux/etherdevice.h) wants it."""
        return any(self.source) and not self.source[0] & 1


def frame_header(link: bytes) -> FrameHeader | None:
    """None where the bytes are no such header, with or without a tag."""
    if len(link) not in (14, 18):
        return None
    vid = None
    if len(link) == 18 and int.from_bytes(link[12:14], "big") in _TAGS:
        vid = int.from_bytes(link[14:16], "big") & 0xFFF
    return FrameHeader(link[:6], link[6:12], vid)


def mac(address: bytes) -> str:
    """As ip and bridge print it."""
    return address.hex(":")
