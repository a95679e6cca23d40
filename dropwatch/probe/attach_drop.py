"""Attaches what runs at skb:kfree_skb, after everything that it jumps to."""

import ctypes
from collections.abc import Callable
from typing import Any

from dropwatch.kernel import btf
from dropwatch.probe.attach import quiet, write
from dropwatch.probe.families import COUNTING


def attach_drop(bpf: Any, summary: bool, note: Callable[[str], None]) -> str | None:
    """Why the kernel refused it, None when it runs. `note` takes sentences for `blind_spots`."""
    from bcc import BPF

    with quiet() as said:
        try:
            usual = bpf.load_func(b"on_kfree_skb", BPF.RAW_TRACEPOINT)
            if summary:
                write(bpf, COUNTING.table.encode(), COUNTING.index, ctypes.c_int(usual.fd))
            bpf.attach_raw_tracepoint(tp=b"kfree_skb", fn_name=b"on_kfree_skb")
        except Exception as error:
            return said() or str(error)

    if btf.vmlinux().offset("bpf_prog", ("active",)) is None:
        return None  # programs run again on their CPU
    with quiet() as said:
        try:
            write(bpf, b"interrupting_drops", 0, ctypes.c_int(usual.fd))
            _attach_again(bpf)
        except Exception as error:
            note(f"probe on_kfree_skb_again: not attached: {said() or error}")
    return None


def _attach_again(bpf: Any) -> None:
    """What dies in an interrupt of on_kfree_skb: bcc itself attaches one program to a tracepoint."""
    from bcc import BPF
    from bcc.libbcc import lib

    again = bpf.load_func(b"on_kfree_skb_again", BPF.RAW_TRACEPOINT)
    attached = lib.bpf_attach_raw_tracepoint(again.fd, b"kfree_skb")
    if attached < 0:
        raise OSError(ctypes.get_errno(), "the tracepoint takes no second program")
    bpf.raw_tracepoint_fds[b"kfree_skb, again"] = attached
