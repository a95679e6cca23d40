"""Attaches the programs of one run to functions and tracepoints, and takes off what went with its module."""

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.probe.family import Hook, TailCall

KPROBE_PMU = Path("/sys/bus/event_source/devices/kprobe/type")
NO_KPROBES = "this kernel has no kprobes that perf events can make (CONFIG_KPROBE_EVENTS)"


class Probes:
    """What is attached of one loaded program (an object of bcc), whoever wants it."""

    def __init__(self, bpf: Any, symbols: Kallsyms) -> None:
        self._bpf = bpf
        self._symbols = symbols
        self._attached: dict[Hook, str | None] = {}  # with the module of its function
        self._refused: dict[Hook, str] = {}  # why

    def is_there(self, hook: Hook) -> bool:
        """Whether the kernel, or a module that is loaded, has its function."""
        return self._symbols.find(hook.function) is not None

    def attach(self, hook: Hook) -> str | None:
        """None when it is attached, else why not. What was refused once is not tried again."""
        if hook in self._attached:
            return None
        why = self._refused.get(hook) or self._try(hook)
        if why is not None:
            self._refused[hook] = why
            return why
        address = self._symbols.find(hook.function)
        self._attached[hook] = self._symbols.frame(address).module if address is not None else None
        return None

    def watches(self, function: str) -> bool:
        """Whether what the function answers is seen: all that was to be attached there is."""
        refused = any(hook.function == function for hook in self._refused)
        return not refused and any(hook.function == function for hook in self._attached)

    def load(self, call: TailCall) -> str | None:
        """Puts a program where others jump to it. None, or why the kernel refuses it."""
        from bcc import BPF

        kind = BPF.KPROBE if call.is_kprobe else BPF.RAW_TRACEPOINT
        with quiet() as said:
            try:
                program = self._bpf.load_func(call.program.encode(), kind)
                self.write(call.table, call.index, ctypes.c_int(program.fd))
            except Exception as error:
                return said() or str(error)
        return None

    def attach_tracepoint(self, tracepoint: str, program: str) -> str | None:
        """None when it is attached, else why not. A tracepoint takes one program in this way."""
        with quiet() as said:
            try:
                self._bpf.attach_raw_tracepoint(tp=tracepoint.encode(), fn_name=program.encode())
            except Exception as error:
                return said() or str(error)
        return None

    def attach_second(self, tracepoint: str, program: str) -> str | None:
        """One more program at a tracepoint, run after the first: bcc itself attaches only one."""
        from bcc import BPF
        from bcc.libbcc import lib

        with quiet() as said:
            try:
                second = self._bpf.load_func(program.encode(), BPF.RAW_TRACEPOINT)
            except Exception as error:
                return said() or str(error)
            attached = lib.bpf_attach_raw_tracepoint(second.fd, tracepoint.encode())
        if attached < 0:
            return "the tracepoint takes no second program"
        self._bpf.raw_tracepoint_fds[f"{tracepoint}, again".encode()] = attached
        return None

    def write(self, table: str, index: int, value: Any) -> None:
        """One element of an array map, whatever its type. Raises OSError."""
        write(self._bpf, table, index, value)

    def modules_changed(self, names: set[str]) -> None:
        """Modules have come or gone. A probe is dead when its module went, also if that has come back since."""
        for hook, module in list(self._attached.items()):
            if module in names:
                del self._attached[hook]
                self._detach(hook)

    def _try(self, hook: Hook) -> str | None:
        """The return first, so that no entry waits for one that is not seen."""
        if not KPROBE_PMU.exists():  # bcc would write to tracefs instead: a killed process leaves it behind
            return NO_KPROBES
        event = hook.function.encode()
        with quiet() as said:
            try:
                if hook.back is not None:
                    self._bpf.attach_kretprobe(event=event, fn_name=hook.back.encode())
                if hook.entry is not None:
                    self._bpf.attach_kprobe(event=event, fn_name=hook.entry.encode())
            except Exception as error:
                why = said() or str(error)
                self._detach(hook)
                return why
        return None

    def _detach(self, hook: Hook) -> None:
        event = hook.function.encode()
        with quiet(), contextlib.suppress(Exception):
            if hook.entry is not None:
                self._bpf.detach_kprobe(event=event, fn_name=hook.entry.encode())
        with quiet(), contextlib.suppress(Exception):
            if hook.back is not None:
                self._bpf.detach_kretprobe(event=event, fn_name=hook.back.encode())


def write(bpf: Any, table: str, index: int, value: Any) -> None:
    """One element of an array map, whatever its type. Raises OSError."""
    from bcc.libbcc import lib

    key = ctypes.c_int(index)
    if lib.bpf_update_elem(bpf[table.encode()].map_fd, ctypes.byref(key), ctypes.byref(value), 0):
        raise OSError(ctypes.get_errno(), f"cannot write to the BPF map {table}")


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
