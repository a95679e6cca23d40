"""Attaches the probes of the families, and those of modules that come while whydrop runs."""

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.probe.families import COME_AND_GO, CONFIGURED_BY, HOOKS, TAIL_CALLS, Hook, TailCall, probed_for
from dropwatch.probe.netfilter_layout import read_layout

KPROBE_PMU = Path("/sys/bus/event_source/devices/kprobe/type")
NO_KPROBES = "this kernel has no kprobes that perf events can make (CONFIG_KPROBE_EVENTS)"


class Attaching:
    """What of the families' hooks is attached to one loaded program. `note` takes sentences for `blind_spots`."""

    def __init__(
        self, bpf: Any, families: tuple[str, ...], symbols: Kallsyms, note: Callable[[str], None]
    ) -> None:
        self._bpf = bpf
        self._families = families
        self._symbols = symbols
        self._note = note
        self._attached: dict[Hook, str | None] = {}  # with the module of its function
        self._ready: set[str] = set()
        self._configured: set[str] = set()  # of CONFIGURED_BY
        self._refused: set[Hook | TailCall] = set()

    def start(self) -> None:
        self._write_layout()
        for family in self._families:
            if family not in COME_AND_GO:
                self._attach_all(family)
            if not HOOKS[family]:
                self._prepare(family)
        self._attach_present(self._families)

    def modules_changed(self, names: set[str]) -> None:
        """Modules have come or gone. A probe is dead when its module went, also if that has come back since."""
        for hook, module in list(self._attached.items()):
            if module in names:
                self._detach(hook)
        new = {
            family for family, modules in CONFIGURED_BY.items() if names & modules.keys()
        } - self._configured
        self._configured |= new
        self._attach_present(
            new
        )  # at once: reading the symbols takes longer than the first use of what has come
        self._symbols.refresh()
        self._write_layout()
        self._attach_present(self._families)

    def watches(self, function: str) -> bool:
        """Whether a probe tells what this function at a netfilter hook answers."""
        probed = probed_for(function)
        if any(isinstance(hook, Hook) and hook.function == probed for hook in self._refused):
            return False  # an entry without its return, or the other way round
        return any(hook.function == probed for hook in self._attached)

    def _write_layout(self) -> None:
        layout = read_layout(self._symbols)
        write(self._bpf, b"netfilter_layout", 0, layout)

    def _attach_all(self, family: str) -> None:
        first = True
        for hook in HOOKS[family]:
            why = self._attach(hook)
            if why:
                self._note(f"probe {hook.function}: not attached: {why}")
                if first:
                    return
            first = False

    def _attach_present(self, families: Collection[str]) -> None:
        for family in self._families:
            if family not in families:
                continue
            if family not in COME_AND_GO or not self._is_configurable(family):
                continue
            for hook in HOOKS[family]:
                address = self._symbols.find(hook.function)
                if address is None or hook in self._refused or hook in self._attached:
                    continue
                self._prepare(family)
                why = self._attach(hook)
                if why:
                    self._refused.add(hook)
                    self._note(f"probe {hook.function}: not attached: {why}")
                else:
                    self._attached[hook] = self._symbols.frame(address).module

    def _is_configurable(self, family: str) -> bool:
        modules = CONFIGURED_BY.get(family, {})
        if any(self._symbols.find(function) is not None for function in modules.values()):
            self._configured.add(family)
        return not modules or family in self._configured

    def _prepare(self, family: str) -> None:
        """Loads what the family's programs jump to, once."""
        if family in self._ready:
            return
        self._ready.add(family)
        for call in TAIL_CALLS.get(family, ()):
            why = self._load(call)
            if why:
                self._note(f"probe {family}: what it saw is not told: {why}")

    def _load(self, call: TailCall) -> str | None:
        from bcc import BPF

        kind = BPF.KPROBE if call.is_kprobe else BPF.RAW_TRACEPOINT
        with quiet() as said:
            try:
                program = self._bpf.load_func(call.program.encode(), kind)
                write(self._bpf, call.table.encode(), call.index, ctypes.c_int(program.fd))
            except Exception as error:
                return said() or str(error)
        return None

    def _attach(self, hook: Hook) -> str | None:
        """None when it is attached, else why not."""
        if not KPROBE_PMU.exists():  # bcc would write to tracefs instead: a killed process leaves it behind
            return NO_KPROBES
        attach = self._bpf.attach_kretprobe if hook.at_return else self._bpf.attach_kprobe
        with quiet() as said:
            try:
                attach(event=hook.function.encode(), fn_name=hook.program.encode())
            except Exception as error:
                return said() or str(error)
        return None

    def _detach(self, hook: Hook) -> None:
        del self._attached[hook]
        detach = self._bpf.detach_kretprobe if hook.at_return else self._bpf.detach_kprobe
        with quiet(), contextlib.suppress(Exception):
            detach(event=hook.function.encode(), fn_name=hook.program.encode())


def write(bpf: Any, table: bytes, index: int, value: Any) -> None:
    """One element of an array map, whatever its type. Raises OSError."""
    from bcc.libbcc import lib

    key = ctypes.c_int(index)
    if lib.bpf_update_elem(bpf[table].map_fd, ctypes.byref(key), ctypes.byref(value), 0):
        raise OSError(ctypes.get_errno(), f"cannot write to the BPF map {table.decode()}")


@contextlib.contextmanager
def quiet() -> Iterator[Any]:
    """bcc and clang write to file descriptors 1 and 2; stdout carries data only. Gives a function: what they said."""
    with tempfile.TemporaryFile() as file:
        saved = os.dup(1), os.dup(2)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)

        def said() -> str:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 400))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
            told = [
                line for line in lines if line and not line.startswith("processed ")
            ]  # the verifier's statistics
            return " ".join([line for line in told if "error:" in line][:2] or told[-2:])

        try:
            yield said
        finally:
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            os.close(saved[0])
            os.close(saved[1])
