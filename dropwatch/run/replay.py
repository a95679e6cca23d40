"""A recording instead of a kernel: the same stages, the same answers, the same words, on any machine.

Findings are judged again. Summaries and journeys are shown as they were made: what the kernel counted, and steps of
packets that did not die, are nothing to be judged.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

from dropwatch import __version__
from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.match.near import comparable, is_compared
from dropwatch.model.drop import Drop, Finding, MatchResult, Totals
from dropwatch.model.filter import Filter
from dropwatch.model.journey import Journey
from dropwatch.model.kept import Window
from dropwatch.model.nothing import Nothing
from dropwatch.model.resent import ResentSegment
from dropwatch.model.summary import Summary
from dropwatch.names.foreign import foreign
from dropwatch.recording.answers import recorded_answers
from dropwatch.recording.items import Tick
from dropwatch.recording.listener import Listener
from dropwatch.recording.members import Damaged
from dropwatch.recording.recording import Recorded, Recording
from dropwatch.recording.start import End, Start
from dropwatch.run.bounds import Bounds
from dropwatch.run.context import Face, Run
from dropwatch.run.mode import Mode
from dropwatch.run.nearest import Nearest
from dropwatch.run.options import VIEWS, Options, View
from dropwatch.run.pipeline import NOT_PACKETS, Matching, pipeline
from dropwatch.run.sent_again import SentAgain
from dropwatch.run.stop import Stop, Stopped
from dropwatch.run.wanted.words import sorted_out
from dropwatch.run.write import listener_for

WINDOW = "window"  # the view of what the store of whydrop watch has of a time
ModeOf = Callable[[Options, Start, Listener], Mode]


class Replay(Run):
    """Everything in the file that fits, as the run showed it or `as_findings`.

    `netns` are namespaces as the recording names them, or their inodes. Raises WrongUsage for what is no recording,
    Damaged (when it has been read) after what could be read of a damaged one.
    """

    def __init__(
        self,
        path: Path,
        options: Options,
        netns: tuple[str, ...],
        mode_of: ModeOf,
        face: Face,
        stop: Stop,
        *,
        as_findings: bool = False,
        listener: Listener | None = None,
    ) -> None:
        """With a `listener` that is told of everything, instead of what --write asks for."""
        super().__init__(face, stop)
        with stop.waiting():  # for a pipe
            self._recording = Recording(path)
        self.start = self._recording.start
        refuse_same_file(path, options.write)
        recorded = (view for view in VIEWS if view == self.start.view and not as_findings)
        view: View = next(recorded, "findings")
        if view == "folded" and options.json:  # two formats of one output
            view = "findings"
        options = replace(options, payload=options.payload and self.start.payload, view=view)
        self._options, self._netns = options, netns
        self._listener = listener or listener_for(options)
        self._mode = mode_of(options, self.start, self._listener)
        if not self._mode.shows_findings or self.start.view == WINDOW:
            _refuse_filter(self.start.view, options, netns)
        self._current: Recorded | None = None
        self._told = 0
        self._reported = 0
        self._now = 0.0
        self._bounds = Bounds(path)
        self._nearest = Nearest() if face.explains and self._mode.shows_findings else None
        self._sent_again = SentAgain(self._recording.frame, lambda inode: None, self._listener.sent_again)
        self._stages = pipeline(
            recorded_answers(self._recording, self._time),
            _judged_by(options, self.start),
            self._listener,
            self._matching,
        )
        self._stages.join(self._sent_again)
        if self._nearest is not None:
            self._stages.tell_refused(self._nearest)

    def _open(self, contexts: contextlib.ExitStack) -> None:
        contexts.enter_context(contextlib.closing(self._listener))
        self._listener.begin(_copied(self.start, self._options))

    def _read(self) -> Generator[Finding, None, None]:
        """To the last item, or to where it cannot be read any more."""
        end: End | None = None
        damage: Damaged | None = None
        items = self._recording.items()
        try:
            while True:
                with self._stop.waiting():
                    item = next(items, None)
                if item is None:
                    break
                self._bounds.check()
                if isinstance(item, End):
                    end = item
                elif isinstance(item, Tick):
                    self._now = item.now
                    self._say(self._tick())
                    yield from self._take_due(int(item.now * 1e9))
                elif isinstance(item, ResentSegment):
                    self._take_resent(item)
                elif isinstance(item, Window) and self._mode.shows_findings:
                    yield from self._take_window(item)
                elif isinstance(item, Summary | Journey | Window):
                    self._show(item)
                elif not (self._mode.shows_findings and self._enough()):
                    yield from self._take(item)
                    yield from self._take_due(item.event.monotonic_ns)
                if self._stop.asked or self._face.reader_left:
                    break
        except Damaged as error:
            damage = error
        except Stopped:
            pass
        yield from self._take_due(None)
        self._end(end, damage)
        if damage is not None:
            raise damage

    def _take(self, item: Recorded) -> Iterator[Finding]:
        self._current = item
        shown_then = item.now is not None
        # Renderers have CLOCK_MONOTONIC, as events do.
        self._now = item.now if item.now is not None else max(self._now, item.event.monotonic_ns / 1e9)
        with _damage("an event of the recording cannot be judged"):
            finding = self._mode.take(item.event, self._stages.finding(item.event))
            if finding is None:
                return
            due = "" if shown_then else self._tick()
            self._listener.shown(self._now)
            text = due + self._mode.finding(finding, self._now)
        yield self._told_with(text, finding)

    def _take_due(self, now_ns: int | None) -> Iterator[Finding]:
        """What waited for others."""
        for finding in self._stages.due(now_ns):
            if self._enough():
                return
            yield self._told_with(self._mode.finding(finding, self._now), finding)

    def _told_with(self, text: str, finding: Finding) -> Finding:
        self._told += 1
        self._reported += finding.count
        self._say(text)
        return finding

    def _take_resent(self, item: ResentSegment) -> None:
        for lost in self._sent_again.take((item,)):
            if (
                self._mode.shows_findings
                and lost.cause_id is not None
                and self._stages.asks_for(lost.cause_id)
            ):
                self._say(self._mode.sent_again(lost, self._now))

    def _take_window(self, window: Window) -> Iterator[Finding]:
        """One finding of each sort, as it was judged when it died."""
        self._listener.window(window)
        for row in window.rows:
            if self._enough():
                return
            finding = replace(row.finding, count=row.packets)
            with _damage("a finding of the recording cannot be shown"):
                text = self._mode.finding(finding, self._now)
            self._stages.matched += row.packets
            yield self._told_with(text, finding)

    def _show(self, item: Summary | Journey | Window) -> None:
        if self._mode.shows_findings or self._enough():
            return
        with _damage("a part of the recording cannot be shown"):
            text = self._mode.gathered(item, self._now)
        self._told += 1
        self._reported += 1
        self._say(text)

    def _say(self, text: str) -> None:
        self._bounds.check(text)
        self._face.show(text)

    def _tick(self) -> str:
        self._listener.tick(self._now)
        return self._mode.tick(self._now)

    def _enough(self) -> bool:
        return self._options.count is not None and self._told >= self._options.count

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
        asked, excluded = sorted_out(self._netns)
        fits = not asked or "all" in asked or any(foreign(text) in names for text in asked)
        return fits and not any(foreign(text) in names for text in excluded)

    def _end(self, end: End | None, damage: Damaged | None) -> None:
        stages = self._stages
        not_packets = end.not_packets if end is not None else 0
        totals = self._mode.totals(
            Totals(
                seen_by=end.seen_by if end is not None else None,
                matched=stages.matched,
                reported=self._reported,
                lost=end.lost if end is not None else None,
                suppressed=dict(stages.suppressed + Counter({NOT_PACKETS: not_packets})),
                blind_spots=(*(end.blind_spots if end is not None else ()), *self._not_known(damage)),
                seconds=end.seconds if end is not None else None,
                resent=end.resent if end is not None and self._options.wanted == Filter() else None,
            )
        )
        if end is not None:
            totals = self._mode.as_recorded(totals, end)
        if self._nearest is not None and not totals.matched:
            wanted = self._options.wanted
            compared = comparable(wanted)
            self.nothing = Nothing(compared, self._nearest.found(compared), is_all=is_compared(wanted))
        now = end.now if end is not None else self._now
        self._listener.end(totals, not_packets, now)
        self._totals, self.last_words = totals, self._mode.end(totals, now)

    def _not_known(self, damage: Damaged | None) -> Iterator[str]:
        if damage is not None:
            yield "what came after the damage: the recording cannot be read to its end"
        if self._recording.unanswered:
            names = ", ".join(sorted(self._recording.unanswered))
            yield f"the recording lacks answers of the host ({names}): another version of whydrop made it"


def _judged_by(options: Options, start: Start) -> Options:
    """Without causes of its own the replay has those of the run: a harmless one that was asked for is shown."""
    wanted = options.wanted if options.wanted.causes else replace(options.wanted, causes=start.causes)
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
        view=WINDOW if start.view == WINDOW else options.view,
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


def _refuse_filter(view: str, options: Options, netns: tuple[str, ...]) -> None:
    if view == WINDOW and (options.wanted != Filter() or netns):
        raise WrongUsage(
            "this is the recording of a window of the recorder's store: no filter takes anything out of it",
            "whydrop last WINDOW FILTER --write FILE has the filter",
        )
    if view != WINDOW and (options.wanted != Filter() or netns or options.all_drops):
        raise WrongUsage(
            f"this is the recording of a {view}: a filter takes nothing out of what it showed",
            "whydrop replay FILE --findings shows the drops in it one by one, filtered",
        )


def refuse_same_file(path: Path, write: Path | None) -> None:
    """Raises WrongUsage."""
    with contextlib.suppress(OSError):
        if write is not None and path.samefile(write):
            raise WrongUsage("--write would replace the recording that is read", "name another file")
