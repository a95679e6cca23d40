"""The read loop: what ends a run, that what has come is still read, and that the command is never left behind."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from dropwatch.errors import WhydropError
from dropwatch.recording.listener import Listener
from dropwatch.run.command import Command
from dropwatch.run.loop import Watch
from dropwatch.run.options import Options
from dropwatch.run.stop import Stop

Batch = list[Any] | Callable[[], list[Any]]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Told(str):
    """An event that is its own finding."""

    count = 1  # type: ignore[assignment]  # of a Finding
    monotonic_ns = 0


class Ring:
    """A source that hands out batches while attached, and what is left after it; time passes as it waits."""

    def __init__(self, clock: Clock, batches: Iterable[Batch], left: Iterable[list[Any]] = ()) -> None:
        self.clock = clock
        self.batches = list(batches)
        self.left = list(left)
        self.attached = True
        self.read_after_detach = 0
        self.waits: list[int] = []

    def read(self, timeout_ms: int) -> list[Any]:
        self.waits.append(timeout_ms)
        return [Told(event) for event in self._batch(timeout_ms)]

    def _batch(self, timeout_ms: int) -> list[Any]:
        if not self.attached:
            self.read_after_detach += 1
            return self.left.pop(0) if self.left else []
        if self.batches:
            batch = self.batches.pop(0)
            return batch() if callable(batch) else batch
        self.clock.now += timeout_ms / 1000
        return []

    def detach(self) -> None:
        self.attached = False


class Lines:
    """A renderer and an output in one: what was shown, when it was ticked, and whether anybody reads."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.ticks: list[float] = []
        self.reader_left = False

    def finding(self, finding: object, now: float) -> str:
        return f"{finding}\n"

    def tick(self, now: float) -> str:
        self.ticks.append(now)
        return ""

    def show(self, text: str) -> None:
        self.shown += text.splitlines()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> Lines:
    return Lines()


def watch(
    ring: Ring,
    lines: Lines,
    options: Options | None = None,
    stop: Stop | None = None,
    command: Command | None = None,
    judge: Callable[[Any], Any] = lambda event: event,
) -> Watch:
    return Watch(ring, judge, lines, lines, options or Options(), stop or Stop(), command, ring.clock)


def after(action: Callable[[], object], batch: list[Any]) -> Callable[[], list[Any]]:
    """A batch that comes together with something else that happens."""

    def read() -> list[Any]:
        action()
        return batch

    return read


class FullDisk(Listener):
    """There is room for one finding."""

    failure: WhydropError | None = None

    def shown(self, now: float) -> None:
        self.failure = WhydropError("--write x: cannot be written: No space left on device", "make room")


def test_a_full_disk_ends_it_and_what_has_come_is_still_shown(clock: Clock, lines: Lines) -> None:
    ring = Ring(clock, [["a"], ["never"]], left=[["b"], ["c"]])
    run = Watch(ring, lambda event: event, lines, lines, Options(), Stop(), None, clock, FullDisk())  # type: ignore[arg-type, return-value]
    list(run.run(lambda: None))
    assert lines.shown == ["a", "b", "c"]
    assert run.blind_spots == ("--write x: cannot be written: No space left on device",)
    assert not ring.attached


def test_it_ends_after_the_count_and_says_what_it_left(clock: Clock, lines: Lines) -> None:
    ring = Ring(clock, [["a", "b"], ["c", "d", "e"]], left=[["f"], ["g"]])
    run = watch(ring, lines, Options(count=3))
    list(run.run(lambda: None))
    assert lines.shown == ["a", "b", "c"]
    assert (run.reported, run.unread) == (3, 4)
    assert run.blind_spots == ("4 events that had come were not looked at: --count 3 was reached",)
    assert not ring.attached


def test_the_first_thread_stays_in_its_namespace(clock: Clock, lines: Lines) -> None:
    """`ip netns pids` names a process by its first thread; judging enters other namespaces."""
    threads: set[threading.Thread] = set()

    def judge(event: Any) -> Any:
        threads.add(threading.current_thread())
        return event

    list(watch(Ring(clock, [["a"], ["b"]]), lines, Options(count=2), judge=judge).run(lambda: None))
    assert len(threads) == 1
    assert threading.main_thread() not in threads


