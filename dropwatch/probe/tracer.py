"""Loads, attaches and reads the BPF programs of one run."""

import ctypes
import mmap
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from dropwatch.kernel import btf
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.memory import Memory
from dropwatch.model.change import Change
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Event
from dropwatch.model.filter import Filter
from dropwatch.model.ipsec import GoneState
from dropwatch.model.journey import RawStep
from dropwatch.model.resent import ResentSegment
from dropwatch.model.xdp import XdpError
from dropwatch.probe import kernel_numbers, netfilter_layout, transport_families, tun_layout
from dropwatch.probe.attach import Probes
from dropwatch.probe.attach_drop import attach_drop
from dropwatch.probe.attach_families import FamilyProbes
from dropwatch.probe.attach_trace import Follow, TraceProbes
from dropwatch.probe.families import CGROUP_FILTER, CHANGES, FAMILIES, RESENT, XDP
from dropwatch.probe.family import Family
from dropwatch.probe.kernel_names import kernel_names
from dropwatch.probe.near import attach_near, read_near
from dropwatch.probe.programs import numbers
from dropwatch.probe.programs.expression import translated
from dropwatch.probe.programs.loader import Loader
from dropwatch.probe.programs.release import programs
from dropwatch.probe.programs.ring import Ring
from dropwatch.probe.programs.text import Mode
from dropwatch.probe.refusal import Refused, accept
from dropwatch.probe.resent import DEATHS, RawResent, ResentProbes
from dropwatch.probe.rows import KernelRows
from dropwatch.probe.settings import is_whole, settings
from dropwatch.probe.xdp import attach_xdp, read_xdp
from dropwatch.wire.changes import CHANGES_BYTES, DEPARTURES_BYTES, last_change, last_departure
from dropwatch.wire.decoder import (
    INTERRUPTING,
    LOSS_DETAIL,
    LOSS_RING_FULL,
    LOSS_ROWS,
    LOSS_STEPS,
    NOT_A_PACKET,
    Decoder,
)
from dropwatch.wire.drop import SOURCES
from dropwatch.wire.header import RecordHeader
from dropwatch.wire.near import RawNear

if TYPE_CHECKING:
    from typing_extensions import Self


# Records taken from the ring before they are worked on: under a flood the ring never gets empty.
_BATCH = 4096
_LIGHT = "--light: probes that name a rule or an SA, or prove a drop harmless, come with the first drop of their layer"
_NOT_IN_KERNEL = "the expression is judged in user space, which is sent each drop that fits the options"
_PATIENCE_NS = 10**9  # for a record that another one has promised


@dataclass(frozen=True, slots=True)
class Counts:
    """What the programs counted. `lost` is per cause of loss; `not_packets` are netlink and unix-domain buffers."""

    seen_by: dict[str, int]
    lost: dict[str, int]
    not_packets: int


