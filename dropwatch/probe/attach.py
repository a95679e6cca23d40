"""Attaches the programs of one run to functions and tracepoints, and takes off what went with its module."""

import ctypes
import errno
import time
from typing import Any, NamedTuple

from dropwatch.kernel import btf
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.probe.family import Hook, TailCall
from dropwatch.probe.programs.load import Kind
from dropwatch.probe.programs.loader import KPROBE_PMU, NO_KPROBES, Loader

_WHY_NO_KPROBE = {
    errno.ENOENT: "this kernel has no such function",
    errno.EADDRNOTAVAIL: "this kernel has several functions of that name",  # since 6.6: kernel/trace/trace_kprobe.c
}
_ENOTSUPP = 524  # include/linux/errno.h: the kernel's own
_WHY_NO_TRAMPOLINE = {_ENOTSUPP: "this kernel has no BPF trampolines"}


class _Attached(NamedTuple):
    """The module that the function is in, and the monotonic time since when its calls are seen."""

    module: str | None
    since_ns: int


class Probes:
    """What is attached of the programs of one run, whoever wants it."""

    def __init__(self, loader: Loader, symbols: Kallsyms) -> None:
        self._loader = loader
        self._symbols = symbols
        self._attached: dict[Hook, _Attached] = {}
        self._refused: dict[Hook, str] = {}  # why

    def is_there(self, hook: Hook) -> bool:
        """Whether the kernel, or a module that is loaded, has its function."""
        return self._symbols.find(hook.function) is not None

    def is_attached(self, hook: Hook) -> bool:
        return hook in self._attached

    def attach(self, hook: Hook) -> str | None:
        """None when it is attached, else why not. What was refused once is not tried again."""
        if hook in self._attached:
            return None
        why = self._refused.get(hook) or self._try(hook)
        if why is not None:
            self._refused[hook] = why
            return why
        address = self._symbols.find(hook.function)
        module = self._symbols.frame(address).module if address is not None else None
        self._attached[hook] = _Attached(module, time.monotonic_ns())
        return None

    def detach(self, hook: Hook) -> None:
        """Nothing where it is not attached."""
        if self._attached.pop(hook, None) is not None:
            self._detach(hook)

    def watched(self, function: str, time_ns: int) -> bool:
        """Whether what the function answered at that time was seen: all that is to be attached there was."""
        refused = any(hook.function == function for hook in self._refused)
        return not refused and any(
            hook.function == function and hook.entry and attached.since_ns <= time_ns
            for hook, attached in self._attached.items()
        )

    def load(self, call: TailCall) -> str | None:
        """Puts a program where others jump to it. None, or why the kernel refuses it."""
        kind = Kind.KPROBE if call.is_kprobe else Kind.RAW_TRACEPOINT
        try:
            self._loader.write(call.table, call.index, ctypes.c_int(self._loader.load(call.program, kind)))
        except OSError as error:
            return error.strerror
        return None

    def attach_tracepoint(self, tracepoint: str, program: str) -> str | None:
        """None when it is attached, else why not. Of several programs the first attached runs first."""
        try:
            self._loader.attach_tracepoint(tracepoint, program)
        except FileNotFoundError:
            return "this kernel has no such tracepoint"
        except OSError as error:
            return error.strerror
        return None

    def write(self, table: str, index: int, value: Any) -> None:
        """One element of an array map, whatever its type. Raises OSError."""
        self._loader.write(table, index, value)

    def modules_changed(self, names: set[str]) -> None:
        """Modules have come or gone. A probe is dead when its module went, also if that has come back since."""
        for hook, attached in list(self._attached.items()):
            if attached.module in names:
                self.detach(hook)

    def _try(self, hook: Hook) -> str | None:
        """The return first, so that no entry waits for one that is not seen."""
        if hook.whole is not None:
            return self._try_whole(hook.function, hook.whole)
        if not KPROBE_PMU.exists():  # tracefs would do, but what a killed process made there stays
            return NO_KPROBES
        address = self._symbols.sole(hook.function)
        try:
            if hook.back is not None:
                self._loader.attach_kprobe(hook.function, hook.back, at_return=True, address=address)
            if hook.entry is not None:
                self._loader.attach_kprobe(hook.function, hook.entry, address=address)
        except OSError as error:
            self._detach(hook)
            return _WHY_NO_KPROBE.get(error.errno or 0, error.strerror)
        return None

    def _try_whole(self, function: str, program: str) -> str | None:
        number = btf.vmlinux().function(function)
        if number is None:
            return "this kernel's BTF has no such function"
        try:
            self._loader.attach_whole(function, number, program)
        except OSError as error:
            return _WHY_NO_TRAMPOLINE.get(error.errno or 0, error.strerror)
        return None

    def _detach(self, hook: Hook) -> None:
        if hook.whole is not None:
            self._loader.detach_whole(hook.function)
        if hook.entry is not None:
            self._loader.detach_kprobe(hook.function, hook.entry)
        if hook.back is not None:
            self._loader.detach_kprobe(hook.function, hook.back, at_return=True)
