"""Leaves a recording of a run."""

from pathlib import Path
from typing import ClassVar

from dropwatch.enrich.answers import Answers
from dropwatch.errors import WhydropError
from dropwatch.model.drop import Drop, MatchResult, Packet, Totals
from dropwatch.model.journey import Journey
from dropwatch.model.kept import Window
from dropwatch.model.resent import ResentSegment
from dropwatch.model.summary import Summary
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.answers import noted_answers
from dropwatch.recording.listener import Listener
from dropwatch.recording.new_file import NewFile
from dropwatch.recording.recorder import Recorder
from dropwatch.recording.start import End, Start


class RecordingListener(Listener):
    """Leaves a recording for `whydrop replay`."""

    needs_each: ClassVar[bool] = True

    def __init__(self, path: Path, editor: Editor) -> None:
        self._path = path
        self._recorder = Recorder(editor)
        self._file: NewFile | None = None
        self._answers: Answers | None = None

    @property
    def failure(self) -> WhydropError | None:
        return self._file.failure if self._file is not None else None

    def begin(self, start: Start) -> None:
        self._file = NewFile(self._path)
        self._recorder.begin(start, self._file.write)

    def noting(self, answers: Answers) -> Answers:
        self._answers = noted_answers(answers, self._recorder)
        return self._answers

    def next_event(self) -> None:
        self._recorder.next_event()

    def kept(self, drop: Drop, match: MatchResult) -> None:
        """Also asks what another filter would ask, so that a replay can have one."""
        event, answers = drop.event, self._answers
        if answers is not None and _may_carry(drop.packet):
            answers.host.xfrm(event.netns, event.monotonic_ns)
        if answers is not None and event.netns and event.skb_iif:
            answers.interface(event.netns, event.skb_iif)
        self._recorder.keep(drop, match)

    def shown(self, now: float) -> None:
        self._recorder.told(now)

    def tick(self, now: float) -> None:
        self._recorder.tick(now)

    def gathered(self, shown: Summary | Journey) -> None:
        self._recorder.gathered(shown)

    def window(self, window: Window) -> None:
        self._recorder.window(window)

    def sent_again(self, segment: ResentSegment) -> None:
        self._recorder.sent_again(segment)

    def end(self, totals: Totals, not_packets: int, now: float) -> None:
        self._recorder.end(
            End(
                seen_by=totals.seen_by or {},
                lost=totals.lost or {},
                not_packets=not_packets,
                blind_spots=totals.blind_spots,
                now=now,
                matched=totals.matched,
                reported=totals.reported,
                suppressed=totals.suppressed,
                journeys=totals.journeys,
                seconds=totals.seconds,
                resent=totals.resent,
            )
        )

    def close(self) -> None:
        if self._file is not None:
            try:
                self._recorder.leave()
            finally:
                self._file.close()


def _may_carry(packet: Packet) -> bool:
    """IPsec, itself or inside an ICMP error or a tunnel: which flow it carries is known by policies only."""
    inside = [found for found in (packet.quoted, packet.inner) if found is not None]
    return packet.spi is not None or packet.proto in ("esp", "ah", "comp") or any(map(_may_carry, inside))
