"""The read loop: takes events until the user, the count, the clock, the command or a full disk ends it."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from dropwatch.model.drop import Event, Finding
from dropwatch.recording.listener import Listener
from dropwatch.run.command import Command
from dropwatch.run.mode import PATIENCE_MS
from dropwatch.run.options import Options
from dropwatch.run.stop import Stop

_SHOW_EVERY_SECONDS = 0.05  # of judging: nobody waits longer to see a finding, or for a stop
_LINGER_SECONDS = 1.0


class Source(Protocol):
    """Where Events come from; attached when it is handed over."""

    def read(self, timeout_ms: int) -> list[Event]: ...
    def detach(self) -> None: ...


class Shown(Protocol):
    """What is shown becomes text. `now` is a clock in seconds that only goes forward."""

    def finding(self, finding: Finding, now: float) -> str: ...
    def tick(self, now: float) -> str: ...


class Output(Protocol):
    """Where the text goes."""

    @property
    def reader_left(self) -> bool: ...
    def show(self, text: str) -> None: ...


class Watch:
    """One run over one source. `reported` are the drops shown, `unread` the events left when it was cut short.

    Drops are judged in a thread of its own, while the first one waits: judging enters other network namespaces, and
    the namespace of a process is that of its first thread. `ip netns pids`, by which scripts find what they kill
    before they delete a namespace, would name whydrop.
    """

    def __init__(
        self,
        source: Source,
        judge: Callable[[Event], Finding | None],
        shown: Shown,
        output: Output,
        options: Options,
        stop: Stop,
        command: Command | None = None,
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
        due: Callable[[int | None], Iterable[Finding]] = lambda now_ns: (),
        patience_ms: int = PATIENCE_MS,
    ) -> None:
        """`due` gives findings that waited for others, by the events' clock; None: all. `patience_ms` is how long the
        source is waited for: nothing that is due is told meanwhile.
        """
        self._source = source
        self._judge = judge
        self._shown = shown
        self._output = output
        self._options = options
        self._stop = stop
        self._command = command
        self._clock = clock
        self._listener = listener or Listener()
        self._due = due
        self._patience = patience_ms
        self._end = float("inf")
        self._linger_until: float | None = None
        self._pending: deque[Event] = deque()
        self._told = 0
        self.reported = 0
        self.unread = 0

    def run(
        self, is_ready: Callable[[], None], is_started: Callable[[], None] = lambda: None
    ) -> Generator[Finding, None, None]:
        """Gives the findings when they have been shown; at the end the source is detached and read to its end.

        `is_ready` is called once events are being read, `is_started` after the command has been started. It is not
        started when the run is to end already.
        """
        with ThreadPoolExecutor(1, "judge") as self._judging:
            try:
                self._read(0)
                is_ready()
                if self._command is not None and not self._stop.asked:
                    self._command.start()
                is_started()
                self._end = self._clock() + (self._options.duration or float("inf"))
                quiet = not self._pending
                yield from self._take()
                while not self._over(quiet=quiet):
                    if not self._pending:
                        self._read(self._patience_ms())
                        quiet = not self._pending
                    yield from self._take()
                self._source.detach()
            finally:
                if self._command is not None:
                    self._command.stop(impatient=self._impatient)
            # What was in the ring when the probes went. A ring that nobody fills is empty after a few reads.
            while not self._output.reader_left:
                if not self._pending:
                    self._read(0)
                if not self._pending:
                    break
                yield from self._take()
            last = self._judging.submit(lambda: list(self._tell_due(None))).result()
            self._output.show("".join(text for _, text in last))
            yield from (finding for finding, _ in last)

    @property
    def blind_spots(self) -> tuple[str, ...]:
        """What it left lying, in words."""
        unwritten = (self._listener.failure.message,) if self._listener.failure is not None else ()
        if not self.unread:
            return unwritten
        why = (
            f"--count {self._options.count} was reached"
            if self._enough()
            else "whydrop was told to stop at once"
        )
        events = (
            "1 event that had come was" if self.unread == 1 else f"{self.unread} events that had come were"
        )
        return (*unwritten, f"{events} not looked at: {why}")

    def _read(self, timeout_ms: int) -> None:
        self._pending.extend(self._source.read(timeout_ms))

    def _take(self) -> list[Finding]:
        return self._judging.submit(self._judge_some).result()

    def _judge_some(self) -> list[Finding]:
        """Judge and show some; what comes after the last finding that was asked for stays unread."""
        texts, found = [], []
        until = self._clock() + _SHOW_EVERY_SECONDS
        while self._pending and self._clock() <= until:
            if self._enough() or self._impatient():
                self.unread += len(self._pending)
                self._pending.clear()
                break
            finding = self._judge(self._pending.popleft())
            if finding is not None:
                self._listener.shown(self._clock())
                texts.append(self._tell(finding))
                found.append(finding)
        for finding, text in self._tell_due(self._time_ns()):
            texts.append(text)
            found.append(finding)
        if not self._pending:  # a tick may take it that everything which was read has been judged
            now = self._clock()
            self._listener.tick(now)
            texts.append(self._shown.tick(now))
        self._output.show("".join(texts))
        return found

    def _tell(self, finding: Finding) -> str:
        self._told += 1
        self.reported += finding.count
        return self._shown.finding(finding, self._clock())

    def _tell_due(self, now_ns: int | None) -> Iterator[tuple[Finding, str]]:
        for finding in self._due(now_ns):
            if self._enough():
                self.unread += finding.count
            else:
                yield finding, self._tell(finding)

    def _time_ns(self) -> int:
        """To which events have been judged."""
        return self._pending[0].monotonic_ns if self._pending else int(self._clock() * 1e9)

    def _over(self, *, quiet: bool) -> bool:
        return bool(
            self._stop.asked
            or self._enough()
            or self._clock() >= self._end
            or self._output.reader_left
            or self._listener.failure is not None
            or self._command_is_done(quiet)
        )

    def _command_is_done(self, quiet: bool) -> bool:
        """It has ended, and what it sent last had the time to die: a whole poll brought nothing more."""
        if self._command is None or not self._command.ended():
            return False
        if self._linger_until is None:
            self._linger_until = self._clock() + _LINGER_SECONDS
            return False
        return quiet or self._clock() >= self._linger_until

    def _enough(self) -> bool:
        return self._options.count is not None and self._told >= self._options.count

    def _impatient(self) -> bool:
        """Asked twice to stop."""
        return self._stop.asked > 1

    def _patience_ms(self) -> int:
        left = (self._end - self._clock()) * 1000
        return max(0, min(self._patience, int(left) + 1)) if left < self._patience else self._patience
