"""A recording instead of a kernel: the same stages, the same answers, the same words, on any machine.

Findings are judged again. Summaries and journeys are shown as they were made: what the kernel counted, and steps of
packets that did not die, are nothing to be judged.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dropwatch import __version__
from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.model.drop import Drop, MatchResult, Totals
from dropwatch.model.filter import Filter
from dropwatch.model.journey import Journey
from dropwatch.model.summary import Summary
from dropwatch.recording.answers import recorded_answers
from dropwatch.recording.items import Tick
from dropwatch.recording.listener import Listener
from dropwatch.recording.members import Damaged
from dropwatch.recording.recording import Recorded, Recording
from dropwatch.recording.start import End, Start
from dropwatch.render.closing import closing
from dropwatch.render.layout import layout_for, printable
from dropwatch.render.screen import Screen
from dropwatch.run.options import VIEWS, Options, View
from dropwatch.run.pipeline import NOT_PACKETS, Matching, pipeline
from dropwatch.run.stop import Stop
from dropwatch.run.views import journey_view_for, renderer_for, summary_view_for
from dropwatch.run.write import listener_for

_GATHERING = ("summary", "trace", "tree")  # these show no finding as a line of its own


def replay(
    path: Path,
    options: Options,
    netns: tuple[str, ...],
    screen: Screen,
    stop: Stop,
    *,
    as_findings: bool = False,
) -> None:
    """Everything in the file that fits, shown as the run showed it or `as_findings`, then its closing statement.

    `netns` are namespaces as the recording names them, or their inodes. Raises WrongUsage for what is no recording,
    Damaged after what could be read of a damaged one.
    """
    recording = Recording(path)
    _refuse_same_file(path, options.write)
    recorded = (view for view in VIEWS if view == recording.start.view and not as_findings)
    view: View = next(recorded, "findings")
    if view in _GATHERING:
        _refuse_filter(view, options, netns)
    options = replace(options, payload=options.payload and recording.start.payload, view=view)
    if not options.json:
        screen.say(_opening(path, recording.start))
    with _times_of(recording.start), contextlib.closing(listener_for(options)) as listener:
        _Replay(recording, options, netns, listener, screen, stop).run()


class _Replay:
    def __init__(
        self,
        recording: Recording,
        options: Options,
        netns: tuple[str, ...],
        listener: Listener,
        screen: Screen,
        stop: Stop,
    ) -> None:
        self._recording = recording
        self._options = options
        self._netns = netns
        self._listener = listener
        self._screen = screen
        self._stop = stop
        self._layout = layout_for(screen.out, options.no_color)
        own_netns = recording.start.own_netns
        as_then = replace(options, count=options.count or recording.start.count)
        self._renderer = renderer_for(as_then, self._layout, own_netns)
        self._gathers = options.view in _GATHERING
        self._summary_view = summary_view_for(options, self._layout, own_netns)
        self._journey_view = journey_view_for(options, self._layout, own_netns)
        self._journeys: Counter[str] = Counter()
        self._current: Recorded | None = None
        self._reported = 0
        self._now = 0.0

        wanted = _with_recorded_causes(options.wanted, recording.start)
        self._stages = pipeline(
            recorded_answers(recording, self._time),
            _judged_by(options, wanted, recording.start),
            listener,
            self._matching,
        )

    def run(self) -> None:
        """To the last item, or to where it cannot be read any more."""
        self._listener.begin(_copied(self._recording.start, self._options))
        end: End | None = None
        damage: Damaged | None = None
        try:
            for item in self._recording.items():
                if isinstance(item, End):
                    end = item
                elif isinstance(item, Tick):
                    self._now = item.now
                    self._screen.show(self._tick())
                elif isinstance(item, Recorded):
                    if self._gathers or not self._enough():
                        self._take(item)
                elif self._gathers and not self._enough():
                    self._show(item)
                if self._stop.asked or self._screen.reader_left:
                    break
        except Damaged as error:
            damage = error
        self._close(end, damage)
        if damage is not None:
            raise damage

    def _take(self, item: Recorded) -> None:
        self._current = item
        shown_then = item.now is not None
        # Renderers have CLOCK_MONOTONIC, as events do.
        self._now = item.now if item.now is not None else max(self._now, item.event.monotonic_ns / 1e9)
        with _damage("an event of the recording cannot be judged"):
            finding = self._stages.finding(item.event)
            if finding is None or self._gathers:
                return
            due = "" if shown_then else self._tick()
            self._listener.shown(self._now)
            text = due + self._renderer.finding(finding, self._now)
        self._reported += 1
        self._screen.show(text)

    def _show(self, item: Summary | Journey) -> None:
        with _damage("a part of the recording cannot be shown"):
            if isinstance(item, Journey):
                text = self._journey_view.journey(item, self._now)
            else:
                text = self._summary_view.summary(item)
            self._listener.gathered(item)
        if isinstance(item, Journey):
            self._journeys[item.end] += 1
        self._reported += 1
        self._screen.show(text)

    def _enough(self) -> bool:
        return self._options.count is not None and self._reported >= self._options.count

    def _tick(self) -> str:
        self._listener.tick(self._now)
        return self._renderer.tick(self._now)

    def _time(self, monotonic_ns: int) -> float:
        """The recorded one, of the event in hand."""
        return self._current.time if self._current is not None else 0.0

    def _matching(self, by_filter: Matching) -> Matching:
        """As it matched when it was recorded, unless the filter of the replay says something else."""

        def match(drop: Drop) -> MatchResult | None:
            if self._netns and not self._is_in(drop):
                return None
            found = by_filter(drop)
            if found is None or self._current is None:
                return None
            return found if self._options.wanted.names_flow else self._current.match

        return match

    def _is_in(self, drop: Drop) -> bool:
        inode = str(drop.event.netns)
        names = {inode, f"net:[{inode}]", drop.netns.name if drop.netns is not None else None}
        return any(text in names for text in self._netns)

    def _close(self, end: End | None, damage: Damaged | None) -> None:
        stages = self._stages
        not_packets = end.not_packets if end is not None else 0
        totals = Totals(
            seen_by=end.seen_by if end is not None else None,
            matched=stages.matched,
            reported=self._reported,
            lost=end.lost if end is not None else None,
            suppressed=dict(stages.suppressed + Counter({NOT_PACKETS: not_packets})),
            blind_spots=(*(end.blind_spots if end is not None else ()), *self._not_known(damage)),
        )
        if self._gathers:
            totals = self._as_gathered(totals, end)
        now = end.now if end is not None else self._now
        self._listener.end(totals, not_packets, now)
        self._screen.show(self._renderer.end(totals, now))
        if not self._options.json:
            self._screen.say(closing(totals, self._layout))

    def _as_gathered(self, totals: Totals, end: End | None) -> Totals:
        """What is in summaries or journeys was counted when they were made."""
        journeys = None if self._options.view == "summary" else dict(self._journeys)
        if end is None:
            return replace(totals, reported=totals.matched, journeys=journeys)
        return replace(
            totals,
            matched=end.matched,
            reported=end.reported,
            suppressed=end.suppressed,
            journeys=journeys,
        )

    def _not_known(self, damage: Damaged | None) -> Iterator[str]:
        if damage is not None:
            yield "what came after the damage: the recording cannot be read to its end"
        if self._recording.unanswered:
            names = ", ".join(sorted(self._recording.unanswered))
            yield f"the recording has no answer to all that was asked of the host ({names}): another whydrop made it"


def _with_recorded_causes(wanted: Filter, start: Start) -> Filter:
    """Without causes of its own the replay has those of the run: a harmless one that was asked for is shown."""
    return wanted if wanted.causes else replace(wanted, causes=start.causes)


def _judged_by(options: Options, wanted: Filter, start: Start) -> Options:
    return replace(options, wanted=wanted, all_drops=options.all_drops or start.all_drops)


def _copied(start: Start, options: Options) -> Start:
    """What a recording that is made from a recording says of itself."""
    return replace(
        start,
        program=__version__,
        all_drops=options.all_drops or start.all_drops,
        causes=options.wanted.causes or start.causes,
        payload=options.payload,
        anonymized=start.anonymized or options.anonymize,
        view=options.view,
    )


@contextlib.contextmanager
def _damage(what: str) -> Iterator[None]:
    """Values that no run would have written lead anywhere."""
    try:
        yield
    except WhydropError:
        raise
    except Exception as error:
        raise Damaged(
            f"{what}: {type(error).__name__}: {error}",
            "the recording may be damaged or of another version; --debug shows where",
        ) from error


def _refuse_filter(view: View, options: Options, netns: tuple[str, ...]) -> None:
    if options.wanted != Filter() or netns or options.all_drops:
        raise WrongUsage(
            f"this is the recording of a {view}: of what it showed nothing can be taken away",
            "whydrop replay FILE --findings shows the drops in it one by one, filtered",
        )


def _refuse_same_file(path: Path, write: Path | None) -> None:
    with contextlib.suppress(OSError):
        if write is not None and path.samefile(write):
            raise WrongUsage("--write would replace the recording that is read", "name another file")


def _opening(path: Path, start: Start) -> str:
    began = f"{datetime.fromtimestamp(start.began, UTC):%Y-%m-%d %H:%M:%S} UTC"
    what = "with other addresses, " if start.anonymized else ""
    made = printable(f"{what}Linux {start.kernel}, whydrop {start.program}")
    return f"whydrop: replaying {printable(str(path))}: recorded {began}, {made}\n"


@contextlib.contextmanager
def _times_of(start: Start) -> Iterator[None]:
    """The local time of the text is that of the machine that recorded: the replay shows what was shown there."""
    before = os.environ.get("TZ")
    sign, offset = "-" if start.utc_offset >= 0 else "+", abs(start.utc_offset)
    os.environ["TZ"] = f"<REC>{sign}{offset // 3600:02}:{offset // 60 % 60:02}:{offset % 60:02}"
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()