class Tracer(KernelRows):
    """The probes of one run. Leaving the context detaches them; so does the end of the process, however it ends.

    With `summary` the kernel counts what matches, and of each sort only some come as Events. Of equal ones
    `first_of_a_sort` come as Events in a second on each CPU, and the others are only counted; 0: all come. `light`:
    what may cost an accepted packet something is attached at wake(), and taken off after a quiet minute. With
    `follow` what matches is followed on its way as well: take_steps() gives what was seen of it. What nearly matches
    `near` is kept: near() gives it. What TCP sends again in connections that `resent` asks for is joined with what
    died: take_resent() and resent() tell of it.
    """

    def __init__(
        self,
        wanted: Filter,
        symbols: Kallsyms,
        send_all: bool,
        *,
        summary: bool = False,
        first_of_a_sort: int = 0,
        light: bool = False,
        follow: Follow | None = None,
        near: Filter | None = None,
        resent: Filter | None = None,
    ) -> None:
        self._near, self._resent_wanted = near, resent
        self._resent: ResentProbes | None = None
        self._wanted = wanted
        self._light = light
        self._mode: Mode = "summary" if summary else "findings" if follow is None else "trace"
        expression = wanted.expression
        self._called = (translated(expression.program) if expression is not None else None) or b""
        self._first_of_a_sort = first_of_a_sort
        super().__init__()
        self._follow = follow
        self._following: TraceProbes | None = None
        self._symbols = symbols
        self._send_all = send_all
        self._records: list[bytes] = []
        self._blind_spots: list[str] = []
        self._open = ExitStack()  # what the run has in the kernel
        self._ring: Ring
        self._table_changes: mmap.mmap | None = None
        self._change_times: mmap.mmap | None = None
        self._departure_times: mmap.mmap | None = None
        self._missed: dict[str, int] = {}
        self._bare = 0  # findings without their detail, when counts() was last asked
        self.read_until_ns = 0  # what was sent before then, on the monotonic clock, has been read
        notes = [note for family in FAMILIES for note in family.notes]
        names = kernel_names(symbols, lambda function, at: self._families.watched(function, at))
        self._decoder = Decoder(notes, names)

    @property
    def blind_spots(self) -> tuple[str, ...]:
        if not self._bare:
            return tuple(self._blind_spots)
        return (*self._blind_spots, f"{self._bare} findings without their detail: the ring buffer was full")

    def __enter__(self) -> "Self":
        try:
            self._start_with_what_is_accepted()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, timeout_ms: int) -> list[Event]:
        """Events that are there, after waiting at most that long for the first one."""
        # The program that writes a detail may still run, on another CPU; once detached, none does.
        long_ago = time.monotonic_ns() - (0 if self._missed else _PATIENCE_NS)
        events: list[Event] = []
        whole_ring = False
        while not whole_ring and not events and not self._decoder.steps:
            self.read_until_ns = time.monotonic_ns()
            self._ring.poll(timeout_ms)
            records, self._records = self._records, []
            events += (event for record in records if (event := self._decoder.feed(record)) is not None)
            whole_ring = len(records) < _BATCH
            timeout_ms = 0
            if not whole_ring:
                self.read_until_ns = RecordHeader.from_buffer_copy(records[-1]).time_ns
        if whole_ring:  # else the detail may be in what has not been read
            events += self._decoder.overdue(long_ago)
        if self._decoder.modules and not self._missed:
            self._families.modules_changed(self._decoder.modules)
            if self._following is not None:
                self._following.modules_changed(self._decoder.modules)
            self._decoder.modules.clear()
            btf.forget()
        if events and not self._families.sees(CGROUP_FILTER):
            events = [replace(event, notes=event.notes | {"cgroup-unseen"}) for event in events]
        if self._light:
            asleep = frozenset(f"asleep-{layer}" for layer in self._families.asleep)
            events = [replace(event, notes=event.notes | asleep) for event in events] if asleep else events
            if not self._missed:
                self._families.rest()
        return events

    def wake(self, layer: str) -> None:
        """A packet died in this layer of the network stack: what tells why is attached now."""
        if self._light and not self._missed:
            self._families.wake(layer)

    def take_steps(self) -> list[RawStep]:
        """What was seen of packets that are followed, since the last call; to be called after read()."""
        steps, self._decoder.steps = self._decoder.steps, []
        return steps

    def xdp_errors(self) -> dict[XdpError, int]:
        """What XDP programs have lost by an error, of all namespaces."""
        return read_xdp(self._loader)

    def take_resent(self) -> list[ResentSegment]:
        """What was sent again because something died, since the last call; to be called after read()."""
        resent, self._decoder.resent = self._decoder.resent, []
        return resent

    def resent(self) -> RawResent | None:
        """All that was sent again; None where that is not watched. Exact once detached."""
        if self._resent is None:
            return None
        is_seen = self._families.sees_all(transport_families.LISTEN)
        return self._resent.read(self._missed.get(DEATHS, 0), sees_refused_syns=is_seen)

    def table_changes(self) -> int:
        """How often a change of a legacy table began or ended since the start."""
        changes = self._table_changes
        return ctypes.c_uint64.from_buffer_copy(changes).value if changes is not None else 0

    def last_change(self, kind: Change, inode: int) -> int | None:
        """When it was changed last in a namespace, 0: not since the start; None where not all changes are seen."""
        if self._change_times is None or not self._families.is_whole(CHANGES):
            return None
        return last_change(self._change_times, kind, inode)

    def last_departure(self, inode: int, what: Address | int) -> int | None:
        """When an address, group or interface went; 0: not since the start; None where not all changes are seen."""
        if self._departure_times is None or not self._families.is_whole(CHANGES):
            return None
        return last_departure(self._departure_times, inode, what)

    def gone_states(self) -> Iterable[GoneState]:
        """SAs that were deleted since the start, in the order of their end; of very many the last."""
        return self._decoder.gone_states

    def near(self) -> tuple[list[RawNear], int]:
        """Drops that nearly fit the filter, and how many may have been nearer: nobody looked at them."""
        return read_near(self._loader) if self._near is not None else ([], 0)

    def detach(self) -> None:
        """Takes the programs out of the kernel; `read(0)` still gives what is in the ring."""
        if self._missed:
            return
        if self._resent is not None:
            self._resent.stop()
        # What is read from now on may still be changed meanwhile.
        self._loader.detach(but={program for hook in CHANGES.hooks for program in hook.programs})
        self._missed = self._loader.recursion_misses()

    def counts(self) -> Counts:
        """Exact once detached; may be asked before, as often as one likes."""
        seen = {name: self._loader.sum("seen", n) for n, name in enumerate(SOURCES)}
        missed = self._missed.get("on_kfree_skb", 0)
        if missed:
            missed -= self._loader.sum("unsent", INTERRUPTING)
        seen["kfree_skb"] += missed
        lost = {
            "ring buffer full": self._loader.sum("unsent", LOSS_RING_FULL),
            "rows full": self._loader.sum("unsent", LOSS_ROWS),
            "steps, ring buffer full": self._loader.sum("unsent", LOSS_STEPS),
            "interrupted probe": missed,
        }
        self._bare = self._loader.sum("unsent", LOSS_DETAIL)
        return Counts(
            seen, {why: n for why, n in lost.items() if n}, self._loader.sum("unsent", NOT_A_PACKET)
        )

    def close(self) -> None:
        self._table_changes = self._change_times = self._departure_times = None
        self._open.close()

    def _start_with_what_is_accepted(self) -> None:
        """The expression and the families have a part in the program that sees the drops: if it is refused, the one at
        fault is left out.
        """
        why, ours = "", self._wanted.expression is not None
        families = ((), *((family,) for family in reversed(FAMILIES)), FAMILIES)
        tries = [(b"", without) for without in families]
        if self._called:
            tries.insert(0, (self._called, ()))
        for self._called, without in tries:
            self._blind_spots = [f"probe {family.name}: not attached: {why}" for family in without]
            if ours and not self._called:
                self._blind_spots.append(f"{_NOT_IN_KERNEL}: {why or 'it has a loop'}")
            try:
                self._start(without)
                return
            except Refused as refused:
                if without == FAMILIES:
                    raise
                self.close()
                why = refused.message

    def _start(self, without: tuple[Family, ...]) -> None:
        built = numbers.build(FAMILIES, without=without, mode=self._mode)
        for name, why in built.left_out.items():
            self._note(f"probe {name}: not attached: {why}")
        self._loader = Loader(programs(built.text), built.numbers, built.entries, self._called)
        self._open.callback(self._loader.close)
        hooks = (hook.function for family in built.families for hook in family.hooks)
        others = (*kernel_numbers.SYMBOLS, *netfilter_layout.SYMBOLS, *tun_layout.SYMBOLS)
        self._symbols.look_up((*hooks, *others))
        with Memory() as memory:
            kernel = kernel_numbers.find(self._symbols.address, memory, self._loader.map("seen"))
        for sentence in kernel.blind_spots:
            self._note(sentence)
        each = self._wanted.expression is not None and not self._called
        first = 0 if each else self._first_of_a_sort
        wanted = settings(self._wanted, kernel, self._send_all, first_of_a_sort=first)
        self._loader.write("configuration", 0, wanted)
        self._table_changes = self._mapped("xt_changes", mmap.PAGESIZE)
        self._change_times = self._mapped("change_times", CHANGES_BYTES)
        self._departure_times = self._mapped("departure_times", DEPARTURES_BYTES)
        self._ring = Ring(self._loader.map("events"), self._take)
        self._open.callback(self._ring.close)
        probes = Probes(self._loader, self._symbols)
        self._families = FamilyProbes(probes, built.families, self._symbols, self._note, light=self._light)
        self._families.start()
        if self._light:
            self._note(_LIGHT)
        if self._follow is not None:
            self._following = TraceProbes(Probes(self._loader, self._symbols), self._follow, self._note)
            accept("programs that follow packets were", self._following.start())
        for tracepoint in ("module_load", "module_free"):
            if (refused := probes.attach_tracepoint(tracepoint, "on_module")) is not None:
                self._note(f"modules loaded while whydrop runs get no probes: {refused}")
        if moved := self._symbols.moved():  # before anybody told of it
            self._families.modules_changed(moved)
        accept("program on_kfree_skb was", attach_drop(probes, self._note))
        self._watch_resent(probes, kernel, RESENT.name in built.left_out)
        if XDP.name not in built.left_out:
            attach_xdp(probes, self._note)
        if self._near is not None:
            attach_near(probes, self._loader, settings(self._near, kernel, self._send_all), self._note)
        btf.forget()

    def _watch_resent(self, probes: Probes, kernel: kernel_numbers.KernelNumbers, is_left_out: bool) -> None:
        wanted = self._resent_wanted
        if wanted is None or is_left_out or not is_whole(wanted):
            return
        resent = ResentProbes(probes, self._loader, settings(wanted, kernel, self._send_all))
        self._resent = resent if resent.start(self._note) else None

    def _mapped(self, table: str, size: int) -> mmap.mmap:
        return self._open.enter_context(mmap.mmap(self._loader.map(table), size, prot=mmap.PROT_READ))

    def _note(self, sentence: str) -> None:
        if sentence not in self._blind_spots:
            self._blind_spots.append(sentence)

    def _take(self, record: bytes) -> int:
        self._records.append(record)
        return -1 if len(self._records) >= _BATCH else 0
