"""What a run leaves in the file of `--write`: a recording, a capture, or nothing."""

import os
import time
from pathlib import Path

from dropwatch import __version__
from dropwatch.recording.listener import Listener
from dropwatch.recording.start import Start
from dropwatch.run.options import Options

_PROC = Path("/proc/sys/kernel")
_KEY_BYTES = 32


def listener_for(options: Options) -> Listener:
    """By --write, --anonymize and --payload."""
    if options.write is None:
        return Listener()
    # a run that leaves no file starts without what writes one
    from dropwatch.recording.addresses import Anonymizer
    from dropwatch.recording.anonymize import Editor
    from dropwatch.recording.new_file import is_capture
    from dropwatch.recording.writer import RecordingListener
    from dropwatch.run.capture import CaptureListener

    anonymizer = Anonymizer(os.urandom(_KEY_BYTES)) if options.anonymize else None
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
