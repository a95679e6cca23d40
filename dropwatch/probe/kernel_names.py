"""Words for the numbers and addresses in the running kernel's records."""

from collections.abc import Callable
from pathlib import Path

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.model.netfilter import HookFunction
from dropwatch.probe.programs import numbers
from dropwatch.wire.note import KernelNames


def kernel_names(symbols: Kallsyms, watched: Callable[[str, int], bool]) -> KernelNames:
    """`watched` says whether a probe told what a function at a netfilter hook answered at a time (monotonic, in ns)."""

    def hook_function(address: int, time_ns: int) -> HookFunction:
        frame = symbols.frame(address)
        was_watched = frame.function is not None and watched(frame.function, time_ns)
        return HookFunction(frame.function, frame.module, was_watched)

    return KernelNames(_state_names(), _counter_names(), lambda at: symbols.frame(at).function, hook_function)


def _state_names() -> dict[int, str]:
    """Words for xfrm_state.km.state: an enum without a name (include/net/xfrm.h)."""
    found = numbers.xfrm_states()
    return {number: name.removeprefix("XFRM_STATE_").lower() for name, number in found.items()}


def _counter_names() -> dict[int, str]:
    """Index of each xfrm counter to its name in /proc/net/xfrm_stat."""
    try:
        lines = Path("/proc/net/xfrm_stat").read_text().splitlines()
        shown = {line.split()[0].upper(): line.split()[0] for line in lines if line.strip()}
    except OSError:
        shown = {}
    names = {number: name.removeprefix("LINUX_MIB_") for name, number in numbers.xfrm_counters().items()}
    return {
        number: shown.get(name, name)
        for number, name in names.items()
        if not name.startswith("_") and name != "XFRMNUM"
    }
