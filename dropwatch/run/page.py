"""Leaves the page of a run: what was found is folded while it goes on, and written when it is over."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from dropwatch.aggregate.sort import Sort
from dropwatch.model.journey import Journey
from dropwatch.model.report import Report, Way
from dropwatch.model.summary import Summary
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.start import Start
from dropwatch.run.folded import FoldingListener


class Destination(Protocol):
    """Takes the whole page."""

    def write(self, data: bytes) -> None: ...


OpenFile = Callable[[], Destination]
MOST_WAYS = 4096  # each takes a few KiB, and some more of the page


class PageListener(FoldingListener):
    """Writes the page to what `open_file` gives when the run begins: what cannot be written is told then."""

    def __init__(
        self, open_file: OpenFile, editor: Editor, source: Path | None = None, made_by: str = ""
    ) -> None:
        super().__init__(editor, source, made_by)
        self._open_file = open_file
        self._file: Destination | None = None
        self._template: Any = None
        self._ways: list[tuple[Way, Sort | None]] = []
        self._ways_left_out = 0
        self.headline = ""  # of the page, once it is written

    def begin(self, start: Start) -> None:
        from dropwatch.render.page.page import page_template  # the engine: for who wants a page, and at once

        self._template, self._file = page_template(), self._open_file()
        super().begin(start)

    def gathered(self, shown: Summary | Journey) -> None:
        super().gathered(shown)
        if not isinstance(shown, Journey) or self._start is None:
            return
        if len(self._ways) >= MOST_WAYS:
            self._ways_left_out += 1
            return
        from dropwatch.render.page.ways import way

        edited = self._editor.gathered(shown)
        assert isinstance(edited, Journey)
        sort = None if shown.finding is None else self._key(shown.finding)
        self._ways.append((way(edited, self._start.own_netns), sort))

    def report(self, start: Start) -> Report:
        """With the ways of a trace, each that died with the number of its sort."""
        at = {sort: number for number, sort in enumerate(self.sorts, 1)}
        ways = tuple(replace(way, sort=None if sort is None else at.get(sort)) for way, sort in self._ways)
        return replace(super().report(start), ways=ways, ways_left_out=self._ways_left_out)

    def close(self) -> None:
        """Also of a run that failed: its totals are not known then."""
        if self._file is None or self._start is None:
            return
        from dropwatch.render.page.page import headline, page

        file, self._file = self._file, None
        report = self.report(self._start)
        self.headline = headline(report)
        file.write(page(report, self._template).encode())