def test_only_findings_count(clock: Clock, lines: Lines) -> None:
    ring = Ring(clock, [["a", "no", "b"], ["no", "c"]])
    run = watch(ring, lines, Options(count=2), judge=lambda event: None if event == "no" else event)
    list(run.run(lambda: None))
    assert lines.shown == ["a", "b"]


def test_the_duration_ends_it_on_time(clock: Clock, lines: Lines) -> None:
    ring = Ring(clock, [["a"]], left=[["b"]])
    run = watch(ring, lines, Options(duration=0.25))
    list(run.run(lambda: None))
    assert clock.now == pytest.approx(0.25, abs=0.002)
    assert lines.shown == ["a", "b"]
    assert run.blind_spots == ()


def test_the_duration_begins_when_it_is_ready(clock: Clock, lines: Lines) -> None:
    ring = Ring(clock, [["early"]])

    def ready() -> None:
        clock.now += 100

    list(watch(ring, lines, Options(duration=0.5)).run(ready))
    assert clock.now == pytest.approx(100.5, abs=0.002)


def test_who_has_time_waits_longer_for_a_drop_but_not_for_the_end(clock: Clock, lines: Lines) -> None:
    ring = Ring(clock, [])
    options = Options(duration=1.25)
    patient = Watch(ring, lambda event: event, lines, lines, options, Stop(), None, clock, patience_ms=500)  # type: ignore[arg-type, return-value]
    list(patient.run(lambda: None))
    assert [wait for wait in ring.waits if wait] == [500, 500, 251]
    assert clock.now == pytest.approx(1.25, abs=0.002)


def test_it_is_ready_after_the_first_read_and_before_the_first_finding_is_shown(
    clock: Clock, lines: Lines
) -> None:
    ring = Ring(clock, [["a"]])
    seen = []
    list(watch(ring, lines, Options(count=1)).run(lambda: seen.append((len(ring.waits), list(lines.shown)))))
    assert seen == [(1, [])]


def test_a_signal_ends_it_and_what_is_in_the_ring_is_still_told(clock: Clock, lines: Lines) -> None:
    with Stop() as stop:
        ring = Ring(
            clock, [["a"], after(lambda: os.kill(os.getpid(), signal.SIGTERM), ["b"])], left=[["c"], ["d"]]
        )
        run = watch(ring, lines, stop=stop)
        list(run.run(lambda: None))
    assert lines.shown == ["a", "b", "c", "d"]
    assert run.unread == 0


def test_a_second_signal_cuts_it_short_and_the_rest_is_counted(clock: Clock, lines: Lines) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with Stop() as stop:
        ring = Ring(clock, [["a"], after(twice, ["b"])], left=[["c"], ["d"]])
        run = watch(ring, lines, stop=stop)
        list(run.run(lambda: None))
    assert lines.shown == ["a"]
    assert run.unread == 3
    assert "told to stop at once" in run.blind_spots[0]


def test_nobody_waits_for_a_whole_batch(clock: Clock, lines: Lines) -> None:
    """A stop that comes while many events are judged takes the probes off before the rest is judged."""
    stop = Stop()
    ring = Ring(clock, [[], list(range(100))], left=[["last"]])
    seen: list[tuple[int, bool]] = []  # how many lines are out, and whether the probes are on

    def judge(event: object) -> object:
        clock.now += 0.01
        seen.append((len(lines.shown), ring.attached))
        if event == "20":
            stop.ask()
        return event

    run = watch(ring, lines, stop=stop, judge=judge)
    list(run.run(lambda: None))
    assert lines.shown == [*map(str, range(100)), "last"], "what had come is still told"
    assert max(at - shown for at, (shown, _) in enumerate(seen)) <= 7
    assert [on for _, on in seen].index(False) <= 30


