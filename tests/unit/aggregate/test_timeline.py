"""When packets died: every packet in one stretch, and never more stretches than fit."""

from dropwatch.aggregate import timeline
from dropwatch.aggregate.timeline import OTHERS, Stretches

START = 1795205701.0


def test_nothing() -> None:
    assert Stretches().timeline().lanes == ()


def test_each_packet_is_in_the_stretch_of_its_time() -> None:
    found = Stretches()
    found.add("a", START + 0.002, 3)
    found.add("b", START, 2)
    found.add("a", START, 1)
    line = found.timeline()
    assert (line.began, line.seconds) == (START, 0.001)
    assert [(lane.cause, lane.packets, lane.counts) for lane in line.lanes] == [
        ("a", 4, (1, 0, 3)),
        ("b", 2, (2, 0, 0)),
    ]


def test_a_long_run_has_longer_stretches_and_the_same_packets() -> None:
    found = Stretches()
    for second in range(10_007):
        found.add("a" if second % 3 else "b", START + second, 1)
    found.add("a", START - 5000, 2)  # an event that is told late
    line = found.timeline()
    assert sum(lane.packets for lane in line.lanes) == sum(sum(lane.counts) for lane in line.lanes) == 10_009
    assert {len(lane.counts) for lane in line.lanes} <= set(range(60, 121))
    assert line.began <= START - 5000 < line.began + line.seconds


def test_causes_and_times_of_a_recording_may_be_anything() -> None:
    found = Stretches()
    for number in range(timeline._MOST_LANES + 5):
        found.add(f"cause {number}", START, 1)
    for time in (-1.0, 1e300, float("inf")):
        found.add("cause 0", time, 1)
    lanes = found.timeline().lanes
    assert len(lanes) == timeline._MOST_LANES + 1
    assert next(lane.packets for lane in lanes if lane.cause == OTHERS) == 5
    assert sum(lane.packets for lane in lanes) == timeline._MOST_LANES + 5
