"""Where the text goes: standard output and standard error, also when nobody reads them any more."""

import errno
import io
import os
import select
import time
from collections.abc import Callable
from typing import TextIO

from dropwatch.errors import WhydropError

_PIECE = select.PIPE_BUF  # bytes: a pipe that has any room takes them at once
_LOOK_EVERY_MS, _GRACE_S = 100, 10.0
_NOBODY_READS = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO})


class Screen:
    """Findings go to `out`, everything else to `err`.

    A pipe whose reader left and a terminal that is gone are no errors: `reader_left` tells, and what comes
    after is thrown away; so it is with one who does not read on once the run was `asked` to end. Raises
    WhydropError when the output cannot be written otherwise (disk full).
    """

    def __init__(self, out: TextIO | None, err: TextIO | None, asked: Callable[[], int] = lambda: 0) -> None:
        """`asked` says how often the run was asked to end."""
        self.out = out
        self.err = err
        self._asked = asked
        self._gone = out is None
        for stream in (out, err):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")

    @property
    def err_is_terminal(self) -> bool:
        """Whether a line of say() can be written over."""
        try:
            return self.err is not None and self.err.isatty() and os.environ.get("TERM") != "dumb"
        except ValueError:
            return False

    @property
    def reader_left(self) -> bool:
        """True when the output cannot reach anybody: noticed by a write, or by asking the pipe."""
        if not self._gone and self.out is not None and _hung_up(self.out):
            self._give_up()
        return self._gone

    def show(self, text: str) -> None:
        """Write findings; they have left the process when this returns."""
        if self._gone or self.out is None or not text:
            return
        try:
            self._write(self.out, text)
        except OSError as error:
            self._give_up()
            if error.errno not in _NOBODY_READS:
                raise WhydropError(
                    f"the findings cannot be written: {error.strerror}", "look at where the output goes"
                ) from error

    def say(self, text: str) -> None:
        """Write to standard error, as far as there is one."""
        if self.err is None or not text:
            return
        try:
            self._write(self.err, text)
        except OSError:
            _point_at_nothing(self.err)
            self.err = None

    def _write(self, stream: TextIO, text: str) -> None:
        if not isinstance(stream, io.TextIOWrapper):
            stream.write(text)
            return
        written = text.encode(stream.encoding, stream.errors or "strict")
        for start in range(0, len(written), _PIECE):
            self._wait_for_room(stream)
            stream.buffer.write(written[start : start + _PIECE])
            stream.buffer.flush()

    def _wait_for_room(self, stream: TextIO) -> None:
        """Raises OSError (EPIPE) where nobody makes any though the run is to end."""
        until: float | None = None
        while not _has_room(stream):
            if self._asked() and until is None:
                until = time.monotonic() + _GRACE_S
            if self._asked() > 1 or (until is not None and time.monotonic() > until):
                raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))

    def _give_up(self) -> None:
        self._gone = True
        if self.out is not None:
            _point_at_nothing(self.out)


def _has_room(stream: TextIO) -> bool:
    """Waits for it a moment. What is no file always has, and where something is wrong writing says so."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return bool(poll.poll(_LOOK_EVERY_MS))
    except (OSError, ValueError):
        return True


def _hung_up(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(flags & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, flags in poll.poll(0))
    except (OSError, ValueError):
        return False


def _point_at_nothing(stream: TextIO) -> None:
    """What is left in the buffer goes to /dev/null, or Python complains about it when it ends."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
    except (OSError, ValueError):
        return
