"""How long after a drop something was read."""

from collections.abc import Callable

import pytest

from dropwatch.causes.delay import delay, untimed
from dropwatch.model.drop import Drop


@pytest.mark.parametrize(
    ("later_ns", "words"),
    [
        (12_000_000, ("12.0 ms after the drop", "after the drop")),
        (2_042_000_000, ("2.0 s after the drop", "after the drop")),
        (0, ("0.0 ms after the drop", "after the drop")),
        (-3_250_000, ("3.2 ms before the drop", "before the drop")),
        (None, ("now", "now")),
    ],
)
def test_with_and_without_the_time(
    make_drop: Callable[..., Drop], later_ns: int | None, words: tuple[str, str]
) -> None:
    drop = make_drop()
    read_at_ns = None if later_ns is None else drop.event.monotonic_ns + later_ns
    assert (delay(drop, read_at_ns), untimed(drop, read_at_ns)) == words
