"""`whydrop watch`: a live run whose findings end in the store."""

import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from dropwatch import __version__
from dropwatch.host.netns.netns import own_inode
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.model.drop import Drop, Event, Finding, Totals
from dropwatch.model.resent import Lost
from dropwatch.names.foreign import foreign, printable
from dropwatch.probe.check.preflight import first_obstacle
from dropwatch.recording.listener import Listener
from dropwatch.render.closing import closing
from dropwatch.render.layout import Layout, layout_for
from dropwatch.render.opening import watching
from dropwatch.render.screen import Screen
from dropwatch.run.mode import Mode, Probes
from dropwatch.run.options import Options
from dropwatch.run.stop import Stop
from dropwatch.watch.address import Address
from dropwatch.watch.measure import Measure, measure
from dropwatch.watch.notify import notify
from dropwatch.watch.sender import Way
from dropwatch.watch.store import Bounds, Store, Who
from dropwatch.watch.teller import Teller

_ALIVE_EVERY_SECONDS = 10.0


class Keeping:
    """A renderer without words: what it is given goes to the store, to who counts for Prometheus, and to who
    tells others.
    """

    def __init__(self, store: Store, measure: Measure, teller: Teller) -> None:
        self._store, self._measure, self._teller = store, measure, teller
        self._alive = 0.0

    def finding(self, finding: Finding, now: float) -> str:
        self._store.add(finding)
        self._measure.add(finding)
        self._teller.add(finding)
        return ""

    def tick(self, now: float) -> str:
        self._store.tick()
        self._measure.tick()
        self._teller.tick()
        if now - self._alive >= _ALIVE_EVERY_SECONDS:
            self._alive = now
            notify("WATCHDOG=1")
        return ""

    def sent_again(self, lost: Lost, now: float) -> str:
        return ""

    def end(self, totals: Totals, now: float) -> str:
        self._measure.take(totals)
        self._store.end(None if totals.lost is None else sum(totals.lost.values()))
        return ""


class Recording(Mode):
    """Plain findings, for the store. `so_far` is what the run has counted, once it has begun."""

    patience_ms: ClassVar[int] = 500  # nobody looks on, and each turn of the loop costs, for weeks

    def __init__(self, store: Store, measure: Measure, teller: Teller, so_far: Callable[[], Totals]) -> None:
        super().__init__(Keeping(store, measure, teller), first_of_a_sort=1)  # the others only count
        self._store, self._measure, self._teller, self._so_far = store, measure, teller, so_far

    def begin(self, probes: Probes, named: Callable[[Event], Drop]) -> None:
        self._store.begin()
        self._measure.begin(self._so_far, self._teller.undelivered)
        self._teller.start()


class Told:
    """The face of the recorder: standard error, and systemd. `answer` begins to answer Prometheus."""

    reader_left = False
    explains = False

    def __init__(
        self, screen: Screen, layout: Layout, path: Path, answer: Callable[[], None], *, quiet: bool
    ) -> None:
        self._screen, self._layout, self._path, self._quiet = screen, layout, path, quiet
        self._answer = answer

    def starting(self) -> None:
        """Nobody sits there and waits."""

    def ready(self, watched: str, blind_spots: tuple[str, ...]) -> None:
        self._answer()
        notify("READY=1")
        if not self._quiet:
            words = f"{watched} packets of all network namespaces, kept in {self._path}"
            self._screen.say(watching(words, blind_spots, self._layout))

    def show(self, text: str) -> None:
        """A recorder has no output."""

    def say(self, sentence: str) -> None:
        """What was lost, and what is wrong."""
        self._screen.say(f"whydrop: {printable(sentence)}\n")


def record(
    options: Options,
    path: Path,
    bounds: Bounds,
    listen: Address | None,
    ways: Sequence[Way],
    screen: Screen,
    stop: Stop,
) -> None:
    """Until it is asked to end. Events go by the `ways`."""
    from dropwatch.run.live import Live  # slow to import

    obstacle = first_obstacle()
    if obstacle is not None:
        raise obstacle
    measured, answer = measure(listen)
    layout = layout_for(screen.err, options.no_color)
    face = Told(screen, layout, path, answer, quiet=options.quiet)
    who = Who(__version__, foreign(socket.gethostname()), own_inode() or 0)
    teller = Teller(ways, who.own_netns, face.say)
    store = Store(path, who, bounds, face.say, wall=time.time, clock=time.monotonic)

    def mode_of(symbols: Kallsyms, listener: Listener) -> Mode:
        return Recording(store, measured, teller, lambda: run.so_far())

    run = Live(options, mode_of, face, stop)
    try:
        with run:
            deque(run, maxlen=0)
    finally:
        notify("STOPPING=1")
        teller.end(lambda: stop.asked > 1)
        if run.is_over:
            screen.say(closing(run.totals, layout, () if options.quiet else run.told))
        else:
            store.end(None)
