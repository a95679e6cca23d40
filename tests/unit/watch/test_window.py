"""A stretch of time, as people write it."""

import time
from datetime import datetime

import pytest

from dropwatch.errors import WrongUsage
from dropwatch.watch.window import size, window

NOW = datetime(2026, 11, 28, 15, 30).timestamp()


def at(*words: int) -> float:
    return datetime(*words).timestamp()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "begin", "end"),
    [
        ("", NOW - 3600, NOW),
        ("2h", NOW - 7200, NOW),
        ("1h30m", NOW - 5400, NOW),
        ("2h..1h", NOW - 7200, NOW - 3600),
        ("1h..2h", NOW - 7200, NOW - 3600),
        ("14:00", at(2026, 11, 28, 14), NOW),
        ("14:00..14:05", at(2026, 11, 28, 14), at(2026, 11, 28, 14, 5)),
        ("23:50..00:10", at(2026, 11, 27, 23, 50), at(2026, 11, 28, 0, 10)),
        ("2026-11-27 14:00..14:05", at(2026, 11, 27, 14), at(2026, 11, 27, 14, 5)),
        ("2026-11-27 14:00..2026-11-28 01:00", at(2026, 11, 27, 14), at(2026, 11, 28, 1)),
        ("2026-11-27", at(2026, 11, 27), at(2026, 11, 28)),
        ("2026-11-27T14:00:00Z..now", at(2026, 11, 27, 14) - time.timezone, NOW),
    ],
)
def test_windows(words: str, begin: float, end: float) -> None:
    assert window(words, None, None, NOW) == (begin, end)


def test_since_and_until() -> None:
    assert window("", "2h", "1h", NOW) == (NOW - 7200, NOW - 3600)
    assert window("", "14:00", None, NOW) == (at(2026, 11, 28, 14), NOW)
    assert window("", None, "14:00", NOW) == (at(2026, 11, 28, 13), at(2026, 11, 28, 14))


@pytest.mark.parametrize("words", ["soon", "25:00", "2026-13-01", "..", "14:00..x", "now", "-1h"])
def test_what_is_no_window(words: str) -> None:
    with pytest.raises(WrongUsage) as told:
        window(words, None, None, NOW)
    assert told.value.hint


def test_both_at_once() -> None:
    with pytest.raises(WrongUsage, match="say the same"):
        window("1h", "2h", None, NOW)


def test_sizes() -> None:
    assert (size("--size", "256M"), size("--size", "1GiB"), size("--size", "4096")) == (
        1 << 28,
        1 << 30,
        4096,
    )
    with pytest.raises(WrongUsage):
        size("--size", "much")
