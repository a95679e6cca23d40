"""A recording instead of a kernel: the same stages, the same answers, the same words, on any machine.

Findings are judged again. Summaries and journeys are shown as they were made: what the kernel counted, and steps of
packets that did not die, are nothing to be judged.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dropwatch import __version__
from dropwatch.causes.diagnose import diagnose
from dropwatch.enrich.drop import Enricher
from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.match.flow import FlowMatcher
from dropwatch.match.ipsec import match_ipsec
from dropwatch.model.drop import Drop, Event, Finding, MatchResult, Totals
from dropwatch.model.filter import Filter
from dropwatch.model.journey import Journey
from dropwatch.model.summary import Summary
from dropwatch.recording.frames import Damaged
from dropwatch.recording.questions import INTERFACE, NETNS, REASON, replayed_host
from dropwatch.recording.recording import Recorded, Recording, Tick
from dropwatch.recording.start import End, Start
from dropwatch.render.closing import closing
from dropwatch.render.layout import layout_for, printable
from dropwatch.render.screen import Screen
from dropwatch.run.loop import Renderer
from dropwatch.run.options import VIEWS, Options, View
from dropwatch.run.pipeline import NOT_PACKETS, Judgement, Stages
from dropwatch.run.stop import Stop
from dropwatch.run.views import journey_view_for, renderer_for, summary_view_for
from dropwatch.run.write import Keeping, keeping_for

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
    with _times_of(recording.start), contextlib.closing(keeping_for(options)) as keeping:
        _Replay(recording, options, netns, keeping, screen, stop).run()


class _Replay:
    def __init__(
        self,
        recording: Recording,
        options: Options,
        netns: tuple[str, ...],
        keeping: Keeping,
        screen: Screen,
        stop: Stop,
    ) -> None:
        self._recording = recording
        self._options = options
        self._netns = netns
        self._keeping = keeping
        self._screen = screen
        self._stop = stop
        self._layout = layout_for(screen.out, options.no_color)
        own_netns = recording.start.own_netns
        as_then = replace(options, count=options.count or recording.start.count)
        self._plain = renderer_for(as_then, self._layout, own_netns)
        self._renderer: Renderer = keeping.renderer(self._plain)
        self._gathers = options.view in _GATHERING
        self._summary_view = summary_view_for(options, self._layout, own_netns)
        self._journey_view = journey_view_for(options, self._layout, own_netns)
        self._journeys: Counter[str] = Counter()
        self._current: Recorded | None = None
        self._reported = 0
        self._now = 0.0

        answer = recording.answer
        self._host = keeping.host(replayed_host(answer))
        interface = keeping.interface(lambda inode, index: answer(INTERFACE, (inode, index)))
        enricher = Enricher(
            keeping.frame(recording.frame),
            keeping.reason(lambda number: answer(REASON, (number,))),
            keeping.netns(lambda inode: answer(NETNS, (inode,))),
            interface,
            lambda monotonic_ns: self._current.time if self._current is not None else 0.0,
        )
        wanted = _with_recorded_causes(options.wanted, recording.start)
        self._flow = FlowMatcher(options.wanted, self._match_ipsec, interface)
        self._judgement = Judgement(
            Stages(
                enrich=keeping.enrich(enricher.drop),
                match=self._match,
                diagnose=lambda drop: diagnose(drop, self._host),
            ),
            _judged_by(options, wanted, recording.start),
            keeping.keep,
        )
        self._finding_of: Callable[[Event], Finding | None] = self._judgement.finding
        if self._gathers:
            self._finding_of = keeping.judging(self._finding_of)

    def run(self) -> None:
        """To the last item, or to where it cannot be read any more."""
        self._keeping.begin(_copied(self._recording.start, self._options))
        end: End | None = None
        damage: Damaged | None = None
        try:
            for item in self._recording.items():
                if isinstance(item, End):
                    end = item
                elif isinstance(item, Tick):
                    self._now = item.now
                    self._screen.show(self._renderer.tick(item.now))
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
            finding = self._finding_of(item.event)
            if finding is None or self._gathers:
                return
            due = "" if shown_then else self._renderer.tick(self._now)
            text = due + self._renderer.finding(finding, self._now)
        self._reported += 1
        self._screen.show(text)

    def _show(self, item: Summary | Journey) -> None:
        with _damage("a part of the recording cannot be shown"):
            if isinstance(item, Journey):
                text = self._journey_view.journey(item, self._now)
            else:
                text = self._summary_view.summary(item)
            self._keeping.gathered(item)
        if isinstance(item, Journey):
            self._journeys[item.end] += 1
        self._reported += 1
        self._screen.show(text)

    def _enough(self) -> bool:
        return self._options.count is not None and self._reported >= self._options.count

    def _match(self, drop: Drop) -> MatchResult | None:
        """As it matched when it was recorded, unless the filter of the replay says something else."""
        if self._netns and not self._is_in(drop):
            return None
        match = self._flow.match(drop)
        if match is None or self._current is None:
            return None
        return match if self._options.wanted.names_flow else self._current.match

    def _is_in(self, drop: Drop) -> bool:
        inode = str(drop.event.netns)
        names = {inode, f"net:[{inode}]", drop.netns.name if drop.netns is not None else None}
        return any(text in names for text in self._netns)

    def _match_ipsec(self, drop: Drop, wanted: Filter) -> MatchResult | None:
        return match_ipsec(drop, wanted, self._host.xfrm(drop.event.netns, drop.event.monotonic_ns))

    def _close(self, end: End | None, damage: Damaged | None) -> None:
        judgement = self._judgement
        not_packets = end.not_packets if end is not None else 0
        totals = Totals(
            seen_by=end.seen_by if end is not None else None,
            matched=judgement.matched,
            reported=self._reported,
            lost=end.lost if end is not None else None,
            suppressed=dict(judgement.suppressed + Counter({NOT_PACKETS: not_packets})),
            blind_spots=(*(end.blind_spots if end is not None else ()), *self._not_known(damage)),
        )
        if self._gathers:
            totals = self._as_gathered(totals, end)
        now = end.now if end is not None else self._now
        self._keeping.end(totals, not_packets, now)
        self._screen.show(self._plain.end(totals, now))
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
