"""Asks a network driver for its own counters, as `ethtool -S` does."""

import array
import fcntl
import re
import socket
import struct

from dropwatch.model.pattern import pattern
from dropwatch.names.foreign import foreign, raw_name

_SIOCETHTOOL = 0x8946  # include/uapi/linux/sockios.h
# include/uapi/linux/ethtool.h
_GDRVINFO, _GSTRINGS, _GSTATS = 0x03, 0x1B, 0x1D
_DRVINFO_BYTES = 196  # struct ethtool_drvinfo
_N_STATS_OFFSET = 180
_SET_OF_STATISTICS = 1  # ETH_SS_STATS
_STRING_BYTES = 32  # ETH_GSTRING_LEN
_REQUEST = struct.Struct("16sP16x")  # struct ifreq: name, pointer
_NAME_BYTES = 15  # IFNAMSIZ without its end
_MOST = 1 << 16
_OF_LOSSES = pattern(r"drop|missed|fifo|discard|no_?buf|overrun", re.IGNORECASE)
# They may be about a cache, a filter's table, a checksum that the card left to the kernel, or something tried again.
_OF_TROUBLE = pattern(r"miss|err|alloc_fail|bad_|starv", re.IGNORECASE)


def speaks_of_losses(name: str) -> bool:
    """Whether a driver that calls a counter so most likely counts packets that were lost."""
    return _OF_LOSSES.search(name) is not None


def trouble_counters(device: str) -> dict[str, int]:
    """The driver's counters whose names speak of losses or errors; those of one name are added up.

    Empty for a driver that has none, or a device that is gone; the thread must be in the device's namespace.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        try:
            return _read(connection, device)
        except OSError:
            return {}


def _read(connection: socket.socket, device: str) -> dict[str, int]:
    about = array.array("B", struct.pack("=I", _GDRVINFO).ljust(_DRVINFO_BYTES, b"\0"))
    _ask(connection, device, about)
    (count,) = struct.unpack_from("=I", about, _N_STATS_OFFSET)
    if not 0 < count <= _MOST:
        return {}
    names = array.array(
        "B", struct.pack("=III", _GSTRINGS, _SET_OF_STATISTICS, count) + bytes(count * _STRING_BYTES)
    )
    _ask(connection, device, names)
    values = array.array("B", struct.pack("=II", _GSTATS, count) + bytes(count * 8))
    _ask(connection, device, values)
    return counters_of(names.tobytes(), values.tobytes())


def _ask(connection: socket.socket, device: str, buffer: "array.array[int]") -> None:
    request = bytearray(_REQUEST.pack(raw_name(device)[:_NAME_BYTES], buffer.buffer_info()[0]))
    fcntl.ioctl(connection.fileno(), _SIOCETHTOOL, request)


def counters_of(names: bytes, values: bytes) -> dict[str, int]:
    """From struct ethtool_gstrings and struct ethtool_stats, as the kernel filled them."""
    count = min(struct.unpack_from("=I", names, 8)[0], struct.unpack_from("=I", values, 4)[0])
    found: dict[str, int] = {}
    for at in range(min(count, (len(names) - 12) // _STRING_BYTES, (len(values) - 8) // 8)):
        raw = names[12 + at * _STRING_BYTES : 12 + (at + 1) * _STRING_BYTES]
        name = foreign(raw.split(b"\0")[0].strip())
        if speaks_of_losses(name) or _OF_TROUBLE.search(name):
            found[name] = found.get(name, 0) + int(struct.unpack_from("=Q", values, 8 + at * 8)[0])
    return found
