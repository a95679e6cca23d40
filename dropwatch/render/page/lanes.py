"""The timeline as the page draws it: a row for each cause, a bar for each stretch of time."""

from typing import Any

from dropwatch.aggregate.timeline import OTHERS
from dropwatch.model.report import Lane, Timeline
from dropwatch.render.page.clock import Clock, duration

_MOST_LANES = 12
HEIGHT = 24
_LOWEST = 2  # of a bar: one packet among thousands is seen


def lanes(timeline: Timeline, clock: Clock) -> dict[str, Any] | None:
    """None without a packet. Bars are the path of a drawing as wide as there are stretches, HEIGHT high."""
    shown = _fewer(timeline.lanes)
    if not shown:
        return None
    stretches = len(shown[0].counts)
    most = max(max(lane.counts) for lane in shown)
    end = timeline.began + stretches * timeline.seconds
    return {
        "width": stretches,
        "height": HEIGHT,
        "began": clock.exact(timeline.began),
        "ended": clock.exact(end),
        "stretch": duration(timeline.seconds),
        "most": most,
        "lanes": [
            {
                "cause": lane.cause,
                "packets": lane.packets,
                "path": _path(lane.counts, most),
                "words": _words(lane, timeline, clock),
            }
            for lane in shown
        ],
    }


def _fewer(found: tuple[Lane, ...]) -> list[Lane]:
    """Those with most packets; the others are one row."""
    if len(found) <= _MOST_LANES:
        return list(found)
    rest = found[_MOST_LANES - 1 :]
    counts = tuple(map(sum, zip(*(lane.counts for lane in rest), strict=True)))
    return [*found[: _MOST_LANES - 1], Lane(OTHERS, sum(lane.packets for lane in rest), counts)]


def _path(counts: tuple[int, ...], most: int) -> str:
    bars = []
    for at, count in enumerate(counts):
        if count:
            height = max(_LOWEST, round(count * HEIGHT / most))
            bars.append(f"M{at} {HEIGHT}v-{height}h1v{height}z")
    return "".join(bars)


def _words(lane: Lane, timeline: Timeline, clock: Clock) -> str:
    """For who does not see the bars."""
    filled = [at for at, count in enumerate(lane.counts) if count]
    first, last = (timeline.began + at * timeline.seconds for at in (filled[0], filled[-1] + 1))
    busiest = max(lane.counts)
    return (
        f"from {clock.exact(first)} to {clock.exact(last)}, "
        f"at most {busiest:,} in {duration(timeline.seconds)}"
    )
