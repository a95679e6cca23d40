"""Hears a run to its end and folds what was found: what a page and a comparison are made of."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dropwatch.aggregate.folding import Folding
from dropwatch.aggregate.sort import Sort, sort_of
from dropwatch.model.drop import Finding, Totals
from dropwatch.model.journey import Journey
from dropwatch.model.kept import Window
from dropwatch.model.report import Folded, Report
from dropwatch.model.summary import Summary
from dropwatch.names.foreign import foreign
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.listener import Listener
from dropwatch.recording.start import Start


class FoldingListener(Listener):
    """Memory is bounded, as that of Folding is. `key_of` says what is one sort in a run that began so."""

    def __init__(
        self,
        editor: Editor,
        source: Path | None = None,
        made_by: str = "",
        key_of: Callable[[Start], Callable[[Finding], Sort]] = lambda start: sort_of,
    ) -> None:
        """`source` is the recording, `made_by` the words with which it is read now."""
        self._editor, self._key_of = editor, key_of
        self._source = None if source is None else foreign(source.name)
        self._made_by = made_by
        self._key: Callable[[Finding], Sort] = sort_of
        self._folding = Folding()
        self._start: Start | None = None
        self._totals: Totals | None = None

    def begin(self, start: Start) -> None:
        self._start, self._key = start, self._key_of(start)
        self._folding = Folding(self._key)

    def found(self, finding: Finding) -> None:
        if self._start is not None and self._start.view != "summary":  # there the kernel counts
            self._folding.add(finding)

    def gathered(self, shown: Summary | Journey) -> None:
        if isinstance(shown, Summary):
            self._folding.take(shown)

    def window(self, window: Window) -> None:
        self._folding.take_window(window)

    def end(self, totals: Totals, not_packets: int, now: float) -> None:
        self._totals = totals

    @property
    def sorts(self) -> dict[Sort, Folded]:
        """What was found, by sort; the one with most packets first."""
        return self._folding.sorts

    def report(self, start: Start) -> Report:
        """What it amounts to, as it may be written."""
        edit = self._editor
        edited = edit.value(start)
        return Report(
            program=edited.program,
            kernel=edited.kernel,
            machine=edited.machine,
            began=edited.began,
            utc_offset=edited.utc_offset,
            seconds=self._totals.seconds if self._totals is not None else None,
            source=edit.value(self._source),
            view=edited.view,
            asked=edited.asked,
            made_by=edit.value(self._made_by),
            payload=edited.payload,
            anonymized=edited.anonymized,
            own_netns=edited.own_netns,
            sorts=tuple(
                replace(one, finding=edit.finding(one.finding), note=edit.value(one.note))
                for one in self.sorts.values()
            ),
            apart=edit.value(dict(self._folding.apart)),
            timeline=self._folding.timeline,
            totals=edit.value(self._totals),
        )
