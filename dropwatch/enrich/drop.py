"""An Event becomes a Drop: the packet read, the stack resolved, the place, the reason and the namespace named."""

from typing import NamedTuple

from dropwatch.enrich.answers import Answers
from dropwatch.host.cgroups import placed, tenant
from dropwatch.model.drop import Direction, Drop, Event, Frame, Interface, Netns, Process, Where
from dropwatch.names import symbols
from dropwatch.packet.parse import parse_event

_SYSCALL = (
    *("entry_SYSCALL", "do_syscall", "__x64_sys_"),
    *("__do_fast_syscall_32", "do_int80_", "__ia32_"),  # 32-bit programs on x86
    *("el0_svc", "invoke_syscall", "__arm64_sys_"),
)


_STACKS_REMEMBERED = 512


class _Stack(NamedTuple):
    """The frames from the place of death outwards, and whether the current task's own system call made it die there;
    None: they do not tell.
    """

    frames: tuple[Frame, ...]
    where: Where
    is_of_task: bool | None


class Enricher:
    """Looks names up where `answers` says, and remembers frames and stacks until modules come or go."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._modules = answers.modules()
        self._frames: dict[int, Frame] = {}
        self._stacks: dict[tuple[int, tuple[int, ...]], _Stack] = {}

    def drop(self, event: Event) -> Drop:
        stack, answers = self._stack(event), self._answers
        of_task = stack.is_of_task or (stack.is_of_task is None and "task-stack" in event.notes)
        task = Process(event.pid, event.comm) if of_task else None
        return Drop(
            event=event,
            time=answers.time_of(event.monotonic_ns),
            packet=parse_event(event),
            iface=self._iface(event),
            netns=self._netns(event),
            where=stack.where,
            reason=answers.reason(event.reason),
            stack=stack.frames,
            process=self._process(event, task if "not-own" not in event.notes else None),
            task=task,
        )

    def _process(self, event: Event, holder: Process | None) -> Process | None:
        """Who holds its socket, and where that was made, as far as the one or the other is known."""
        host = self._answers.host
        return placed(holder, host.cgroup(event.cgroup) if event.cgroup else None, host)

    def _iface(self, event: Event) -> Interface | None:
        """In TCP a packet has lost its device, and the index is all that the probe could read."""
        if not event.ifindex:
            return None
        if event.ifname or not event.netns:
            return Interface(event.ifindex, event.ifname or None)
        name = self._answers.interface(event.netns, event.ifindex)
        return Interface(event.ifindex, None if self._is_anothers(event) else name)

    def _netns(self, event: Event) -> Netns | None:
        if not event.netns:
            return None
        name = self._answers.netns(event.netns)
        found = self._answers.host.container_of_namespace(event.netns)
        if self._is_anothers(event):
            return Netns(event.netns, None)
        return Netns(event.netns, name, tenant(found, self._answers.host))

    def _is_anothers(self, event: Event) -> bool:
        """Whether the number is that of another namespace since, of which has been read what was read just now."""
        began = self._answers.host.last_change(event.netns, "namespace", None)
        return began is not None and began > event.monotonic_ns

    def _stack(self, event: Event) -> _Stack:
        """Remembered where all of it has a name."""
        modules = self._answers.modules()
        if modules != self._modules:
            self._frames.clear()
            self._stacks.clear()
            self._modules = modules
        which = event.location, event.stack
        known = self._stacks.get(which)
        if known is None:
            found = self._from_location(event)
            frames = found[_place_of_death(found) :]
            known = _Stack(frames, _where(frames), _is_of_task(frames))
            if len(self._stacks) >= _STACKS_REMEMBERED:
                self._stacks.clear()
            if all(frame.address in self._frames for frame in found):
                self._stacks[which] = known
        return known

    def _from_location(self, event: Event) -> tuple[Frame, ...]:
        """The frames from where it was freed outwards.

        `location` is a return address and so stands on the stack itself: what is above it is the tracing and
        the freeing. It does not where the free was deferred (net_tx_action gives its own start address).
        """
        addresses = event.stack
        if event.location in addresses:
            addresses = addresses[addresses.index(event.location) :]
        elif event.location:
            addresses = (event.location, *self._without_tracing(addresses))
        return tuple(self._resolve(address) for address in addresses)

    def _without_tracing(self, addresses: tuple[int, ...]) -> tuple[int, ...]:
        for at, address in enumerate(addresses):
            known = symbols.function(self._resolve(address).function)
            if known and not known.free:
                return addresses[at:]
        return addresses

    def _resolve(self, address: int) -> Frame:
        """Remembered: a few hundred addresses make up every stack. One without a name is asked for again."""
        found = self._frames.get(address)
        if found is None:
            found = self._answers.frame(address)
            if found.function is not None and len(self._frames) < 1 << 16:
                self._frames[address] = found
        return found


def _place_of_death(frames: tuple[Frame, ...]) -> int:
    """Which is the first that does not only free on somebody's behalf; 0 where all do."""
    for at, frame in enumerate(frames):
        known = symbols.function(frame.function)
        if not (known and known.free):
            return at
    return 0


def _where(stack: tuple[Frame, ...]) -> Where:
    """The first frame, with the layer and the direction of the innermost frame that tells them."""
    if not stack:
        return Where(Frame(None, 0, None, 0), None, None)
    layer: str | None = None
    direction: Direction | None = None
    for frame in stack:
        if frame.function is not None and symbols.base_name(frame.function) in symbols.SOFTIRQ:
            break
        known = symbols.function(frame.function)
        if known and not known.free:
            layer = layer or known.layer
            direction = direction or known.direction
        if layer and direction:
            break
    return Where(stack[0], layer, direction)


def _is_of_task(stack: tuple[Frame, ...]) -> bool | None:
    """Whether the packet died in a system call of the current task. In a softirq it is somebody else's."""
    for frame in stack:
        name = symbols.base_name(frame.function or "")
        if name in symbols.SOFTIRQ:
            return False
        if name.startswith(_SYSCALL):
            return True
    return None
