"""Steps become journeys: what belongs to one packet, in order, in words, and how it ended."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from dropwatch import words
from dropwatch.enrich.packet import parse
from dropwatch.journey_model import End, Journey, RawStep, Step
from dropwatch.journey_words import DELIVERING, GRO, ROUTED, STEP_WORDS, answer, change, end_words, joined_by
from dropwatch.model import Event, Finding, Frame, Interface, Netns, Packet, Process

_SETTLED_NS = 200_000_000  # after its end a journey waits for steps of its other buffers
_QUIET_NS = 3_000_000_000  # without a step for so long it is told as it is: a queue or a socket has it
_MOST_STEPS = 20_000
_MOST_OPEN = 20_000
_STACK_BITS = 14  # the kernel's stacks are that large and aligned
_NO_PACKET = Packet(None, None, None, None, None, None, 0, 0)


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
    """Collects the steps of packets. Names come through functions: `frame` of an address, `netns` of an inode.

    `time_of` is the time since 1970, in seconds, at a monotonic time in nanoseconds. `texts` are words for functions,
    `answers` tells whether a function returns a number, `fields` are readers of the members that were asked for, by
    their names.
    """

    def __init__(
        self,
        frame: Callable[[int], Frame],
        netns: Callable[[int], str | None],
        time_of: Callable[[int], float],
        texts: Mapping[str, str],
        answers: Callable[[str], bool],
        fields: Mapping[str, Callable[[int], int]],
    ) -> None:
        self._frame, self._netns, self._time_of = frame, netns, time_of
        self._texts, self._answers, self._fields = texts, answers, fields
        self._open: dict[int, _Travelling] = {}
        self._given_up: list[Journey] = []
        self._queued: dict[int, None] = {}  # numbers of those that were told, and are read later
        self._told = 0
        self._functions: dict[int, Frame] = {}
        self._interfaces: dict[tuple[int, int], str] = {}  # by namespace and index

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
        steps = tuple(_Telling(self, raws, self._frame(found.died_at).function).steps())
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

    def function(self, address: int) -> Frame:
        """A probed function: where in it the probe stands is no news."""
        known = self._functions.get(address)
        if known is None:
            frame = self._frame(address) if address else Frame(None, 0, None, 0)
            known = self._functions[address] = Frame(frame.function, 0, frame.module, address)
        return known

    def caller(self, raw: RawStep) -> Frame | None:
        """Who freed it: the first frame that does not free on somebody's behalf."""
        for address in raw.callers:
            frame = self._frame(address)
            known = words.function(frame.function)
            if frame.function is not None and not (known and known.free) and not _is_tracing(frame.function):
                return frame
        return None

    def namespace(self, inode: int) -> Netns | None:
        return Netns(inode, self._netns(inode)) if inode else None

    def interface(self, raw: RawStep) -> Interface:
        """In TCP a packet has only the index left of its device: the name is that of the last step with one."""
        if raw.ifname:
            self._interfaces[raw.netns, raw.ifindex] = raw.ifname
        return Interface(raw.ifindex, self._interfaces.get((raw.netns, raw.ifindex)))

    def _is_gro(self, raw: RawStep) -> bool:
        return raw.kind == "call" and words.base_name(self.function(raw.function).function or "") in GRO

    def text(self, raw: RawStep, frame: Frame) -> str:
        if raw.kind == "call":
            name = words.base_name(frame.function or "")
            text = self._texts.get(name, "")
            return f"{text}: out of {raw.route_ifname}" if name in ROUTED and raw.route_ifname else text
        return STEP_WORDS[raw.kind]

    def returned(self, raw: RawStep) -> int | None:
        """What a function answered; None of one that returns nothing, a pointer, or nobody knows what."""
        if not self._answers(self.function(raw.function).function or ""):
            return None
        value = raw.value & 0xFFFFFFFF
        return value - (value >> 31 << 32)

    def fields(self, raw: RawStep) -> tuple[tuple[str, int | None], ...]:
        asked = zip(self._fields.items(), raw.fields, strict=False)
        return tuple((name, None if raw.may_be_gone else read(value)) for (name, read), value in asked)


