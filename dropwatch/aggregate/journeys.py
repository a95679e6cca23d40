"""Steps become journeys: what belongs to one packet, in order, in words, and how it ended."""

from collections.abc import Callable, Iterable
from dataclasses import field

from dropwatch.aggregate.journey_steps import NO_PACKET, JourneySteps
from dropwatch.aggregate.journey_words import DELIVERING, GRO, end_words, joined_by
from dropwatch.aggregate.step_names import StepNames
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Event, Finding, Packet, Process
from dropwatch.model.journey import End, Journey, RawStep, Step
from dropwatch.names import symbols

_SETTLED_NS = 200_000_000  # after its end a journey waits for steps of its other buffers
_QUIET_NS = 3_000_000_000  # without a step for so long it is told as it is: a queue or a socket has it
_MOST_STEPS = 20_000
_MOST_OPEN = 20_000


@dataclass(slots=True)
class _Travelling:
    """A journey that is still open."""

    steps: list[RawStep] = field(default_factory=list)
    alive: set[int] = field(default_factory=set)  # addresses of buffers
    fits: bool = False
    finding: Finding | None = None
    died_ns: int | None = None
    died_at: int = 0  # address
    last_ns: int = 0
    left_out: int = 0


class Journeys:
    """Collects the steps of packets. `time_of` is the time since 1970, in seconds, at a monotonic time in ns."""

    def __init__(self, names: StepNames, time_of: Callable[[int], float]) -> None:
        self._names, self._time_of = names, time_of
        self._open: dict[int, _Travelling] = {}
        self._given_up: list[Journey] = []
        self._queued: dict[int, None] = {}  # numbers of those that were told, and are read later
        self._told = 0

    def step(self, raw: RawStep) -> None:
        if raw.journey in self._queued:
            return
        found = self._of(raw.journey)
        if len(found.steps) < _MOST_STEPS:
            found.steps.append(raw)
        else:
            found.left_out += 1
        found.fits = found.fits or raw.fits
        found.last_ns = max(found.last_ns, raw.monotonic_ns)
        if raw.may_be_gone:
            return
        found.alive.add(raw.buffer)
        if raw.kind == "copied":
            found.alive.add(raw.value)
        elif raw.kind == "consumed" or self._is_gro(raw):
            found.alive.discard(raw.buffer)

    def dropped(self, event: Event, finding: Finding | None) -> None:
        """A death; `finding` is None when it was not asked for: then it only ends a journey."""
        if finding is None and not event.journey:
            return
        found = self._of(event.journey or -event.monotonic_ns)  # of that one nothing but its end was seen
        found.finding = found.finding or finding
        found.died_ns, found.died_at = event.monotonic_ns, event.location
        found.last_ns = max(found.last_ns, event.monotonic_ns)
        found.alive.discard(event.skb)

    def ended(self, now_ns: int) -> list[Journey]:
        """Those that are over, or of which nothing was seen for long, oldest first."""
        over = [
            number
            for number, one in self._open.items()
            if now_ns - one.last_ns > (_QUIET_NS if one.alive else _SETTLED_NS)
        ]
        return self._take(over)

    def rest(self) -> list[Journey]:
        """All that are left."""
        return self._take(list(self._open))

    def _of(self, number: int) -> _Travelling:
        found = self._open.get(number)
        if found is None:
            found = self._open[number] = _Travelling()
            if len(self._open) > _MOST_OPEN:  # a flood
                self._given_up = self._take([next(iter(self._open))])
        return found

    def _take(self, numbers: Iterable[int]) -> list[Journey]:
        journeys, self._given_up = self._given_up, []
        for number in numbers:
            found = self._open.pop(number)
            if found.fits or found.finding is not None:
                self._told += 1
                journeys.append(self._journey(found, self._told))
                if found.alive and journeys[-1].end == "delivered":
                    self._queued[number] = None
        while len(self._queued) > _MOST_OPEN:
            del self._queued[next(iter(self._queued))]
        return journeys

    def _journey(self, found: _Travelling, number: int) -> Journey:
        raws = sorted(found.steps, key=lambda raw: raw.monotonic_ns)
        steps = tuple(JourneySteps(self._names, raws, self._names.frame(found.died_at).function).steps())
        end, process = _end(raws, steps, found)
        first_ns = raws[0].monotonic_ns if raws else found.died_ns or 0
        return Journey(
            number=number,
            time=self._time_of(first_ns),
            packet=_first_packet(steps, found),
            steps=steps,
            end=end,
            end_text=end_words(end, steps, process, found.left_out),
            finding=found.finding if end == "dropped" else None,
            process=process,
        )

    def _is_gro(self, raw: RawStep) -> bool:
        return (
            raw.kind == "call" and symbols.base_name(self._names.function(raw.function).function or "") in GRO
        )


def _first_packet(steps: tuple[Step, ...], found: _Travelling) -> Packet:
    if found.finding is not None and not steps:
        return found.finding.drop.packet
    whole = (step.packet for step in steps if step.packet.saddr is not None)
    return next(whole, steps[0].packet if steps else NO_PACKET)


def _end(raws: list[RawStep], steps: tuple[Step, ...], found: _Travelling) -> tuple[End, Process | None]:
    last = next((step for step in reversed(steps) if step.kind == "consumed"), None)
    delivered = any(symbols.base_name(step.frame.function or "") in DELIVERING for step in steps)
    harmless = found.finding is None or found.finding.cause_id.startswith("benign.")
    if found.died_ns is not None and not (harmless and (delivered or found.alive)):
        return "dropped", None
    if found.alive:
        return ("delivered" if _is_queued(raws, steps, found) else "open"), None
    if delivered:
        return "delivered", last.process if last is not None else None
    if joined_by(steps) is not None:
        return "consumed", None
    landmark = next((raw for raw in reversed(raws) if raw.kind in ("receive", "transmit")), None)
    return ("sent", None) if landmark is not None and landmark.kind == "transmit" else ("consumed", None)


def _is_queued(raws: list[RawStep], steps: tuple[Step, ...], found: _Travelling) -> bool:
    """Whether all that is left of it was last seen where sockets take packets."""
    last = {
        raw.buffer: step
        for raw, step in zip(raws, steps, strict=True)
        if raw.kind not in ("return", "copied")
    }
    names = (last[buffer].frame.function if buffer in last else None for buffer in found.alive)
    return all(symbols.base_name(name or "") in DELIVERING for name in names)
