"""What a run leaves in the file of `--write`: a recording, a capture, or nothing."""

import secrets
import time
from dataclasses import replace
from pathlib import Path

from dropwatch import __version__
from dropwatch.errors import WhydropError
from dropwatch.model.drop import Event, Finding
from dropwatch.packet.rewrite import headers_only
from dropwatch.packet.walk import walk_event
from dropwatch.recording.addresses import Anonymizer
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.listener import Listener, RecordingListener
from dropwatch.recording.new_file import NewFile, is_capture
from dropwatch.recording.start import Start
from dropwatch.render.finding import pcapng
from dropwatch.run.options import Options

_PROC = Path("/proc/sys/kernel")
_KEY_BYTES = 32


def listener_for(options: Options) -> Listener:
    """By --write, --anonymize and --payload."""
    if options.write is None:
        return Listener()
    anonymizer = Anonymizer(secrets.token_bytes(_KEY_BYTES)) if options.anonymize else None
    editor = Editor(anonymizer, payload=options.payload)
    if is_capture(options.write):
        return CaptureListener(options.write, editor, options.payload)
    return RecordingListener(options.write, editor)


def start_of(options: Options, own_netns: int | None) -> Start:
    """What a live run says of itself and of this machine."""
    now = time.time()
    return Start(
        program=__version__,
        kernel=_read("osrelease"),
        machine=_read("arch"),
        began=now,
        utc_offset=time.localtime(now).tm_gmtoff,
        own_netns=own_netns,
        all_drops=options.all_drops,
        causes=options.wanted.causes,
        payload=options.payload,
        anonymized=options.anonymize,
        view=options.view,
        count=options.count,
    )


def _read(name: str) -> str:
    try:
        return (_PROC / name).read_text().strip()
    except OSError:
        return ""


class CaptureListener(Listener):
    """Leaves a capture that Wireshark opens: what was found, one packet each."""

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

    def _shortened(self, event: Event) -> bytes:
        data = self._editor.event(replace(event, stack=())).packet
        return data if self._payload else headers_only(walk_event(replace(event, packet=data)))
