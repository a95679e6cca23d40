"""Times on the page: those of the machine that saw the drops, with their zone."""

from datetime import datetime, timedelta, timezone

_NO_TIME = "a time that cannot be"


class Clock:
    """`utc_offset` is what the local time is ahead of UTC, in seconds. Times are seconds since 1970.

    A time that is not of the day of `began` has its date.
    """

    def __init__(self, utc_offset: int, began: float | None = None) -> None:
        self._zone = timezone(timedelta(seconds=max(-86399, min(utc_offset, 86399))))
        self._began = None if began is None else self._at(began)

    def full(self, seconds: float) -> str:
        """`2026-11-20 20:15:01 +00:00`."""
        found = self._at(seconds)
        return f"{found:%Y-%m-%d %H:%M:%S} {found.isoformat()[-6:]}" if found is not None else _NO_TIME

    def exact(self, seconds: float) -> str:
        """`20:15:01.123456`, another day `2026-11-21 20:15:01.123456`."""
        found = self._at(seconds)
        if found is None:
            return _NO_TIME
        other_day = self._began is not None and found.date() != self._began.date()
        return f"{found:%Y-%m-%d %H:%M:%S.%f}" if other_day else f"{found:%H:%M:%S.%f}"

    def between(self, first: float, last: float) -> str:
        """`20:15:01.123456`, or from that to another."""
        if first == last:
            return self.exact(first)
        return f"{self.exact(first)} to {self.exact(last)}, {duration(last - first)}"

    def span(self, began: float, seconds: float | None) -> str:
        """When a run began, and how long it watched."""
        return self.full(began) + (f", {duration(seconds)}" if seconds is not None else "")

    def _at(self, seconds: float) -> datetime | None:
        try:
            return datetime.fromtimestamp(seconds, self._zone)
        except (ValueError, OverflowError, OSError):
            return None


def duration(seconds: float) -> str:
    """`35 ms`, `3.5 s`, `12.0 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole // 60 % 60:02} min"