class _Telling:
    """The steps of one journey, one after the other."""

    def __init__(self, journeys: Journeys, raws: list[RawStep], died_in: str | None) -> None:
        self._journeys = journeys
        self._raws = raws
        self._died_in = died_in
        self._calls: list[tuple[int, int]] = []  # stack pointer and index of calls that are open
        self._copies: dict[int, int] = {}
        self._packets: dict[int, Packet] = {}
        self._parsed: dict[tuple[bytes, int, int, int], Packet] = {}
        self._netns: dict[int, Netns] = {}  # where each buffer was last
        self._steps: list[Step] = []
        self._returns_seen = any(raw.kind == "return" for raw in raws)

    def steps(self) -> list[Step]:
        first = self._raws[0].monotonic_ns if self._raws else 0
        before = first
        for raw in self._raws:
            self._steps.append(self._step(raw, first, before))
            before = raw.monotonic_ns
        return self._steps

    def _step(self, raw: RawStep, first: int, before: int) -> Step:
        if raw.kind == "call":
            self._leave_calls(raw.sp)
        elif raw.kind == "return":
            self._returned(raw)
        frame = self._journeys.function(raw.function)
        if raw.kind == "consumed" and (caller := self._journeys.caller(raw)) is not None:
            frame = caller
        copy = self._copies.setdefault(raw.buffer, len(self._copies))
        if raw.kind == "copied" and raw.value:
            self._copies.setdefault(raw.value, len(self._copies))
            self._packets.setdefault(raw.value, self._packets.get(raw.buffer, _NO_PACKET))
            if raw.buffer in self._netns:
                self._netns.setdefault(raw.value, self._netns[raw.buffer])
        packet = self._packet(raw)
        known = words.function(frame.function)
        step = Step(
            seconds=(raw.monotonic_ns - first) / 1e9,
            since=(raw.monotonic_ns - before) / 1e9,
            kind=raw.kind,
            frame=frame,
            text=self._journeys.text(raw, frame),
            layer=known.layer if known else None,
            packet=packet,
            netns=self._namespace(raw),
            iface=self._journeys.interface(raw) if raw.ifindex else None,
            route=Interface(raw.route_ifindex, raw.route_ifname or None) if raw.route_ifindex else None,
            cpu=raw.cpu,
            process=Process(raw.pid, raw.comm) if raw.is_task else None,
            copy=copy,
            depth=len(self._calls),
            tap=raw.kind in ("receive", "transmit"),
            changed=self._changed(raw.buffer, packet),
            answer=answer(raw, frame.function) if raw.kind == "verdict" else None,
            fields=self._journeys.fields(raw),
        )
        if raw.kind == "call":
            self._calls.append((raw.sp, len(self._steps)))
        return self._with_its_packet(step) if raw.kind == "verdict" and raw.may_be_gone else step

    def _packet(self, raw: RawStep) -> Packet:
        """Most steps have the same one as the step before."""
        key = raw.packet, raw.protocol, raw.length, raw.mark
        packet = self._parsed.get(key)
        if packet is None:
            packet = self._parsed[key] = parse(*key)
        return packet

    def _namespace(self, raw: RawStep) -> Netns | None:
        """A packet that has lost its device and route is still where it was."""
        netns = self._journeys.namespace(raw.netns)
        if netns is None:
            return self._netns.get(raw.buffer)
        self._netns[raw.buffer] = netns
        return netns

    def _with_its_packet(self, step: Step) -> Step:
        """A verdict that came after the packet's end. What itself frees the packets that it drops says `stolen`."""
        said = step.answer
        if said and said.verdict == "stolen" and self._died_in == step.frame.function:
            step = replace(step, answer=replace(said, verdict="drop"))
        for last in reversed(self._steps):
            if last.copy == step.copy and last.kind != "return":
                return replace(step, packet=last.packet, iface=last.iface, route=last.route)
        return step

    def _leave_calls(self, sp: int) -> None:
        """A stack grows downwards: what stands below a new call of the same stack is over, whatever was missed.

        What stands at the same place is over, too, or has jumped to it: then its return is still to come.
        """
        while self._calls and self._calls[-1][0] >> _STACK_BITS == sp >> _STACK_BITS:
            last = self._calls[-1][0]
            if last > sp or (last == sp and self._returns_seen):
                return
            self._calls.pop()

    def _returned(self, raw: RawStep) -> None:
        for depth in reversed(range(len(self._calls))):
            sp, at = self._calls[depth]
            if (sp, self._raws[at].function) == (raw.sp, raw.function):
                del self._calls[depth:]
                duration = (raw.monotonic_ns - self._raws[at].monotonic_ns) / 1e9
                returned = self._journeys.returned(raw)
                self._steps[at] = replace(self._steps[at], duration=duration, returned=returned)
                return

    def _changed(self, buffer: int, packet: Packet) -> str | None:
        before = self._packets.get(buffer)
        if packet.family is None or packet.saddr is None or packet.header_error is not None:
            return None
        self._packets[buffer] = packet
        return change(before, packet) if before is not None and before.saddr is not None else None


def _first_packet(steps: tuple[Step, ...], found: _Travelling) -> Packet:
    if found.finding is not None and not steps:
        return found.finding.drop.packet
    whole = (step.packet for step in steps if step.packet.saddr is not None)
    return next(whole, steps[0].packet if steps else _NO_PACKET)


def _is_tracing(function: str) -> bool:
    return words.base_name(function).startswith(("__bpf_trace", "bpf_", "__traceiter", "trace_"))


def _end(raws: list[RawStep], steps: tuple[Step, ...], found: _Travelling) -> tuple[End, Process | None]:
    last = next((step for step in reversed(steps) if step.kind == "consumed"), None)
    delivered = any(words.base_name(step.frame.function or "") in DELIVERING for step in steps)
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
    return all(words.base_name(name or "") in DELIVERING for name in names)
