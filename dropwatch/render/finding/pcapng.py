"""Findings as a capture for Wireshark: one packet each, the finding as its comment.

The format is https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-04.html: a section header, a
description of each interface before its first packet, and the packets. All numbers are little-endian.
"""

import struct
from collections.abc import Callable

from dropwatch.model.drop import Drop, Event, Finding
from dropwatch.names.foreign import printable
from dropwatch.packet.ip import VERSIONS
from dropwatch.packet.walk import walk_event
from dropwatch.render.finding import phrases

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_COMMENT, _END = 1, 0
_SHB_OS, _SHB_APPLICATION = 3, 4
_IF_NAME, _IF_DESCRIPTION, _IF_RESOLUTION = 2, 3, 9
_EPB_FLAGS = 2
_NANOSECONDS = b"\x09"  # 10 to the power of -9 seconds
_DIRECTIONS = {"in": 1, "out": 2}

# https://www.tcpdump.org/linktypes.html. Event.packet begins at the network header: IP stands by itself. For anything
# else the kernel's own cooked header says what it is, without an Ethernet header being invented.
_RAW_IP, _LINUX_COOKED = 101, 276
_COOKED = struct.Struct(">HHIHBB8s")  # protocol, reserved, interface index, ARPHRD type, packet type, address
_COOKED_PACKET_TYPE = {"out": 4}
_OTHER_HARDWARE = 0xFFFE  # ARPHRD_NONE
_LONGEST_OPTION = 0xFFFF
_SNAP = 0  # no limit
_CLOCK_MAY_DRIFT_NS = 1_000_000

APPLICATION = "whydrop"


class Pcapng:
    """The blocks of one capture. `shorten` gives the bytes of a packet that are kept; `edit` the comment's text."""

    def __init__(
        self, shorten: Callable[[Event], bytes], edit: Callable[[str], str] = lambda text: text
    ) -> None:
        self._shorten = shorten
        self._edit = edit
        self._interfaces: dict[tuple[int, int, str | None, int], int] = {}
        self._offset: int | None = None

    def section(self, version: str, system: str) -> bytes:
        """The first block. Its length is left open, so that packets can follow for as long as the run takes."""
        body = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
        options = [
            (_SHB_OS, system.encode()),
            (_SHB_APPLICATION, f"{APPLICATION} {version}".encode()),
        ]
        return _block(_SECTION, body + _options(options))

    def finding(self, finding: Finding) -> bytes:
        """A packet, behind the description of its interface when that is new."""
        drop = finding.drop
        data = self._shorten(drop.event)
        link = _link_type(drop.event)
        whole = max(len(data), drop.packet.length, 0 if drop.packet.length else drop.event.length)
        if link == _LINUX_COOKED:
            head = _cooked_header(drop)
            data, whole = head + data, whole + len(head)
        described, number = self._interface(drop, link)
        time = self._time_ns(drop)
        body = struct.pack("<IIIII", number, time >> 32, time & 0xFFFFFFFF, len(data), whole)
        options = [(_COMMENT, self._edit(comment(finding)).encode(errors="replace"))]
        direction = _DIRECTIONS.get(drop.where.direction or "", 0)
        options.append((_EPB_FLAGS, struct.pack("<I", direction)))
        return described + _block(_PACKET, body + _padded(data) + _options(options))

    def _interface(self, drop: Drop, link: int) -> tuple[bytes, int]:
        """The block that describes it, empty when it was described before, and its number."""
        index, name = (drop.iface.index, drop.iface.name) if drop.iface is not None else (0, None)
        key = (drop.event.netns, index, name, link)
        known = self._interfaces.get(key)
        if known is not None:
            return b"", known
        number = self._interfaces[key] = len(self._interfaces)
        options = [
            (
                _IF_NAME,
                (name or (f"interface {index}" if index else "no interface")).encode(errors="replace"),
            ),
            (_IF_DESCRIPTION, self._edit(_description(drop, index)).encode(errors="replace")),
            (_IF_RESOLUTION, _NANOSECONDS),
        ]
        return _block(_INTERFACE, struct.pack("<HHI", link, 0, _SNAP) + _options(options)), number

    def _time_ns(self, drop: Drop) -> int:
        """Since 1970. Differences between packets are the kernel's monotonic clock's, unless the clock was set."""
        offset = round(drop.time * 1e9) - drop.event.monotonic_ns
        if self._offset is None or abs(offset - self._offset) > _CLOCK_MAY_DRIFT_NS:
            self._offset = offset
        return max(0, drop.event.monotonic_ns + self._offset) & 0xFFFFFFFFFFFFFFFF


def comment(finding: Finding) -> str:
    """What the live text says, in lines without a width."""
    drop = finding.drop
    layer = f", layer {drop.where.layer}" if drop.where.layer else ""
    lines = [
        f"whydrop: {finding.title} [{finding.cause_id}, {finding.confidence}]",
        f"where: {phrases.place(drop.where.frame)}{layer}",
        f"reason: {drop.reason or 'this kernel gave none'}",
    ]
    if finding.culprit is not None:
        lines.append(f"by: {phrases.object_words(finding.culprit.kind)} {finding.culprit.text}")
    process = finding.owner or drop.process
    if process is not None:
        lines.append(f"task: {phrases.process(process)}")
    if finding.match.how != "direct":
        lines.append(
            f"match: {finding.match.how}{': ' if finding.match.why else ''}{finding.match.why or ''}"
        )
    lines += [f"seen: {evidence.source}: {evidence.text}" for evidence in finding.evidence]
    for fix in finding.fix:
        lines.append(f"do: {fix.text}" + (f": {fix.command}" if fix.command is not None else ""))
    return "\n".join(map(printable, lines))


def _description(drop: Drop, index: int) -> str:
    where = f"network namespace {drop.event.netns}" if drop.event.netns else "an unknown network namespace"
    if drop.netns is not None and drop.netns.name:
        where += f" ({drop.netns.name})"
    return f"{where}, interface index {index}" if index else where


def _link_type(event: Event) -> int:
    first = next(iter(walk_event(event).layers), None)
    is_ip = first is not None and first.kind in VERSIONS and first.problem != "version" and first.room
    return _RAW_IP if is_ip else _LINUX_COOKED


def _cooked_header(drop: Drop) -> bytes:
    kind = _COOKED_PACKET_TYPE.get(drop.where.direction or "", 0)
    index = drop.iface.index if drop.iface is not None else 0
    return _COOKED.pack(
        drop.event.protocol & 0xFFFF, 0, index & 0xFFFFFFFF, _OTHER_HARDWARE, kind, 0, bytes(8)
    )


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _options(options: list[tuple[int, bytes]]) -> bytes:
    found = b""
    for code, value in options:
        value = _fitting(value)
        found += struct.pack("<HH", code, len(value)) + _padded(value)
    return found + struct.pack("<HH", _END, 0)


def _fitting(value: bytes) -> bytes:
    """Whole lines of it: half a command is another one."""
    if len(value) <= _LONGEST_OPTION:
        return value
    return value[:_LONGEST_OPTION].rpartition(b"\n")[0]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
