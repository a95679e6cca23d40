"""What a run leaves in the file of `--write`: a recording, a capture, a page, or nothing."""

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dropwatch import __version__
from dropwatch.recording.listener import Listener
from dropwatch.recording.start import Start
from dropwatch.run.options import Options

if TYPE_CHECKING:
    from dropwatch.recording.anonymize import Editor

_PROC = Path("/proc/sys/kernel")
_KEY_BYTES = 32


def listener_for(options: Options) -> Listener:
    """By --write, --anonymize and --payload."""
    if options.write is None:
        return Listener()
    # a run that leaves no file starts without what writes one
    from dropwatch.recording.new_file import WholeFile, is_capture, is_page
    from dropwatch.recording.writer import RecordingListener
    from dropwatch.run.capture import CaptureListener

    editor = editor_for(options)
    if is_page(options.write):
        from dropwatch.run.page import PageListener

        return PageListener(partial(WholeFile, options.write), editor, made_by=options.asked)
    if is_capture(options.write):
        return CaptureListener(options.write, editor, options.payload)
    return RecordingListener(options.write, editor)


def editor_for(options: Options) -> "Editor":
    """What is done to all that is written, by --anonymize and --payload."""
    from dropwatch.recording.addresses import Anonymizer
    from dropwatch.recording.anonymize import Editor

    anonymizer = Anonymizer(os.urandom(_KEY_BYTES)) if options.anonymize else None
    return Editor(anonymizer, payload=options.payload)


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
        asked=options.asked,
    )


def _read(name: str) -> str:
    try:
        return (_PROC / name).read_text().strip()
    except OSError:
        return ""
