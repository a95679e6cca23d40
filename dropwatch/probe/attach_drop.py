"""Attaches what runs at skb:kfree_skb, after everything that it jumps to."""

from collections.abc import Callable

from dropwatch.kernel import btf
from dropwatch.probe.attach import Probes
from dropwatch.probe.family import TailCall

AGAIN = TailCall("drop_details", 18, "on_kfree_skb")  # when its past has been read, or its rule searched
SEGMENT = TailCall("drop_details", 19, "send_segment")
_INTERRUPTING = TailCall("interrupting_drops", 0, "on_kfree_skb")
_AGAIN = "on_kfree_skb_again"


def attach_drop(probes: Probes, note: Callable[[str], None]) -> str | None:
    """Why the kernel refused it, None when it runs. `note` takes sentences for `blind_spots`."""
    why = probes.load(AGAIN) or probes.attach_tracepoint("kfree_skb", "on_kfree_skb")
    if why is not None:
        return why
    why = probes.load(SEGMENT)
    if why is not None:
        note(f"probe {SEGMENT.program}: not attached: {why}")
    if btf.vmlinux().offset("bpf_prog", ("active",)) is None:
        return None  # programs run again on their CPU
    # What dies in an interrupt of on_kfree_skb.
    why = probes.load(_INTERRUPTING) or probes.attach_tracepoint("kfree_skb", _AGAIN)
    if why is not None:
        note(f"probe {_AGAIN}: not attached: {why}")
    return None
