"""Attaches what looks for TCP segments that are sent again (bpf/resent.c), and reads what it counted."""

import time
from collections.abc import Callable
from ctypes import c_uint64

from dropwatch.kernel import btf
from dropwatch.model.dataclass import dataclass
from dropwatch.model.resent import ResentCounts
from dropwatch.probe.attach import Probes
from dropwatch.probe.family import Hook, TailCall
from dropwatch.probe.programs.loader import Loader
from dropwatch.wire.resent import resent_counts
from dropwatch.wire.settings import Settings

# One inside of the other, unless the compiler has made one function of both.
RESENDS = (
    Hook("tcp_retransmit_skb", "on_resend", "on_resend_return"),
    Hook("__tcp_retransmit_skb", "on_resend", "on_resend_return"),
)
REFUSED_SYN = TailCall("refused_syns", 0, "remember_refused_syn", is_kprobe=True)
TRACEPOINTS = (("tcp_retransmit_skb", "on_resent"), ("tcp_retransmit_synack", "on_resent_synack"))
DEATHS = "on_segment_death"
_OVER = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class RawResent:
    """What was counted; whether failures and the times of the copies before are known; whether refused SYNs are."""

    counts: ResentCounts
    dated: bool
    refused_syns: bool
    tcp_itself: bool  # what TCP discards passes skb:kfree_skb, as on kernels that give reasons
    missed: int = 0  # deaths that the program was not run for


class ResentProbes:
    """In one run. `wanted` is of the filter what is about flows, and namespaces of sockets."""

    def __init__(self, probes: Probes, loader: Loader, wanted: Settings) -> None:
        self._loader = loader
        self._probes = probes
        loader.write("resent_wanted", 0, wanted)
        self._refused_syns = False

    def start(self, note: Callable[[str], None]) -> bool:
        """Whether it can tell anything; `note` takes the reason why it cannot, for `blind_spots`."""
        why = self._probes.attach_tracepoint("kfree_skb", DEATHS)
        for tracepoint, program in TRACEPOINTS:
            why = why or self._probes.attach_tracepoint(tracepoint, program)
        if why is not None:
            note(f"segments that TCP sends again are not counted: {why}")
            return False
        self._refused_syns = self._probes.load(REFUSED_SYN) is None
        for hook in RESENDS:
            why = self._probes.attach(hook)
            if why is not None:
                note(f"probe {hook.function}: not attached: {why}")
        self._loader.write("resent_since", 0, c_uint64(time.monotonic_ns()))
        return True

    def stop(self) -> None:
        """Nothing is counted any more: what dies from now on may be missed."""
        self._loader.write("resent_since", 0, c_uint64(_OVER))

    def read(self, missed: int, *, sees_refused_syns: bool) -> RawResent:
        """`missed`: how often the program was not run; `sees_refused_syns`: probes of listening sockets are there."""
        counts = resent_counts(
            values for _, each in self._loader.elements("resent_counts") for values in each
        )
        return RawResent(
            counts,
            dated=any(map(self._probes.is_attached, RESENDS)),
            refused_syns=self._refused_syns and sees_refused_syns,
            tcp_itself=bool(btf.vmlinux().enum("skb_drop_reason")),
            missed=missed,
        )
