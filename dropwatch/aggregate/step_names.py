"""What a step is called by: functions, callers, namespaces, interfaces, members of a packet."""

from collections.abc import Callable, Mapping

from dropwatch.aggregate.journey_words import ROUTED, STEP_WORDS
from dropwatch.model.drop import Frame, Interface, Netns
from dropwatch.model.journey import RawStep
from dropwatch.names import symbols


class StepNames:
    """Names come through functions: `frame` of an address, `netns` of an inode.

    `answers` tells whether a function returns a number, `fields` are readers of the
    members that were asked for, by their names.
    """

    def __init__(
        self,
        frame: Callable[[int], Frame],
        netns: Callable[[int], str | None],
        answers: Callable[[str], bool],
        fields: Mapping[str, Callable[[int], int]],
    ) -> None:
        self.frame = frame
        self._netns, self._answers, self._fields = netns, answers, fields
        self._functions: dict[int, Frame] = {}
        self._interfaces: dict[tuple[int, int], str] = {}  # by namespace and index

    def function(self, address: int) -> Frame:
        """A probed function: where in it the probe stands is no news."""
        known = self._functions.get(address)
        if known is None:
            frame = self.frame(address) if address else Frame(None, 0, None, 0)
            known = self._functions[address] = Frame(frame.function, 0, frame.module, address)
        return known

    def caller(self, raw: RawStep) -> Frame | None:
        """Who freed it: the first frame that does not free on somebody's behalf."""
        for address in raw.callers:
            frame = self.frame(address)
            known = symbols.function(frame.function)
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

    def text(self, raw: RawStep, frame: Frame) -> str:
        if raw.kind == "call":
            known = symbols.function(frame.function)
            if known is None or known.step is None:
                return ""
            is_routed = known.name in ROUTED and raw.route_ifname
            return f"{known.step} via {raw.route_ifname}" if is_routed else known.step
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


def _is_tracing(function: str) -> bool:
    return symbols.base_name(function).startswith(("__bpf_trace", "bpf_", "__traceiter", "trace_"))
