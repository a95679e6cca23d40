"""Ten hosts, each with what a real one has died of, in one Prometheus: one query says where, of what, and whose."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import dropwatch
from dropwatch.model.drop import Finding, Process, Totals
from dropwatch.watch.listen import Listener
from dropwatch.watch.metrics import Metrics
from tests.unit.watch.engines import ENGINES, Sample, engine
from tests.unit.watch.test_listen import ANY_PORT

RECORDINGS = Path(__file__).parents[2] / "replay" / "recordings"
HOSTS = [
    *(f"{kernel}-mixed" for kernel in ("5.10", "6.1", "6.12", "7.2")),
    *(f"{kernel}-{name}" for kernel in ("5.10", "6.1", "6.12") for name in ("nat", "summary")),
]
# Also in docs/fleet.md, with rates: of each host the worst cause and the worst owner, in one row.
WORST = (
    "topk by (instance) (1, sum by (instance, cause) (whydrop_drops_total)) * on (instance) group_left (owner) "
    'topk by (instance) (1, sum by (instance, owner) (whydrop_owner_drops_total{kind!~"none|other"})) ^ 0'
)


def findings(host: str) -> list[Finding]:
    """What a recording has, and of its last finding some more: those are a service's."""
    with dropwatch.replay(RECORDINGS / f"linux-{host}.whydrop") as run:
        found = list(run)
    service = Process(pid=812, comm="app", unit=f"app-{host}.service")
    return [*found, replace(found[-1], owner=service, count=1009)]


@contextmanager
def whydrops(hosts: dict[str, list[Finding]]) -> Iterator[dict[str, int]]:
    """What a recorder would have counted on each, answering on a port of its own."""
    listeners = []
    for found in hosts.values():
        metrics, packets = Metrics("1.2.3"), sum(one.count for one in found)
        totals = Totals({"kfree_skb": packets}, packets, packets, {}, {}, ())
        metrics.begin(lambda totals=totals: totals, dict)  # type: ignore[misc]
        for finding in found:
            metrics.add(finding)
        metrics.tick()
        listeners.append(Listener(ANY_PORT, metrics))
        listeners[-1].start()
    try:
        yield {host: listener.server_port for host, listener in zip(hosts, listeners, strict=True)}
    finally:
        for listener in listeners:
            listener.shutdown()
            listener.server_close()


def by_cause(found: Iterable[Finding]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for finding in found:
        counts[finding.cause_id] += finding.count
    return counts


@pytest.mark.parametrize("name", ENGINES)
def test_one_query_names_host_cause_and_owner(name: str, tmp_path: Path) -> None:
    hosts = {host: findings(host) for host in HOSTS}
    total = by_cause(finding for found in hosts.values() for finding in found)
    worst: list[Sample] = []
    for host, found in hosts.items():
        cause, packets = by_cause(found).most_common(1)[0]
        worst.append(({"instance": host, "cause": cause, "owner": f"app-{host}.service"}, packets))
    assert len({labels["cause"] for labels, _ in worst}) > 1
    with whydrops(hosts) as ports, engine(name, tmp_path, ports) as running:
        running.wait_for(
            "sum by (cause) (whydrop_drops_total)",
            [({"cause": cause}, packets) for cause, packets in total.items()],
        )
        running.wait_for(WORST, worst)
