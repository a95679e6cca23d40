"""What has been counted and is not on disk yet: bounded, whatever dies and however long the disk is full."""

import json
import zlib
from dataclasses import replace

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.encode import encode
from dropwatch.watch.sorts import Key, Sorts

MOST_COUNTS = 16384
MOST_BODIES = 4096


@dataclass(slots=True)
class Count:
    """Packets of one sort in one minute, and when the first and the last of them died."""

    packets: int
    first: float
    last: float


class Pending:
    """Takes findings. Where it is full those that are new are counted by cause only; then not at all: `unstored`."""

    def __init__(self, sorts: Sorts) -> None:
        self._sorts = sorts
        self._hour = 0
        self._written: set[tuple[str, int]] = set()  # bodies that are on disk, of the newest hour
        self._told: dict[tuple[int, Key], Finding] = {}  # of counts whose body is on disk
        self.counts: dict[tuple[int, Key], Count] = {}
        self.bodies: dict[tuple[int, Key], bytes] = {}
        self.unstored = 0

    def add(self, finding: Finding) -> None:
        """A finding, with as many packets as it stands for."""
        time = finding.drop.time
        minute, hour = int(time // 60), int(time // 3600)
        key = self._sorts.key_of(finding)
        if (minute, key) not in self.counts and self._is_full():
            key = self._sorts.key_of(finding, coarse=True)
        count = self.counts.get((minute, key))
        if count is None:
            if len(self.counts) >= 2 * MOST_COUNTS:
                self.unstored += finding.count
                return
            count = self.counts[minute, key] = Count(0, time, time)
        count.packets += finding.count
        count.first, count.last = min(count.first, time), max(count.last, time)
        if (key.text, hour) in self._written:
            self._told.setdefault((hour, key), finding)
        elif (hour, key) not in self.bodies:
            self.bodies[hour, key] = body_of(finding)

    def stored(self) -> None:
        """All of it is on disk."""
        newest = max((hour for hour, _ in self.bodies), default=self._hour)
        if newest > self._hour:
            self._hour = newest
            self._written.clear()
        self._written.update((key.text, hour) for hour, key in self.bodies if hour == self._hour)
        self.counts.clear()
        self.bodies.clear()
        self._told.clear()
        self.unstored = 0

    def forget_stored(self) -> None:
        """What was on disk is not there any more."""
        self._written.clear()
        self.bodies.update((at, body_of(finding)) for at, finding in self._told.items())
        self._told.clear()

    def _is_full(self) -> bool:
        return len(self.counts) >= MOST_COUNTS or len(self.bodies) + len(self._told) >= MOST_BODIES


def body_of(finding: Finding) -> bytes:
    """As the store keeps it: one packet, which says nothing of how many there were. Payload is not kept."""
    return zlib.compress(json.dumps(encode(Editor().finding(replace(finding, count=1)))).encode())
