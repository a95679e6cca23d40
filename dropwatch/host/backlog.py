"""The input queues of the CPUs: what each has dropped, and the limit of all."""

from contextlib import suppress
from pathlib import Path

from dropwatch.model.dataclass import dataclass

_STAT = Path("/proc/net/softnet_stat")  # the same in every namespace
_LIMIT = Path("/proc/sys/net/core/netdev_max_backlog")  # the first namespace has it
_DROPPED, _FLOW_LIMIT, _LENGTH, _CPU = 1, 10, 11, 12  # columns


@dataclass(frozen=True, slots=True)
class CpuQueue:
    """`by_flow_limit` of those that were `dropped`; `length` is what waits now, None where the kernel does not tell."""

    cpu: int
    dropped: int
    by_flow_limit: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """`limit` is None where whydrop's own namespace does not show it."""

    queues: tuple[CpuQueue, ...]
    limit: int | None


def read_backlog() -> Backlog:
    """Raises OSError or ValueError."""
    limit = None
    with suppress(FileNotFoundError):
        limit = int(_LIMIT.read_text())
    return Backlog(queues_of(_STAT.read_text()), limit)


def queues_of(text: str) -> tuple[CpuQueue, ...]:
    """A line for each CPU, in hexadecimal; older kernels do not say which."""
    found = []
    for at, line in enumerate(text.splitlines()):
        columns = [int(word, 16) for word in line.split()]
        if len(columns) > _FLOW_LIMIT:
            more = len(columns) > _CPU
            found.append(
                CpuQueue(
                    columns[_CPU] if more else at,
                    columns[_DROPPED],
                    columns[_FLOW_LIMIT],
                    columns[_LENGTH] if more else None,
                )
            )
    return tuple(found)
