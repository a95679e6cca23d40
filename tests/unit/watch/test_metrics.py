"""What Prometheus is told, as it reads it."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from dropwatch.model.culprits import NftRule, Socket, Sysctl
from dropwatch.model.drop import Finding, Netns, Process, Totals
from dropwatch.watch.metrics import MOST_SERIES, Metrics
from tests.unit.watch.clocks import NOON, Clocks

Find = Callable[..., Finding]
RULE = NftRule(text="udp dport 53 drop", family="ip", table="filter", chain="input", handle=7, number=1)
TOTALS = Totals(
    seen_by={"kfree_skb": 90, "ip_route_output_flow": 2},
    matched=81,
    reported=81,
    lost={"ring buffer full": 3, "rows full": 1},
    suppressed={"benign.tap-copy": 7},
    blind_spots=("a", "b"),
)


@pytest.fixture
def metrics(clocks: Clocks) -> Metrics:
    return Metrics("1.2.3", clock=lambda: clocks.since_boot, wall=lambda: clocks.wall)


def samples(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """By name and labels, as a strict reader of OpenMetrics reads them."""
    page = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]
    families = read_openmetrics(page)  # type: ignore[no-untyped-call]
    return {
        (one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics.registry()).get((name, frozenset(labels.items())))


def total(metrics: Metrics, name: str) -> float:
    return sum(
        value for (found, _), value in samples(metrics.registry()).items() if found == f"whydrop_{name}_total"
    )


def test_packets_are_counted_by_cause_object_and_owner(metrics: Metrics, find: Find) -> None:
    metrics.add(
        find(count=5, cause_id="netfilter.nft-rule", culprit=RULE, owner=Process(1, "dig", "a.service"))
    )
    metrics.add(find(count=2, confidence="likely"))
    assert (
        value(
            metrics, "whydrop_drops_total", cause="netfilter.nft-rule", direction="in", confidence="certain"
        )
        == 5
    )
    assert (
        value(metrics, "whydrop_drops_total", cause="ipsec.auth-failed", direction="in", confidence="likely")
        == 2
    )
    rule = "ip filter input udp dport 53 drop"
    assert value(metrics, "whydrop_object_drops_total", kind="nft-rule", object=rule) == 5
    assert value(metrics, "whydrop_object_drops_total", kind="none", object="none") == 2
    assert value(metrics, "whydrop_owner_drops_total", kind="unit", owner="a.service") == 5
    assert value(metrics, "whydrop_owner_drops_total", kind="none", owner="none") == 2


def test_a_reload_that_changes_handles_changes_no_series(metrics: Metrics, find: Find) -> None:
    metrics.add(find(culprit=RULE))
    before = set(samples(metrics.registry()))
    metrics.add(find(culprit=replace(RULE, handle=99, number=4)))
    metrics.add(find(culprit=RULE))
    assert set(samples(metrics.registry())) == before


def test_a_socket_is_one_whoever_it_is_connected_to(metrics: Metrics, find: Find) -> None:
    server = Socket("socket", "tcp", "10.9.0.2", 443, "10.9.0.1", 40000, None, 7)
    for peer in range(40000, 40009):
        metrics.add(find(culprit=replace(server, peer_port=peer)))
        metrics.add(find(culprit=replace(server, port=peer, peer_port=53)))
    for name in ("tcp 10.9.0.2 443", "tcp 10.9.0.2 *"):
        assert value(metrics, "whydrop_object_drops_total", kind="socket", object=name) == 9


def test_the_kernels_own_counts_are_there_from_the_first_tick(metrics: Metrics, clocks: Clocks) -> None:
    asked: list[Totals] = []

    def so_far() -> Totals:
        asked.append(TOTALS)
        return TOTALS

    assert value(metrics, "whydrop_lost_total") is None
    metrics.begin(so_far, lambda: {"otlp": 3})
    for _ in range(10):
        metrics.tick()
    assert len(asked) == 1
    clocks.step(1)
    metrics.tick()
    assert len(asked) == 2
    assert value(metrics, "whydrop_seen_total", source="kfree_skb") == 90
    assert value(metrics, "whydrop_matched_total") == 81
    assert value(metrics, "whydrop_lost_total") == 4
    assert value(metrics, "whydrop_harmless_total", cause="benign.tap-copy") == 7
    assert value(metrics, "whydrop_blind_spots") == 2
    assert value(metrics, "whydrop_undelivered_total", to="otlp") == 3
    assert value(metrics, "whydrop_start_time_seconds") == NOON
    assert value(metrics, "whydrop_build_info", version="1.2.3") == 1


def test_what_the_recorder_costs_is_there(metrics: Metrics) -> None:
    assert (value(metrics, "process_resident_memory_bytes") or 0) > 1 << 20
    assert (value(metrics, "process_cpu_seconds_total") or 0) > 0


def attack(find: Find) -> Iterable[Finding]:
    """Names that differ, each in every place where somebody else may have chosen it."""
    usual = find()
    ways = [
        replace(usual.drop, where=replace(usual.drop.where, direction=way))
        for way in ("in", "out", "forward", None)
    ]
    for number in range(100_000):
        yield replace(
            usual,
            drop=ways[number // 300 % 4],
            cause_id=f"made.up-{number % 300}",
            confidence=("certain", "likely", "unknown")[number // 1200 % 3],
            culprit=replace(RULE, text=f"rule {number}"),
            owner=Process(number, f"comm {number}", f"u{number}.service" if number % 2 else None),
            count=1 + number % 2,
        )


def test_there_are_a_thousand_series_at_most_whoever_chooses_names(metrics: Metrics, find: Find) -> None:
    sent = 0
    for finding in attack(find):
        metrics.add(finding)
        sent += finding.count
    for number in range(200):  # and some that are large enough for every place that is left
        finding = find(culprit=replace(RULE, text=f"large {number}"), owner=Process(1, f"large {number}"))
        metrics.add(replace(finding, count=sent // 50))
        sent += sent // 50
    crowd = {f"{number}": 1 for number in range(5000)}
    metrics.take(replace(TOTALS, seen_by=crowd, suppressed=crowd, lost=crowd, blind_spots=tuple(crowd)))
    assert 800 < len(samples(metrics.registry())) <= MOST_SERIES
    for name in ("drops", "object_drops", "owner_drops"):
        assert total(metrics, name) == sent
    assert (value(metrics, "whydrop_object_drops_total", kind="other", object="other") or 0) > 0.2 * sent


def test_who_is_large_gets_a_series_after_the_attack(metrics: Metrics, find: Find) -> None:
    for finding in attack(find):
        metrics.add(finding)
    metrics.add(find(culprit=RULE, owner=Process(7, "named"), count=10_000))
    assert (
        value(
            metrics, "whydrop_object_drops_total", kind="nft-rule", object="ip filter input udp dport 53 drop"
        )
        == 10_000
    )
    assert value(metrics, "whydrop_owner_drops_total", kind="comm", owner="named") == 10_000


@pytest.mark.parametrize(
    "name", ['a"} 7\nwhydrop_drops_total{cause="b', "\x1b[31m\x00\r\n", "\udcff\u202e", "ä" * 5000, "\\", '"']
)
def test_a_name_can_do_nothing_to_the_page(name: str, metrics: Metrics, find: Find) -> None:
    metrics.add(find(culprit=Sysctl(text=name, name=name, value=1), owner=Process(1, name)))
    plain = generate_latest(metrics.registry()).decode()
    for families in (samples(metrics.registry()), list(read_plain(plain))):
        assert families
    assert not {"\x1b", "\x00", "\r", "\u202e"} & set(plain)
    assert max(map(len, plain.splitlines())) < 500
    assert total(metrics, "drops") == total(metrics, "object_drops") == total(metrics, "owner_drops") == 1


def test_it_is_alive_while_it_ticks(metrics: Metrics, clocks: Clocks) -> None:
    assert not metrics.alive()
    metrics.tick()
    clocks.step(59)
    assert metrics.alive()
    clocks.step(2)
    assert not metrics.alive()


def test_a_container_is_told_before_a_unit_and_a_unit_before_a_name(metrics: Metrics, find: Find) -> None:
    known: dict[str, Any] = {"comm": "nginx", "unit": "web.scope", "container": "web"}
    metrics.add(find(owner=Process(1, **known)))
    metrics.add(find(owner=Process(1, **known | {"container": None})))
    metrics.add(find(owner=Process(1, "nginx")))
    metrics.add(find(owner=Process(1, None)))
    for kind, name in (("container", "web"), ("unit", "web.scope"), ("comm", "nginx"), ("none", "none")):
        assert value(metrics, "whydrop_owner_drops_total", kind=kind, owner=name) == 1


def test_a_pod_is_counted_by_its_name(metrics: Metrics, find: Find) -> None:
    """The id of a container says nothing to anybody, and changes with each restart."""
    process = Process(812, "cart", None, "0123456789abcdef" * 4, "0b5e8f3c", "cart-0", "shop")
    metrics.add(find(count=5, owner=process))
    metrics.add(find(count=3, owner=replace(process, container="f" * 64)))
    found = value(metrics, "whydrop_owner_drops_total", kind="pod", owner="shop/cart-0")
    assert found == 8


def test_a_container_is_counted_by_its_name(metrics: Metrics, find: Find) -> None:
    """The next one of that name has another id."""
    for which in ("3f", "7c"):
        metrics.add(find(owner=Process(812, "nginx", "x.scope", which * 32, container_name="shop-web-1")))
    assert value(metrics, "whydrop_owner_drops_total", kind="container", owner="shop-web-1") == 2


@pytest.mark.parametrize(
    ("tenant", "kind", "name"),
    [
        (Process(None, None, container="3f" * 32, container_name="web"), "container", "web"),
        (Process(None, None, pod="uid", pod_name="cart-0", pod_namespace="shop"), "pod", "shop/cart-0"),
        (Process(None, None, pod="3f" * 32), "pod", "3f" * 32),
        (None, "none", "none"),
    ],
)
def test_what_no_socket_is_known_of_is_counted_for_the_namespace(
    metrics: Metrics, find: Find, tenant: Process | None, kind: str, name: str
) -> None:
    finding = find(owner=None)
    drop = replace(finding.drop, process=None, netns=Netns(4026532234, None, tenant))
    metrics.add(replace(finding, drop=drop))
    assert value(metrics, "whydrop_owner_drops_total", kind=kind, owner=name) == 1
    metrics.add(replace(finding, drop=replace(drop, process=Process(7, "nc"))))
    assert value(metrics, "whydrop_owner_drops_total", kind="comm", owner="nc") == 1
