"""The steps of one journey: what each probe saw, with its packet, its place and how long it took."""

from dataclasses import replace

from dropwatch.aggregate.journey_words import answer, change
from dropwatch.aggregate.step_names import StepNames
from dropwatch.model.drop import Interface, Netns, Packet, Process
from dropwatch.model.journey import RawStep, Step
from dropwatch.names import symbols
from dropwatch.packet.parse import parse

_STACK_BITS = 14  # the kernel's stacks are that large and aligned
NO_PACKET = Packet(None, None, None, None, None, None, 0, 0)


class JourneySteps:
    """The steps of one journey, one after the other."""

    def __init__(self, names: StepNames, raws: list[RawStep], died_in: str | None) -> None:
        self._names = names
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
        frame = self._names.function(raw.function)
        if raw.kind == "consumed" and (caller := self._names.caller(raw)) is not None:
            frame = caller
        copy = self._copies.setdefault(raw.buffer, len(self._copies))
        if raw.kind == "copied" and raw.value:
            self._copies.setdefault(raw.value, len(self._copies))
            self._packets.setdefault(raw.value, self._packets.get(raw.buffer, NO_PACKET))
            if raw.buffer in self._netns:
                self._netns.setdefault(raw.value, self._netns[raw.buffer])
        packet = self._packet(raw)
        known = symbols.function(frame.function)
        step = Step(
            seconds=(raw.monotonic_ns - first) / 1e9,
            since=(raw.monotonic_ns - before) / 1e9,
            kind=raw.kind,
            frame=frame,
            text=self._names.text(raw, frame),
            layer=known.layer if known else None,
            packet=packet,
            netns=self._namespace(raw),
            iface=self._names.interface(raw) if raw.ifindex else None,
            route=Interface(raw.route_ifindex, raw.route_ifname or None) if raw.route_ifindex else None,
            cpu=raw.cpu,
            process=Process(raw.pid, raw.comm) if raw.is_task else None,
            copy=copy,
            depth=len(self._calls),
            tap=raw.kind in ("receive", "transmit"),
            changed=self._changed(raw.buffer, packet),
            answer=answer(raw, frame.function) if raw.kind == "verdict" else None,
            fields=self._names.fields(raw),
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
        netns = self._names.namespace(raw.netns)
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
                returned = self._names.returned(raw)
                self._steps[at] = replace(self._steps[at], duration=duration, returned=returned)
                return

    def _changed(self, buffer: int, packet: Packet) -> str | None:
        before = self._packets.get(buffer)
        if packet.family is None or packet.saddr is None or packet.header_error is not None:
            return None
        self._packets[buffer] = packet
        return change(before, packet) if before is not None and before.saddr is not None else None