def test_a_tick_comes_when_all_that_was_read_has_been_judged(clock: Clock, lines: Lines) -> None:
    """A journey that is not over by then is told to be open, a row without a sample to be unknown."""
    ring = Ring(clock, [list(range(20)), list(range(20, 40))])
    judged: list[object] = []
    at_ticks: list[int] = []

    def judge(event: object) -> object:
        clock.now += 0.02
        judged.append(event)
        return event

    def tick(now: float) -> str:
        at_ticks.append(len(judged))
        return ""

    lines.tick = tick  # type: ignore[method-assign]
    list(watch(ring, lines, Options(duration=2.0), judge=judge).run(lambda: None))
    assert len(judged) == 40
    assert set(at_ticks) == {20, 40}


def test_who_is_to_end_before_it_began_starts_no_command(clock: Clock, lines: Lines, tmp_path: Path) -> None:
    stop = Stop()
    stop.ask()
    command = Command(("touch", str(tmp_path / "started")))
    list(watch(Ring(clock, [["a"]]), lines, stop=stop, command=command).run(lambda: None))
    assert lines.shown == ["a"]
    assert not (tmp_path / "started").exists()
    assert command.failure() is None


def test_a_reader_that_left_ends_it(clock: Clock, lines: Lines) -> None:
    def leave() -> None:
        lines.reader_left = True

    ring = Ring(clock, [["a"], after(leave, ["b"])], left=[["c"]])
    list(watch(ring, lines).run(lambda: None))
    assert not ring.attached
    assert ring.read_after_detach == 0


def test_the_renderer_is_ticked_also_when_nothing_comes(clock: Clock, lines: Lines) -> None:
    list(watch(Ring(clock, []), lines, Options(duration=1.0)).run(lambda: None))
    gaps = [later - earlier for earlier, later in zip(lines.ticks, lines.ticks[1:], strict=False)]
    assert len(gaps) >= 10
    assert max(gaps) <= 0.11


def test_an_error_does_not_leave_the_command_behind(clock: Clock, lines: Lines) -> None:
    command = Command((sys.executable, "-c", "import time; time.sleep(60)"))

    def broken(event: object) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(watch(Ring(clock, [[], ["a"]]), lines, command=command, judge=broken).run(lambda: None))
    assert command.ended()


def test_it_ends_with_its_command_and_reads_what_came_last(clock: Clock, lines: Lines) -> None:
    command = Command((sys.executable, "-c", "pass"))

    def wait() -> None:
        assert command._process is not None
        command._process.wait()

    ring = Ring(clock, [[], after(wait, ["a"]), ["b"], ["c"]], left=[["d"]])
    list(watch(ring, lines, command=command).run(lambda: None))
    assert lines.shown == ["a", "b", "c", "d"]
    assert command.failure() is None


def test_drops_that_never_end_do_not_keep_it_beyond_its_command(clock: Clock, lines: Lines) -> None:
    command = Command((sys.executable, "-c", "pass"))

    def wait() -> None:
        assert command._process is not None
        command._process.wait()

    def more() -> list[str]:
        clock.now += 0.1
        return ["x"]

    ring = Ring(clock, [[], after(wait, []), *[more] * 100])
    list(watch(ring, lines, command=command).run(lambda: None))
    assert 1.0 <= clock.now <= 1.3


def test_the_count_ends_the_command_too(clock: Clock, lines: Lines) -> None:
    command = Command((sys.executable, "-c", "import time; time.sleep(60)"))
    list(watch(Ring(clock, [["a"]]), lines, Options(count=1), command=command).run(lambda: None))
    assert command.ended()
    assert command.failure() is None


def test_the_command_is_started_before_less_is_allowed(clock: Clock, lines: Lines, tmp_path: Path) -> None:
    command = Command((sys.executable, "-c", "pass"))
    seen: list[object] = []
    ring = Ring(clock, [[], after(lambda: seen.append("read"), ["a"])])
    run = watch(ring, lines, command=command).run(
        lambda: seen.append(command._process), lambda: seen.append(command._process)
    )
    list(run)
    before, then, *_ = seen
    assert before is None
    assert then is not None
