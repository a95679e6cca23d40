"""Which CPU's input queue was full, by which limit."""

from collections.abc import Callable

import pytest

from dropwatch.host.backlog import Backlog, CpuQueue
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop
from tests.unit.causes.queueing.conftest import judged
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
FULL = Backlog((CpuQueue(0, 0, 0, 0), CpuQueue(1, 11, 3, 8)), 8)


@pytest.mark.parametrize(("reason", "confidence"), [("CPU_BACKLOG", "certain"), (None, "likely")])
def test_the_cpu_and_the_limit(died: Died, reason: str | None, confidence: str) -> None:
    cause, verdict = judged(died(reason, "enqueue_to_backlog"), ToldHost(backlog=FULL))
    assert (cause, verdict.confidence) == ("queueing.cpu-backlog", confidence)
    assert verdict.culprit == Sysctl("net.core.netdev_max_backlog = 8", "net.core.netdev_max_backlog", 8)
    assert verdict.evidence[0].text == (
        "CPU 1 has dropped 11, 3 of them by the flow limit; a queue takes 8 packets"
    )


def test_what_cannot_be_read(died: Died) -> None:
    cause, verdict = judged(died("CPU_BACKLOG", "enqueue_to_backlog"), ToldHost())
    assert (cause, verdict.confidence, verdict.culprit) == ("queueing.cpu-backlog", "certain", None)
    assert judged(died(None, "enqueue_to_backlog"), ToldHost())[0] is None
