"""What the kernel counts of drops by their sorts: its rows, and room for new ones."""

import struct
from collections import Counter
from collections.abc import Iterable

from dropwatch.probe.programs.loader import Loader
from dropwatch.wire.decoder import FOLDED, NEW_ROWS
from dropwatch.wire.drop import netns_of

_MANY_ROWS = 4096  # half of what there is room for
_SECOND_SHIFT = 30  # of nanoseconds, in a row's count


class KernelRows:
    """Those of the programs that the loader has."""

    _loader: Loader

    def __init__(self) -> None:
        self._folded = self._forgotten = 0

    def rows(self) -> dict[bytes, int]:
        """How many packets of each sort have died: by Event.row. Only in a summary."""
        return dict(self._loader.items("rows"))

    def folded(self, *, anyway: bool) -> dict[bytes, tuple[int, int]] | None:
        """By Event.row: how many packets were only counted, and when the last one came (in ns, about).

        None where nothing is new, unless it is asked `anyway`: no such packets, nor so many rows that some should make
        room.
        """
        folded = self._loader.sum("unsent", FOLDED)
        crowded = self._loader.sum("unsent", NEW_ROWS) - self._forgotten > _MANY_ROWS
        if folded == self._folded and not (crowded or anyway):
            return None
        self._folded = folded
        rows = self._loader.elements("rows")
        return {
            row: (sum(packets for packets, _ in each), _last_ns(second for _, second in each))
            for row, each in rows
        }

    def forget(self, rows: Iterable[bytes]) -> None:
        """Makes room for others. They may come again, and count anew."""
        gone = list(rows)
        for row in gone:
            self._loader.delete("rows", row)
        self._forgotten += len(gone)
        if not gone:
            return
        # Also of those that lost no row: where there was no room for one it counts all the same.
        left = Counter(netns_of(row) for row, _ in self._loader.elements("rows"))
        for netns, have in list(self._loader.items("row_owners")):
            now = left[struct.unpack("=I", netns)[0]]
            if have != now:
                self._loader.put("row_owners", netns, struct.pack("=I", now))

    def flows(self) -> list[tuple[bytes, int]]:
        """What died by flow (struct flow of bpf/flow.c), of many flows only some. Only in a summary."""
        return list(self._loader.items("flows"))


def _last_ns(seconds: Iterable[int]) -> int:
    """The end of the last of them; beside it stands how many were sent in it."""
    return max(second & 0xFFFFFFFF for second in seconds) + 1 << _SECOND_SHIFT
