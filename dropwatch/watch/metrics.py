"""What the recorder has counted, for Prometheus: at most 1,000 series, whatever names rules and programs have."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from dropwatch.aggregate.sort import did_it, lasting, whose
from dropwatch.model.culprits import Socket
from dropwatch.model.drop import Finding, Process, Totals
from dropwatch.names.foreign import printable
from dropwatch.watch.bounded import Bounded

MOST_SERIES = 1000  # all of them
_BY_CAUSE = 400  # cause, direction and confidence
_BY_OBJECT = _BY_OWNER = 120
_BY_SOURCE = _HARMLESS = 80  # the names are whydrop's own, and there are fewer
_AT_ONCE = 60  # of objects, of owners
_LONGEST = 120  # characters of a label
_SAMPLED_EVERY_SECONDS = 1.0
_ALIVE_SECONDS = 60.0
_FIRST_OF_CLIENTS = 32768  # net.ipv4.ip_local_port_range
_OTHER, _NONE, _UNKNOWN = "other", "none", "unknown"

Pair = tuple[str, str]  # kind and name
Clock = Callable[[], float]


class Metrics(Collector):
    """Findings are counted where they are judged, and collect() is called by the threads that answer Prometheus.

    `clock` only goes forward, `wall` is seconds since 1970.
    """

    def __init__(self, version: str, clock: Clock = time.monotonic, wall: Clock = time.time) -> None:
        self._version, self._clock, self._wall = version, clock, wall
        self._lock = threading.Lock()
        self._drops = Bounded((_OTHER, _OTHER, _OTHER), _BY_CAUSE, _BY_CAUSE)
        self._objects = Bounded((_OTHER, _OTHER), _BY_OBJECT, _AT_ONCE)
        self._owners = Bounded((_OTHER, _OTHER), _BY_OWNER, _AT_ONCE)
        for counts in (self._objects, self._owners):
            counts.add((_NONE, _NONE), 0)  # has its place, whatever comes first
        self._totals: Totals | None = None
        self._so_far: Callable[[], Totals] | None = None
        self._undelivered: Callable[[], dict[str, int]] = dict
        self._began = 0.0
        self._sampled = self._ticked = float("-inf")

    def begin(self, so_far: Callable[[], Totals], undelivered: Callable[[], dict[str, int]]) -> None:
        """The probes are attached. `so_far` is what the run has counted, to be asked in tick() only; `undelivered` how
        many events did not get to whom they are sent, to be asked by any thread.
        """
        self._so_far, self._undelivered = so_far, undelivered
        self._began = self._wall()

    def add(self, finding: Finding) -> None:
        """A finding, with as many packets as it stands for."""
        cause = (finding.cause_id, finding.drop.where.direction or _UNKNOWN, finding.confidence)
        by, owner = _object(finding), _owner(whose(finding))
        with self._lock:
            self._drops.add(cause, finding.count)
            self._objects.add(by, finding.count)
            self._owners.add(owner, finding.count)

    def tick(self) -> None:
        """The recorder goes on. To be called often."""
        now = self._ticked = self._clock()
        if self._so_far is not None and now - self._sampled >= _SAMPLED_EVERY_SECONDS:
            self._sampled = now
            self.take(self._so_far())

    def take(self, totals: Totals) -> None:
        """What the run has counted until now."""
        with self._lock:
            self._totals = totals

    def alive(self) -> bool:
        """Whether the recorder has gone on in the last minute."""
        return self._clock() - self._ticked < _ALIVE_SECONDS

    def collect(self) -> Iterator[Metric]:
        """All series at one moment."""
        with self._lock:
            drops, objects = list(self._drops.items()), list(self._objects.items())
            owners, totals = list(self._owners.items()), self._totals
        words = "Packets that died, by the cause that whydrop found."
        yield _counter("whydrop_drops", words, ("cause", "direction", "confidence"), drops)
        words = "Packets that died, by the object of the configuration that did it."
        yield _counter("whydrop_object_drops", words, ("kind", "object"), objects)
        words = "Packets that died, by whose they were."
        yield _counter("whydrop_owner_drops", words, ("kind", "owner"), owners)
        if totals is not None:
            yield from _of_run(totals)
        words = "Events of --otlp and --journal that could not be delivered."
        undelivered = self._undelivered().items()
        yield _counter("whydrop_undelivered", words, ("to",), (((to,), count) for to, count in undelivered))
        words = "When it began to watch, in seconds since 1970; 0 before that."
        yield GaugeMetricFamily("whydrop_start_time_seconds", words, self._began)
        yield InfoMetricFamily("whydrop_build", "Which whydrop this is.", {"version": self._version})

    def registry(self) -> CollectorRegistry:
        """This, and what the process costs: processor time, memory, open files."""
        found = CollectorRegistry()
        found.register(self)
        ProcessCollector(registry=found)
        return found


def _of_run(totals: Totals) -> Iterator[Metric]:
    """The counts of the kernel, and those of all that was judged."""
    words = "Hits of each probe, counted in the kernel, harmless ones too."
    seen = Bounded((_OTHER,), _BY_SOURCE, _BY_SOURCE)
    for source, count in (totals.seen_by or {}).items():
        seen.add((source,), count)
    yield _counter("whydrop_seen", words, ("source",), seen.items())
    words = "Harmless drops, which are counted nowhere else, by why they are."
    harmless = Bounded((_OTHER,), _HARMLESS, _HARMLESS)
    for cause, count in totals.suppressed.items():
        harmless.add((cause,), count)
    yield _counter("whydrop_harmless", words, ("cause",), harmless.items())
    yield CounterMetricFamily(
        "whydrop_matched", "Packets that died and are no harmless ones.", totals.matched
    )
    lost = sum((totals.lost or {}).values())
    yield CounterMetricFamily("whydrop_lost", "Events that could not be delivered to whydrop.", lost)
    words = "What whydrop knows that it cannot see: its log has a sentence for each at start and end."
    yield GaugeMetricFamily("whydrop_blind_spots", words, len(totals.blind_spots))


def _counter(
    name: str, words: str, labels: tuple[str, ...], counts: Iterable[tuple[tuple[str, ...], int]]
) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def _object(finding: Finding) -> Pair:
    if finding.culprit is None or not did_it(finding):
        return _NONE, _NONE
    kind, *parts = lasting(finding.culprit)
    if isinstance(finding.culprit, Socket):  # not one for each client
        socket = finding.culprit
        parts = [socket.proto, socket.address, socket.port if socket.port < _FIRST_OF_CLIENTS else "*"]
    return str(kind), _label(" ".join(str(part) for part in parts if part is not None))


def _owner(process: Process | None) -> Pair:
    """The widest thing that has a name of its own: all that a service starts is the service."""
    if process is not None:
        if process.pod_name is not None:
            return "pod", _label(f"{process.pod_namespace}/{process.pod_name}")
        names = {
            "container": process.container_name or process.container,
            "pod": process.pod if process.container is None else None,
            "unit": process.unit,
            "comm": process.comm,
        }
        for kind, name in names.items():
            if name:
                return kind, _label(name)
    return _NONE, _NONE


def _label(text: str) -> str:
    """Printable and not long, whatever it was. Two names may become one."""
    text = printable(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
