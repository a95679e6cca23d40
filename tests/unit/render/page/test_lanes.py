"""The timeline as it is drawn: bars in proportion, and also for who does not see them."""

from dropwatch.model.report import Lane, Timeline
from dropwatch.render.page.clock import Clock
from dropwatch.render.page.lanes import HEIGHT, lanes

CLOCK = Clock(0)


def test_nothing_is_no_timeline() -> None:
    assert lanes(Timeline(0.0, 1.0), CLOCK) is None


def test_bars_are_in_proportion_and_one_packet_among_thousands_is_seen() -> None:
    found = lanes(Timeline(1795205701.0, 0.5, (Lane("a", 3001, (1, 0, 3000)),)), CLOCK)
    assert found is not None
    assert (found["width"], found["most"], found["stretch"]) == (3, 3000, "500 ms")
    assert (found["began"], found["ended"]) == ("20:15:01.000000", "20:15:02.500000")
    (lane,) = found["lanes"]
    assert lane["path"] == f"M0 {HEIGHT}v-2h1v2zM2 {HEIGHT}v-{HEIGHT}h1v{HEIGHT}z"
    assert lane["words"] == "from 20:15:01.000000 to 20:15:02.500000, at most 3,000 in 500 ms"


def test_many_causes_are_the_first_and_the_others() -> None:
    many = tuple(Lane(f"c{number}", 40 - number, (40 - number,)) for number in range(20))
    found = lanes(Timeline(0.0, 1.0, many), CLOCK)
    assert found is not None
    shown = found["lanes"]
    assert [lane["cause"] for lane in shown] == [*(f"c{number}" for number in range(11)), "other causes"]
    assert sum(lane["packets"] for lane in shown) == sum(lane.packets for lane in many)
