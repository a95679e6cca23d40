"""Compiles, loads, attaches and reads the BPF programs, through bcc."""

import contextlib
import ctypes
import mmap
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.model.drop import Event
from dropwatch.model.filter import Filter
from dropwatch.model.ipsec import GoneState
from dropwatch.model.journey import RawStep
from dropwatch.probe import program
from dropwatch.probe.attach import Probes, quiet, write
from dropwatch.probe.attach_drop import attach_drop
from dropwatch.probe.attach_families import FamilyProbes
from dropwatch.probe.attach_trace import Follow, TraceProbes
from dropwatch.probe.families import FAMILIES
from dropwatch.probe.family import Family
from dropwatch.probe.kernel_names import kernel_names
from dropwatch.probe.settings import settings
from dropwatch.resources import resource_dir
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

# Records taken from the ring before they are worked on: under a flood the ring never gets empty.
_BATCH = 4096
_PATIENCE_NS = 10**9  # for a record that another one has promised
_RECURSION_MISSES_OFFSET = 208  # struct bpf_prog_info, include/uapi/linux/bpf.h


@dataclass(frozen=True, slots=True)
class Counts:
    """What the programs counted. `lost` is per cause of loss; `not_packets` are netlink and unix-domain buffers."""

    seen_by: dict[str, int]
    lost: dict[str, int]
    not_packets: int


class Refused(CannotRunHere):
    """The compiler or the verifier does not take the programs as they are."""


