"""A stretch of time in the words of a user: `1h`, `14:00..14:05`, `2026-11-28 14:00..14:05`."""

import re
from datetime import datetime, timedelta
from pathlib import Path

from dropwatch.errors import WrongUsage
from dropwatch.run.wanted import values

USUAL = "1h"
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", re.ASCII)
_HINT = "for example: 1h, 14:00..14:05, '2026-11-28 14:00..14:05', --since 2h --until 1h"
_DAY = 86400.0
_WORDS = re.compile(r"(now|[0-9])[0-9dhmsnowTZ:.+ -]*", re.ASCII)


def is_window(word: str) -> bool:
    """Whether this can only be one: no file has that name."""
    return _WORDS.fullmatch(word) is not None and not Path(word).exists()


def window(words: str, since: str | None, until: str | None, now: float) -> tuple[float, float]:
    """From when to when, in seconds since 1970; times without a zone are local. Raises WrongUsage."""
    if words and (since is not None or until is not None):
        raise WrongUsage("a window and --since or --until say the same", "leave out one of them")
    if not words:
        end = now if until is None else _moment("--until", until, now)
        begin = end - values.seconds("WINDOW", USUAL) if since is None else _moment("--since", since, now)
    elif ".." in words:
        left, _, right = words.partition("..")
        begin = _moment("WINDOW", left.strip(), now)
        end = _moment("WINDOW", right.strip() or "now", now, after=begin)
        if end < begin and not _is_clock(left) and not _is_clock(right):
            begin, end = end, begin  # 1h..2h
    else:
        begin, end = _moment("WINDOW", words, now), now
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", words):
            end = begin + _DAY
    if begin >= end:
        raise WrongUsage("the window ends before it begins", _HINT)
    return begin, end


def _moment(option: str, text: str, now: float, after: float | None = None) -> float:
    """A time of day is the last one that has been, or the first one `after`."""
    if text in ("now", "0"):
        return now
    try:
        clock = _CLOCK.fullmatch(text)
        if clock is not None:
            base = datetime.fromtimestamp(now if after is None else after)
            hour, minute, second = (int(part or 0) for part in clock.groups())
            found = base.replace(hour=hour, minute=minute, second=second, microsecond=0)
            if after is None and found.timestamp() > now:
                found -= timedelta(days=1)
            if after is not None and found.timestamp() <= after:
                found += timedelta(days=1)
            return found.timestamp()
        if re.match(r"[0-9]{4}-", text):
            return datetime.fromisoformat(re.sub(r"Z$", "+00:00", text)).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise values.refuse(option, text, "no such time", _HINT) from error
    try:
        return now - values.seconds(option, text)
    except WrongUsage as error:
        raise WrongUsage(error.message, _HINT) from error


def _is_clock(text: str) -> bool:
    return _CLOCK.fullmatch(text.strip()) is not None


def size(option: str, text: str) -> int:
    """Bytes: `256M`, `1G`."""
    found = re.fullmatch(r"([0-9]{1,9})([KMGT]?)(?:i?B)?", text, re.ASCII | re.IGNORECASE)
    if found is None:
        raise values.refuse(option, text, "not a size", "for example: 256M, 1G")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[found[2].upper()]
