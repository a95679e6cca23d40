"""Attaches the programs of bpf/trace.c: those that follow packets from function to function."""

from collections.abc import Callable, Iterator

from dropwatch.kernel.skb_fields import SkbField
from dropwatch.model.dataclass import dataclass
from dropwatch.probe.attach import Probes
from dropwatch.probe.family import Hook, TailCall, both, entries
from dropwatch.probe.programs.loader import KPROBE_PMU, NO_KPROBES
from dropwatch.probe.skb_functions import Chosen
from dropwatch.wire.trace import StepField

_TELLING = (
    TailCall("tell_of_probe", 0, "tell_probe", is_kprobe=True),
    TailCall("tell_of_tracepoint", 0, "tell_tracepoint"),
)
_TRACEPOINTS = {
    "netif_receive_skb": "on_receive",
    "net_dev_queue": "on_queue",
    "net_dev_start_xmit": "on_transmit",
    "consume_skb": "on_consume",
}
# (net, sock, skb): where a packet of this host has its header. One calls the other, or is inlined.
_FIRST = ("__ip_local_out", "__ip6_local_out")
_HOOKS = (
    Hook("nft_do_chain", "on_chain", "on_verdict"),
    *both("on_table", "on_verdict", "ipt_do_table", "ip6t_do_table", "arpt_do_table"),
    Hook("ebt_do_table", "on_bridge_table", "on_verdict"),
    # What returns another struct sk_buff for its first argument (net/core/skbuff.c), and what returns a list of them.
    *both("on_watched_call_1", "on_copied", "skb_clone", "skb_copy", "__pskb_copy_fclone", "skb_copy_expand"),
    *both("on_watched_call_1", "on_copied", "skb_realloc_headroom", "skb_expand_head"),
    Hook("__skb_gso_segment", "on_segmented", "on_copied"),
    # What frees without a tracepoint, or gives away what is no longer needed (net/core/skbuff.c).
    *entries("on_freed", "kfree_skbmem", "kfree_skb_partial"),
    *entries("on_freed", "napi_skb_free_stolen_head", "skb_attempt_defer_free"),
)
# (to, from), net/ipv4/ip_output.c, net/ipv6/ip6_output.c
_FRAGMENTING = tuple(entries("on_fragmented", "ip_copy_metadata", "ip6_copy_metadata"))
# Without these a packet may be lost sight of; of a landmark only its step is missing, and its neighbours tell the way.
_NEEDED = frozenset({*_FIRST, *(hook.function for hook in (*_HOOKS, *_FRAGMENTING))})
# What has a probe of its own is not followed as other functions are.
_TAKEN = {*_FIRST, *(hook.function for hook in _HOOKS)}

_NAMED = 5  # of those that are refused


@dataclass(frozen=True, slots=True)
class Follow:
    """What is told of packets that are followed: `tree` also when each function returns. `asked` says whether somebody
    wants to see this function: a landmark that nobody asked for is missed by nobody."""

    functions: Callable[[], tuple[Chosen, ...]]
    fields: tuple[SkbField, ...] = ()
    tree: bool = False
    asked: Callable[[str], object] = lambda name: False


class TraceProbes:
    """The probes of one trace. What cannot be attached is left out; `note` takes sentences for `blind_spots`."""

    def __init__(self, probes: Probes, follow: Follow, note: Callable[[str], None]) -> None:
        self._probes = probes
        self._follow = follow
        self._note = note

    def start(self) -> str | None:
        """Why the kernel refused what every trace needs, None when it runs."""
        for call in _TELLING:
            why = self._probes.load(call)
            if why is not None:
                return why
        for at, field in enumerate(self._follow.fields):
            self._probes.write("step_fields", at, StepField(field.is_shared, field.byte_offset + 1))
        for tracepoint, program in _TRACEPOINTS.items():
            why = self._probes.attach_tracepoint(tracepoint, program)
            if why is not None:
                return why
        self._attach_present()
        return None

    def modules_changed(self, names: set[str]) -> None:
        """Modules have come or gone, and the symbols have been read again."""
        self._probes.modules_changed(names)
        self._attach_present()

    def _attach_present(self) -> None:
        if not KPROBE_PMU.exists():
            self._note(f"steps in functions: {NO_KPROBES}")
            return
        refused: dict[
            str, set[str]
        ] = {}  # the kernel takes no probe in many: those of its own tracing, for instance
        for hook in self._hooks():
            why = self._probes.attach(hook) if self._probes.is_there(hook) else None
            if why is not None and (hook.function in _NEEDED or self._follow.asked(hook.function)):
                refused.setdefault(why, set()).add(hook.function)
        for why, functions in refused.items():
            names = ", ".join(sorted(functions)[:_NAMED])
            more = f" and {len(functions) - _NAMED} more" if len(functions) > _NAMED else ""
            self._note(f"steps in {names}{more}: not attached: {why}")

    def _hooks(self) -> Iterator[Hook]:
        yield from (*_HOOKS, *_FRAGMENTING)
        for function in _FIRST:
            yield from self._followed(function, "on_first_call", 3)
        for chosen in self._follow.functions():
            if chosen.name not in _TAKEN:
                program = "on_socket_call" if chosen.socket else f"on_call_{chosen.argument}"
                yield from self._followed(chosen.name, program, chosen.argument)

    def _followed(self, function: str, program: str, argument: int) -> Iterator[Hook]:
        """The packet is that argument. In a tree its return is watched as well."""
        if self._follow.tree:
            yield Hook(function, f"on_watched_call_{argument}", "on_return")
        yield Hook(function, program)
