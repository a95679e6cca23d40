"""Times on the page, with the zone of the host; also those that cannot be."""

import pytest

from dropwatch.render.page.clock import Clock, duration

TIME = 1795205701.25


def test_local_time_with_its_zone() -> None:
    assert Clock(-12600).full(TIME) == "2026-11-20 16:45:01 -03:30"
    assert Clock(0).between(TIME, TIME) == "20:15:01.250000"
    assert Clock(0).between(TIME, TIME + 90) == "20:15:01.250000 to 20:16:31.250000, 1 min 30 s"
    assert Clock(0).span(TIME, None) == "2026-11-20 20:15:01 +00:00"
    assert Clock(0).span(TIME, 61.0).endswith(", 1 min 1 s")


def test_another_day_has_its_date() -> None:
    clock = Clock(0, TIME)
    assert clock.exact(TIME + 3600) == "21:15:01.250000"
    assert clock.exact(TIME + 86400) == "2026-11-21 20:15:01.250000"
    assert Clock(0, 1e300).exact(TIME) == "20:15:01.250000"


@pytest.mark.parametrize("time", [1e300, float("inf"), float("nan"), -1e18])
def test_a_time_that_cannot_be(time: float) -> None:
    assert Clock(10**9).full(time) == Clock(-(10**9)).exact(time) == "a time that cannot be"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0042, "4.2 ms"), (3.5, "3.5 s"), (12, "12.0 s"), (200, "3 min 20 s"), (7501, "2 h 05 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
