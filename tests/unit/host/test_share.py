"""Time that is shared out."""

from dropwatch.host.share import Share
from tests.unit.host.clock import Clock


def test_what_was_saved_is_spent_first_and_then_there_is_a_share() -> None:
    clock = Clock(0)
    share = Share(0.1, 1.0, clock)
    assert share.is_left
    with share.spent():
        clock.now += 3
    clock.now += 9
    assert not share.is_left
    clock.now += 12
    assert share.is_left


def test_no_more_is_saved_than_is_allowed() -> None:
    clock = Clock(0)
    share = Share(0.1, 1.0, clock)
    clock.now += 1000
    assert share.is_left
    with share.spent():
        clock.now += 2
    assert not share.is_left


def test_what_is_inside_another_counts_once() -> None:
    clock = Clock(0)
    share = Share(0.0, 9.0, clock)
    with share.spent():
        clock.now += 4
        with share.spent():
            clock.now += 4
    assert share.is_left
    with share.spent():
        clock.now += 1
    assert not share.is_left


def test_what_takes_no_longer_than_it_may_does_not_count() -> None:
    clock = Clock(0)
    share = Share(0.1, 1.0, clock)
    for _ in range(100):
        with share.spent(beyond=1):
            clock.now += 1
    assert share.is_left
    with share.spent(beyond=1):
        clock.now += 2
    assert not share.is_left
