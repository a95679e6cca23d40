"""Attaches the programs of bpf/trace.c: those that follow packets from function to function."""

import contextlib
import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.skb_fields import SkbField
from dropwatch.probe.attach import KPROBE_PMU, NO_KPROBES, quiet, write
from dropwatch.probe.skb_functions import Chosen
from dropwatch.wire.trace import StepField

_TRACEPOINTS = {
    "netif_receive_skb": "on_receive",
    "net_dev_queue": "on_queue",
    "net_dev_start_xmit": "on_transmit",
    "consume_skb": "on_consume",
}
# (net, sock, skb): where a packet of this host has its header. One calls the other, or is inlined.
_FIRST = ("__ip_local_out", "__ip6_local_out")
_CHAINS = ("nft_do_chain",)
_TABLES = ("ipt_do_table", "ip6t_do_table", "arpt_do_table")
_BRIDGE_TABLES = ("ebt_do_table",)
# What returns another struct sk_buff for its first argument (net/core/skbuff.c), and what returns a list of them.
_COPYING = (
    *("skb_clone", "skb_copy", "__pskb_copy_fclone", "skb_copy_expand"),
    *("skb_realloc_headroom", "skb_expand_head"),
)
_SEGMENTING = ("__skb_gso_segment",)
_FRAGMENTING = (
    "ip_copy_metadata",
    "ip6_copy_metadata",
)  # (to, from), net/ipv4/ip_output.c, net/ipv6/ip6_output.c
# What frees without a tracepoint, or gives away what is no longer needed (net/core/skbuff.c).
_FREEING = ("kfree_skbmem", "kfree_skb_partial", "napi_skb_free_stolen_head", "skb_attempt_defer_free")

_NAMED = 5  # of those that are refused

Way = Literal["entry", "return"]


@dataclass(frozen=True, slots=True)
class Follow:
    """What is told of packets that are followed: `tree` also when each function returns."""

    functions: Callable[[], tuple[Chosen, ...]]
    fields: tuple[SkbField, ...] = ()
    tree: bool = False


class Following:
    """The probes of one trace. What cannot be attached is left out; `note` takes sentences for `blind_spots`."""

    def __init__(self, bpf: Any, follow: Follow, symbols: Kallsyms, note: Callable[[str], None]) -> None:
        self._bpf = bpf
        self._follow = follow
        self._symbols = symbols
        self._note = note
        self._attached: dict[tuple[str, str, Way], str | None] = {}  # program, function: with its module
        self._refused: dict[str, set[str]] = {}  # functions, by why

    def start(self) -> None:
        """Raises an exception of bcc when not even the tracepoints can be had."""
        from bcc import BPF

        for table, program, kind in (
            ("tell_of_probe", "tell_probe", BPF.KPROBE),
            ("tell_of_tracepoint", "tell_tracepoint", BPF.RAW_TRACEPOINT),
        ):
            with quiet():
                loaded = self._bpf.load_func(program.encode(), kind)
            write(self._bpf, table.encode(), 0, ctypes.c_int(loaded.fd))
        for at, field in enumerate(self._follow.fields):
            write(self._bpf, b"step_fields", at, StepField(field.is_shared, field.byte_offset + 1))
        for tracepoint, program in _TRACEPOINTS.items():
            self._bpf.attach_raw_tracepoint(tp=tracepoint.encode(), fn_name=program.encode())
        self.attach_present()

    def attach_present(self) -> None:
        """What exists now: called again when a module has come."""
        if not KPROBE_PMU.exists():
            self._note(f"steps in functions: {NO_KPROBES}")
            return
        self._attach_all()
        for why, functions in self._refused.items():
            names = ", ".join(sorted(functions)[:_NAMED])
            more = f" and {len(functions) - _NAMED} more" if len(functions) > _NAMED else ""
            self._note(f"steps in {names}{more}: not attached: {why}")

    def _attach_all(self) -> None:
        self._returning("on_chain", "on_verdict", *_CHAINS)
        self._returning("on_table", "on_verdict", *_TABLES)
        self._returning("on_bridge_table", "on_verdict", *_BRIDGE_TABLES)
        self._returning("on_watched_call_1", "on_copied", *_COPYING)
        self._returning("on_segmented", "on_copied", *_SEGMENTING)
        for function in _FRAGMENTING:
            self._attach("on_fragmented", function, "entry")
        for function in _FREEING:
            self._attach("on_freed", function, "entry")
        for function in _FIRST:
            if self._follow.tree:
                self._returning("on_watched_call_3", "on_return", function)
            self._attach("on_first_call", function, "entry")
        taken = {*_FIRST, *_CHAINS, *_TABLES, *_BRIDGE_TABLES, *_COPYING, *_SEGMENTING, *_FREEING}
        for chosen in self._follow.functions():
            if chosen.name not in taken:
                self._follow_function(chosen)

    def modules_changed(self, names: set[str]) -> None:
        """Modules have come or gone. A probe is dead when its module went, also if that has come back since."""
        for (program, function, way), module in list(self._attached.items()):
            if module in names:
                del self._attached[program, function, way]
                detach = self._bpf.detach_kretprobe if way == "return" else self._bpf.detach_kprobe
                with quiet(), contextlib.suppress(Exception):
                    detach(event=function.encode(), fn_name=program.encode())
        self.attach_present()

    def _follow_function(self, chosen: Chosen) -> None:
        program = "on_socket_call" if chosen.socket else f"on_call_{chosen.argument}"
        if self._follow.tree:
            self._returning(f"on_watched_call_{chosen.argument}", "on_return", chosen.name)
        self._attach(program, chosen.name, "entry")

    def _returning(self, entry: str, back: str, *functions: str) -> None:
        """The return first, so that no entry waits for one that is not seen."""
        for function in functions:
            if self._attach(back, function, "return"):
                self._attach(entry, function, "entry")

    def _attach(self, program: str, function: str, way: Way) -> bool:
        """Whether it is there now. The kernel refuses many functions: those of its own tracing, for instance."""
        if (program, function, way) in self._attached:
            return True
        if any(function in refused for refused in self._refused.values()):
            return False
        address = self._symbols.find(function)
        if address is None:
            return False
        attach = self._bpf.attach_kretprobe if way == "return" else self._bpf.attach_kprobe
        with quiet() as said:
            try:
                attach(event=function.encode(), fn_name=program.encode())
            except Exception as error:
                self._refused.setdefault(said() or str(error), set()).add(function)
                return False
        self._attached[program, function, way] = self._symbols.frame(address).module
        return True
