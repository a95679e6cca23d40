"""Turns the signals that end a program into a question that the read loop can ask."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class Stopped(KeyboardInterrupt):
    """The run was asked to end while it waited for something that may never come."""


class Stop:
    """`asked` is how often a run was asked to end: once ends it in good order, twice cuts the good order short.

    As a context it notes SIGINT, SIGTERM and SIGHUP instead of obeying them; SIGHUP stays ignored where it was (nohup).
    That works in the main thread only, as Python's signals do; without it no signal is touched.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._waits = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Self":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before = signal.getsignal(number)
            if number == signal.SIGHUP and before == signal.SIG_IGN:
                continue
            self._before[number] = before
            signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside it something is waited for that may never come: a signal raises Stopped there."""
        self._waits = True
        try:
            if self.asked:
                raise Stopped
            yield
        finally:
            self._waits = False

    def ask(self) -> None:
        """The same without a signal."""
        self.asked += 1

    def at_once(self) -> None:
        """As if a second signal had come."""
        self.asked += 2

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1
        if self._waits:
            raise Stopped
