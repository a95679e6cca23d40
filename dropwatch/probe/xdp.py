"""Attaches what counts the errors of XDP programs (bpf/xdp.c), and reads it."""

from collections.abc import Callable

from dropwatch.model.xdp import XdpError
from dropwatch.probe.attach import Probes
from dropwatch.probe.programs.loader import Loader
from dropwatch.wire.xdp import xdp_error

TRACEPOINTS = (("xdp_exception", "on_xdp_exception"), ("xdp_redirect_err", "on_xdp_redirect_error"))


def attach_xdp(probes: Probes, note: Callable[[str], None]) -> None:
    """`note` takes sentences for `blind_spots`."""
    for tracepoint, program in TRACEPOINTS:
        why = probes.attach_tracepoint(tracepoint, program)
        if why is not None:
            note(f"errors of XDP programs are not counted: {why}")
            return


def read_xdp(loader: Loader) -> dict[XdpError, int]:
    """How many there were of each."""
    return {xdp_error(key): count for key, count in loader.items("xdp_exceptions")}
