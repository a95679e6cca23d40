"""Leaves a capture of a run: what was found, for Wireshark."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from dropwatch.errors import WhydropError
from dropwatch.model.drop import Event, Finding
from dropwatch.model.kept import Window
from dropwatch.packet.rewrite import headers_only
from dropwatch.packet.walk import walk_event
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.listener import Listener
from dropwatch.recording.new_file import NewFile
from dropwatch.recording.start import Start
from dropwatch.render.finding import pcapng


class CaptureListener(Listener):
    """Leaves a capture that Wireshark opens: what was found, one packet each."""

    needs_each: ClassVar[bool] = True

    def __init__(self, path: Path, editor: Editor, payload: bool) -> None:
        self._path = path
        self._editor = editor
        self._payload = payload
        self._capture = pcapng.Pcapng(self._shortened, editor.value)
        self._file: NewFile | None = None

    @property
    def failure(self) -> WhydropError | None:
        return self._file.failure if self._file is not None else None

    def begin(self, start: Start) -> None:
        self._file = NewFile(self._path)
        system = f"Linux {start.kernel} {start.machine}".strip()
        self._file.write(self._capture.section(start.program, system))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def found(self, finding: Finding) -> None:
        if self._file is not None:
            self._file.write(self._capture.finding(finding))

    def window(self, window: Window) -> None:
        for row in window.rows:
            self.found(replace(row.finding, count=row.packets))

    def _shortened(self, event: Event) -> bytes:
        data = self._editor.event(replace(event, stack=())).packet
        return data if self._payload else headers_only(walk_event(replace(event, packet=data)))
