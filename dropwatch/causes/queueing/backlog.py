"""Signs of a CPU whose input queue is full: which one, by which limit."""

from collections.abc import Iterator
from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.host.backlog import Backlog, CpuQueue
from dropwatch.host.host import Host
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Verdict

_PLACE = "enqueue_to_backlog"
_NAME = "net.core.netdev_max_backlog"
_SOURCE = "softnet_stat, after the drop"


def cpu_backlog(drop: Drop, host: Host) -> Verdict | None:
    """Kernels without reasons free there for nothing else than a queue that is full, or that takes no more."""
    silent = drop.reason is None and kernel_word.place(drop) == _PLACE
    if drop.reason != "CPU_BACKLOG" and not silent:
        return None
    found = host.backlog(drop.event.netns, drop.event.monotonic_ns)
    dropping = [one for one in found.queues if one.dropped] if found is not None else []
    if silent and not dropping:
        return None
    verdict = (kernel_word.likely if silent else kernel_word.certain)(drop, *_facts(found, dropping))
    if found is None or found.limit is None or pinned.doubts(drop, host, pinned.Source("sysctls", None)):
        return verdict
    return replace(verdict, culprit=Sysctl(f"{_NAME} = {found.limit}", _NAME, found.limit))


def _facts(found: Backlog | None, dropping: list[CpuQueue]) -> Iterator[Evidence]:
    if found is not None and dropping:
        words = "; ".join(_one(one) for one in sorted(dropping, key=lambda one: -one.dropped)[:3])
        limit = f"; a queue takes {found.limit:,} packets" if found.limit is not None else ""
        yield Evidence(_SOURCE, f"{words}{limit}")


def _one(one: CpuQueue) -> str:
    by_flow = f", {one.by_flow_limit:,} of them by the flow limit" if one.by_flow_limit else ""
    return f"CPU {one.cpu} has dropped {one.dropped:,}{by_flow}"
