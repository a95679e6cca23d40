"""Times as they were asked for: all of one moment."""

import time
from collections.abc import Iterator

import pytest

from dropwatch.render.clock import TIMES, Times, time_words

MOMENT = 1_795_900_501.5


@pytest.fixture(autouse=True)
def zone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as here:
        here.setenv("TZ", "<TST>-5:30")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ("clock", "02:45:01.500000"),
        ("date", "2026-11-29 02:45:01.500000 +0530"),
        ("utc", "2026-11-28T21:15:01.500000Z"),
        ("epoch", "1795900501.500000"),
        ("none", ""),
    ],
)
def test_each_way_to_write_it(times: Times, words: str) -> None:
    assert time_words(MOMENT, times) == words
    assert times in TIMES
