"""When packets died, by cause, in as many stretches as fit on a line, however long the run is."""

from collections import Counter

from dropwatch.model.report import Lane, Timeline

_MOST_STRETCHES = 120
_SHORTEST_MS = 1
_MOST_LANES = 256
_LATEST = 1 << 35  # seconds since 1970: a recording may say anything
OTHERS = "other causes"


class Stretches:
    """Counts in stretches of time, which double when there are too many: memory stays, the past gets coarser."""

    def __init__(self) -> None:
        self._ms = _SHORTEST_MS
        self._lanes: dict[str, Counter[int]] = {}
        self._first: int | None = None
        self._last = 0

    def add(self, cause: str, time: float, packets: int) -> None:
        """`time` is seconds since 1970."""
        if not 0 <= time < _LATEST:
            return
        if cause not in self._lanes and len(self._lanes) >= _MOST_LANES:
            cause = OTHERS
        at = int(time * 1000) // self._ms
        self._first = at if self._first is None else min(self._first, at)
        self._last = max(self._last, at)
        self._lanes.setdefault(cause, Counter())[at] += packets
        while self._last - self._first >= _MOST_STRETCHES:
            self._double()

    def timeline(self) -> Timeline:
        """All of it so far."""
        first = self._first or 0
        lanes = [
            Lane(cause, counts.total(), tuple(counts[at] for at in range(first, self._last + 1)))
            for cause, counts in self._lanes.items()
        ]
        lanes.sort(key=lambda lane: (-lane.packets, lane.cause))
        return Timeline(first * self._ms / 1000, self._ms / 1000, tuple(lanes))

    def _double(self) -> None:
        self._ms *= 2
        self._first, self._last = (self._first or 0) // 2, self._last // 2
        for cause, counts in self._lanes.items():
            halved: Counter[int] = Counter()
            for at, packets in counts.items():
                halved[at // 2] += packets
            self._lanes[cause] = halved
