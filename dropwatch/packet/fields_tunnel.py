"""The fields of what wraps another packet."""

from collections.abc import Callable

from dropwatch.packet.field import REST, Field, Shown, bits, hexadecimal, named, number, octets, protocol
from dropwatch.packet.fields_link import ethertype
from dropwatch.packet.tunnel import gre_words

_GRE_CHECKSUM = 0x80
_L2TP_CONTROL, _L2TP_LENGTH = 0x80, 0x40
_GTP = {1: "echo request", 2: "echo response", 26: "error indication", 254: "end marker", 255: "user data"}
_WIREGUARD = {1: "handshake initiation", 2: "handshake response", 3: "cookie reply", 4: "data"}


def _gre(name: str, size: int, show: Callable[[bytes], Shown]) -> Field:
    def part(header: bytes) -> Shown:
        at = gre_words(number(header[:2])).get(name)
        return show(header[at : at + size]) if at is not None and at + size <= len(header) else None

    return Field(name, 0, REST, part)


def _gre_checksum(header: bytes) -> str | None:
    return hexadecimal(header[4:6]) if header[0] & _GRE_CHECKSUM and len(header) >= 6 else None


def _gre_routing(header: bytes) -> str | None:
    """Source routes (RFC 1701) behind the other words."""
    at = gre_words(number(header[:2])).get("routing")
    return octets(header[at:]) if at is not None else None


def _l2tp(name: str) -> Field:
    """Version 2 has a tunnel and a session of two bytes each, behind a length if there is one; version 3 a session."""

    def part(header: bytes) -> Shown:
        if header[1] & 0xF == 3:
            at, size = 4, 4 if name == "session" else 0
        else:
            at, size = (4 if header[0] & _L2TP_LENGTH else 2) + (2 if name == "session" else 0), 2
        return number(header[at : at + size]) if size and at + size <= len(header) else None

    return Field(name, 0, REST, part)


SHOWN: dict[str, tuple[str, tuple[Field, ...]]] = {
    "esp": ("ESP", (Field("spi", 0, 4, hexadecimal), Field("seq", 4, 4, number))),
    "ah": (
        "AH",
        (
            Field("next", 0, 1, protocol),
            Field("spi", 4, 4, hexadecimal),
            Field("seq", 8, 4, number),
            Field("icv", 12, REST, bytes.hex),
        ),
    ),
    "comp": ("IPComp", (Field("next", 0, 1, protocol), Field("cpi", 2, 2, hexadecimal))),
    "tcp-encapsulation": ("TCP encapsulation", (Field("length", 0, 2, number),)),
    "gre": (
        "GRE",
        (
            Field("protocol", 2, 2, ethertype),
            Field("version", 1, 1, lambda value: value[0] & 7 or None),
            Field("checksum", 0, REST, _gre_checksum),
            _gre("key", 4, hexadecimal),
            _gre("seq", 4, number),
            _gre("ack", 4, number),
            Field("routing", 0, REST, _gre_routing),
        ),
    ),
    "vxlan": ("VXLAN", (Field("flags", 0, 1, hexadecimal), Field("vni", 4, 3, number))),
    "geneve": (
        "Geneve",
        (Field("vni", 4, 3, number), Field("protocol", 2, 2, ethertype), Field("options", 8, REST, octets)),
    ),
    "l2tp": (
        "L2TP",
        (
            Field("version", 1, 1, bits(0, 4)),
            Field("message", 0, 1, lambda value: "control" if value[0] & _L2TP_CONTROL else "data"),
            _l2tp("tunnel"),
            _l2tp("session"),
        ),
    ),
    "l2tp-ip": ("L2TP", (Field("version", 0, 0, lambda _: 3), Field("session", 0, 4, number))),
    "gtp": ("GTP-U", (Field("message", 1, 1, named(_GTP)), Field("teid", 4, 4, hexadecimal))),
    "wireguard": (
        "WireGuard",
        (
            Field("type", 0, 1, named(_WIREGUARD)),
            Field("index", 4, 4, lambda value: f"0x{value[::-1].hex()}"),
            Field("counter", 0, REST, lambda header: number(header[15:7:-1]) if header[0] == 4 else None),
        ),
    ),
}