class Tracer:
    """The probes of one run. Leaving the context detaches them; so does the end of the process, however it ends.

    With `summary` the kernel counts what matches, and of each sort only some come as Events. With `follow` what matches
    is followed on its way as well: take_steps() gives what was seen of it.
    """

    def __init__(
        self,
        wanted: Filter,
        symbols: Kallsyms,
        send_all: bool,
        *,
        summary: bool = False,
        follow: Follow | None = None,
    ) -> None:
        self._wanted = wanted
        self._summary = summary
        self._follow = follow
        self._following: TraceProbes | None = None
        self._symbols = symbols
        self._send_all = send_all
        self._records: list[bytes] = []
        self._blind_spots: list[str] = []
        self._bpf: Any = None
        self._changes: mmap.mmap | None = None
        self._missed: dict[str, int] = {}
        self.read_until_ns = 0  # what was sent before then, on the monotonic clock, has been read
        notes = [note for family in FAMILIES for note in family.notes]
        names = kernel_names(symbols, lambda function: self._families.watches(function))
        self._decoder = Decoder(notes, names)

    @property
    def blind_spots(self) -> tuple[str, ...]:
        return tuple(self._blind_spots)

    def __enter__(self) -> Self:
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
            self._bpf.ring_buffer_poll(timeout_ms)
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
        return events

    def take_steps(self) -> list[RawStep]:
        """What was seen of packets that are followed, since the last call; to be called after read()."""
        steps, self._decoder.steps = self._decoder.steps, []
        return steps

    def table_changes(self) -> int:
        """How often a change of a legacy table began or ended since the start."""
        return ctypes.c_uint64.from_buffer_copy(self._changes).value if self._changes is not None else 0

    def gone_states(self) -> Iterable[GoneState]:
        """SAs that were deleted since the start, in the order of their end; of very many the last."""
        return self._decoder.gone_states

    def rows(self) -> dict[bytes, int]:
        """How many packets of each sort have died: by Event.row. Only in a summary."""
        table = self._bpf[b"rows"]
        return {bytes(row): sum(count.packets for count in counts) for row, counts in table.items()}

    def flows(self) -> list[tuple[bytes, int]]:
        """What died by flow (struct flow of bpf/flow.c), of many flows only some. Only in a summary."""
        return [(bytes(flow), count.value) for flow, count in self._bpf[b"flows"].items()]

    def detach(self) -> None:
        """Takes the programs out of the kernel; `read(0)` still gives what is in the ring."""
        if self._missed:
            return
        for tracepoint in list(self._bpf.raw_tracepoint_fds):
            self._bpf.detach_raw_tracepoint(tracepoint)
        for event in list(self._bpf.kprobe_fds):
            self._bpf.detach_kprobe_event(event)
        self._missed = {name.decode(): _recursion_misses(fn.fd) for name, fn in self._bpf.funcs.items()}

    def counts(self) -> Counts:
        """Exact once detached."""
        seen = {name: self._sum(b"seen", n) for n, name in enumerate(SOURCES)}
        missed = self._missed.get("on_kfree_skb", 0)
        if missed:
            missed -= self._sum(b"unsent", INTERRUPTING)
        seen["kfree_skb"] += missed
        lost = {
            "ring buffer full": self._sum(b"unsent", LOSS_RING_FULL),
            "rows of the summary full": self._sum(b"unsent", LOSS_ROWS),
            "steps, ring buffer full": self._sum(b"unsent", LOSS_STEPS),
            "interrupted probe": missed,
        }
        detail = self._sum(b"unsent", LOSS_DETAIL)
        if detail:
            self._note(f"{detail} findings without their detail: the ring buffer was full")
        return Counts(seen, {why: n for why, n in lost.items() if n}, self._sum(b"unsent", NOT_A_PACKET))

    def close(self) -> None:
        if self._changes is not None:
            self._changes.close()
            self._changes = None
        if self._bpf is not None:
            self._bpf.cleanup()
            self._bpf = None

    def _start_with_what_is_accepted(self) -> None:
        """Families have a part in the program that sees the drops: if it is refused, the one at fault is left out."""
        why = ""
        for without in ((), *((family,) for family in reversed(FAMILIES)), FAMILIES):
            self._blind_spots = [f"probe {family.name}: not attached: {why}" for family in without]
            try:
                self._start(without)
                return
            except Refused as refused:
                if without == FAMILIES:
                    raise
                self.close()
                why = refused.message

    def _start(self, without: tuple[Family, ...]) -> None:
        built = program.build(
            FAMILIES, without=without, summary=self._summary, trace=self._follow is not None
        )
        for name, why in built.left_out.items():
            self._note(f"probe {name}: not attached: {why}")
        self._compile(built)
        self._configure()
        self._changes = mmap.mmap(self._bpf[b"xt_changes"].map_fd, mmap.PAGESIZE, prot=mmap.PROT_READ)
        self._bpf[b"events"].open_ring_buffer(self._take)
        probes = Probes(self._bpf, self._symbols)
        self._families = FamilyProbes(probes, built.families, self._symbols, self._note)
        self._families.start()
        if self._follow is not None:
            self._following = TraceProbes(Probes(self._bpf, self._symbols), self._follow, self._note)
            _accept("programs that follow packets were", self._following.start())
        for tracepoint in ("module_load", "module_free"):
            if (refused := probes.attach_tracepoint(tracepoint, "on_module")) is not None:
                self._note(f"modules loaded while whydrop runs get no probes: {refused}")
        _accept("program on_kfree_skb was", attach_drop(probes, self._summary, self._note))

    def _compile(self, built: program.Program) -> None:
        try:
            from bcc import BPF  # slow, and not there on every machine: only when it is needed
        except (ImportError, OSError) as error:
            raise CannotRunHere(
                f"bcc cannot be imported: {error}",
                "install the distribution's package (Debian: apt install python3-bpfcc) for this Python",
            ) from error
        directory = resource_dir("bpf")
        # The stand-in headers instead of the kernel's; and no file of the caller's directory is ever included.
        os.environ["BCC_KERNEL_SOURCE"] = str(directory)
        flags = [f"-I{directory}", *built.flags]
        with quiet() as said, contextlib.chdir(directory):
            try:
                self._bpf = BPF(text=built.text.encode(), cflags=flags)
            except Exception as error:
                raise Refused(
                    f"the BPF programs do not compile: {said() or error}",
                    "this is a bug, or a bcc older than 0.26: please report the output of whydrop check",
                ) from error

    def _configure(self) -> None:
        made = settings(self._wanted, self._symbols.address, self._send_all)
        try:
            write(self._bpf, "configuration", 0, made)
        except OSError as error:
            raise CannotRunHere(
                f"the filter cannot be handed to the kernel: {error.strerror}", "please report this kernel"
            ) from error

    def _note(self, sentence: str) -> None:
        if sentence not in self._blind_spots:
            self._blind_spots.append(sentence)

    def _take(self, _context: object, data: int, size: int) -> int:
        self._records.append(ctypes.string_at(data, size))
        return -1 if len(self._records) >= _BATCH else 0

    def _sum(self, table: bytes, index: int) -> int:
        return int(self._bpf[table].sum(index).value)


def _accept(what: str, refused: str | None) -> None:
    if refused is not None:
        raise Refused(
            f"the {what} refused by this kernel: {refused}",
            "whydrop check says what this machine can do; please report this kernel",
        )


def _recursion_misses(fd: int) -> int:
    """Runs that the kernel skipped because another BPF program was interrupted on that CPU (since 5.12)."""
    lib = btf.libbpf()
    info = (ctypes.c_uint8 * 256)()
    length = ctypes.c_uint32(len(info))
    if lib.bpf_obj_get_info_by_fd(fd, info, ctypes.byref(length)):
        return 0
    if length.value < _RECURSION_MISSES_OFFSET + 8:
        return 0
    return int.from_bytes(bytes(info[_RECURSION_MISSES_OFFSET : _RECURSION_MISSES_OFFSET + 8]), "little")
