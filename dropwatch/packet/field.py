"""One field of a header as it is shown: its name, its bytes, and how they are written."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from dropwatch.names import protocols

Shown = str | int | None  # None: it is not there, or says nothing
REST = -1  # up to the end of the header


class Field(NamedTuple):
    """`size` bytes from `at` on. A field of which a byte is missing is not shown."""

    name: str
    at: int
    size: int
    show: Callable[[bytes], Shown]


def number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def hexadecimal(value: bytes) -> str:
    return f"0x{value.hex()}"


def octets(value: bytes) -> str | None:
    return value.hex(" ") or None


def address(value: bytes) -> str:
    """IPv4 or IPv6, by the number of bytes."""
    return str(ip_address(value))


def mac(value: bytes) -> str:
    """`02:42:ac:11:00:02`."""
    return value.hex(":")


def bits(shift: int, width: int, base: str = "d") -> Callable[[bytes], Shown]:
    """Some bits of the number."""

    def show(value: bytes) -> Shown:
        found = number(value) >> shift & (1 << width) - 1
        return found if base == "d" else f"0x{found:{base}}"

    return show


def named(
    names: Mapping[int, str], *, unknown: str | None = None, base: str = "d"
) -> Callable[[bytes], Shown]:
    """`3 (destination unreachable)`; the number alone where it has no name, if there is no word for that."""

    def show(value: bytes) -> Shown:
        found = number(value)
        text = f"0x{value.hex()}" if base == "x" else f"{found}"
        name = names.get(found, unknown)
        if name:
            return f"{text} ({name})"
        return found if base == "d" else text

    return show


def protocol(value: bytes) -> str:
    """`17 (udp)`, or only the number."""
    name = protocols.name(number(value))
    return f"{number(value)}" if name == str(number(value)) else f"{number(value)} ({name})"
