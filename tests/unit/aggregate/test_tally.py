"""Rows of a summary: counts are the kernel's, judgements those of samples, and nothing is split by guess."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.aggregate.tally import Tally
from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Drop, Event, Finding, Frame, Interface, Netns, Packet, Where
from dropwatch.model.summary import Summary

ROW, OTHER = b"row", b"other row"
RULE = NftRule("ip filter INPUT handle 4: drop", "ip", "filter")


@pytest.fixture
def tally(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Tally:
    return Tally(
        drop_of=lambda row: make_drop(reason="NO_SOCKET", event=make_event(row=row)),
        held_back=lambda cause_id: cause_id.startswith("benign."),
        interval=1.0,
        now=1000.0,
    )


@pytest.fixture
def sample(
    tally: Tally,
    make_event: Callable[..., Event],
    make_drop: Callable[..., Drop],
    make_finding: Callable[..., Finding],
) -> Callable[..., None]:
    """One packet of a row that was looked at."""

    def take(
        row: bytes = ROW,
        cause: str = "firewall.rule",
        cpu: int = 0,
        drop: Drop | None = None,
        fits: bool = True,
        **fields: Any,
    ) -> None:
        event = make_event(row=row, cpu=cpu, source="kfree_skb" if row else "xfrm_lookup")
        found = make_finding(drop or make_drop(event=event), cause_id=cause, **fields)
        tally.sample(event, found if fits else None)

    return take


def sums_up(summary: Summary) -> bool:
    packets = sum(row.packets for row in summary.rows)
    return packets + sum(summary.suppressed.values()) + summary.not_matched == summary.counted


def test_a_row_has_the_kernels_count_and_its_samples_cause(tally: Tally, sample: Callable[..., None]) -> None:
    sample(culprit=RULE)
    sample(culprit=RULE)
    found = tally.summary({ROW: 100_003}, 1002.0, 2.0)
    (row,) = found.rows
    assert (row.packets, row.new, row.rate) == (100_003, 100_003, 50_001.5)
    assert (row.cause_id, row.confidence, row.culprit, row.samples) == ("firewall.rule", "certain", RULE, 2)
    assert (row.where.function, row.iface, row.netns) == (
        "xfrm_input",
        Interface(2, "vb"),
        Netns(4026532234, "b"),
    )
    assert (row.also, row.note) == ((), None)
    assert found.counted == 100_003
    assert sums_up(found)


def test_new_and_rate_are_since_the_last_summary(tally: Tally, sample: Callable[..., None]) -> None:
    sample()
    tally.summary({ROW: 10}, 1001.0, 1.0)
    (row,) = tally.summary({ROW: 15}, 1006.0, 5.0).rows
    assert (row.packets, row.new, row.rate) == (15, 5, 1.0)
    assert row.last == 1795205701.123456, "the sample's time, which is later here"
    (row,) = tally.summary({ROW: 15}, 1007.0, 1.0).rows
    assert (row.packets, row.new, row.rate) == (15, 0, 0.0)
    assert row.history[-3:] == (10, 5, 0)
    assert len(row.history) == 60


def test_the_history_is_of_one_minute(tally: Tally, sample: Callable[..., None]) -> None:
    sample()
    tally.summary({ROW: 7}, 1001.0, 1.0)
    for second in range(60):
        (row,) = tally.summary({ROW: 7}, 1002.0 + second, 1.0).rows
    assert not any(row.history)


def test_without_a_sample_the_cause_is_unknown_and_said_to_be_so(tally: Tally) -> None:
    found = tally.summary({ROW: 5}, 1001.0, 1.0)
    (row,) = found.rows
    assert (row.cause_id, row.confidence, row.packets, row.samples) == ("unknown", "unknown", 5, 0)
    assert (row.reason, row.where.function) == ("NO_SOCKET", "xfrm_input")
    assert "no sample" in (row.note or "")
    assert sums_up(found)


def test_the_harmless_and_what_does_not_fit_are_counted_apart(
    tally: Tally, sample: Callable[..., None]
) -> None:
    sample(b"a", "benign.socket-close")
    sample(b"b", "benign.socket-close")
    sample(b"c", fits=False)
    sample(b"d")
    found = tally.summary({b"a": 3, b"b": 4, b"c": 11, b"d": 13}, 1001.0, 1.0)
    assert found.suppressed == {"benign.socket-close": 7}
    assert found.not_matched == 11
    assert [row.packets for row in found.rows] == [13]
    assert found.counted == 31
    assert sums_up(found)


def test_a_harmless_row_whose_causes_differ_is_not_split(tally: Tally, sample: Callable[..., None]) -> None:
    sample(cause="benign.a")
    sample(cause="benign.b")
    assert tally.summary({ROW: 9}, 1001.0, 1.0).suppressed == {"benign.a or benign.b": 9}


def test_samples_that_disagree_make_a_mixed_row(tally: Tally, sample: Callable[..., None]) -> None:
    for cause in (
        "firewall.rule",
        "firewall.rule",
        "firewall.rule",
        "routing.blackhole",
        "routing.blackhole",
    ):
        sample(cause=cause, culprit=RULE)
    found = tally.summary({ROW: 20}, 1001.0, 1.0)
    (row,) = found.rows
    assert (row.cause_id, row.also, row.packets) == ("routing.blackhole", ("firewall.rule",), 20), (
        "the last two samples stand for more packets than those before them"
    )
    assert row.confidence == "likely"
    assert row.title.startswith("mostly: ")
    assert "how many of each is not known" in (row.note or "")
    assert sums_up(found)


@pytest.mark.parametrize("other", ["benign.socket-close", None])
def test_what_would_be_left_out_is_not_left_out_of_a_mixed_row(
    other: str | None, tally: Tally, sample: Callable[..., None]
) -> None:
    sample()
    sample(cause=other or "", fits=other is not None)
    found = tally.summary({ROW: 20}, 1001.0, 1.0)
    (row,) = found.rows
    assert row.packets == 20
    assert row.also == (other or "packets that do not fit the filter",)
    assert (found.suppressed, found.not_matched) == ({}, 0)


def test_samples_weigh_by_cpu(tally: Tally, sample: Callable[..., None]) -> None:
    for cpu in range(5):
        sample(cause="one", cpu=cpu)
    for _ in range(5):
        sample(cause="two", cpu=9)
    (row,) = tally.summary({ROW: 21}, 1001.0, 1.0).rows
    assert row.cause_id == "two", "16 packets of one CPU against one of each of five"


def test_one_cause_by_several_objects_names_none_as_the_object(
    tally: Tally, sample: Callable[..., None]
) -> None:
    for handle in range(5):
        sample(culprit=NftRule(f"handle {handle}", "ip", "filter"))
    (row,) = tally.summary({ROW: 20}, 1001.0, 1.0).rows
    assert (row.cause_id, row.culprit, row.confidence) == ("firewall.rule", None, "certain")
    assert "handle 4; handle 3; handle 2 and 2 more" in (row.note or "")


def test_the_least_sure_sample_decides_how_sure_a_row_is(tally: Tally, sample: Callable[..., None]) -> None:
    sample(confidence="certain")
    sample(confidence="likely")
    (row,) = tally.summary({ROW: 2}, 1001.0, 1.0).rows
    assert row.confidence == "likely"


def test_rows_that_read_the_same_are_added_up(tally: Tally, sample: Callable[..., None]) -> None:
    sample(ROW, culprit=RULE)
    sample(OTHER, culprit=RULE)
    (row,) = tally.summary({ROW: 3, OTHER: 4}, 1001.0, 1.0).rows
    assert (row.packets, row.samples, row.history[-1]) == (7, 2, 7)


@pytest.mark.parametrize("different", ["cause", "culprit", "reason", "place", "iface", "netns"])
def test_rows_that_differ_are_not(
    different: str, tally: Tally, sample: Callable[..., None], make_drop: Callable[..., Drop]
) -> None:
    drop = make_drop()
    frame = Frame("nft_do_chain", 7, None, 1)
    changes: dict[str, dict[str, Any]] = {
        "cause": {"cause": "firewall.policy"},
        "culprit": {"culprit": RULE},
        "reason": {"drop": replace(drop, reason="NETFILTER_DROP")},
        "place": {"drop": replace(drop, where=Where(frame, None, None))},
        "iface": {"drop": replace(drop, iface=None)},
        "netns": {"drop": replace(drop, netns=None)},
    }
    sample(ROW)
    sample(OTHER, **changes[different])
    assert [row.packets for row in tally.summary({ROW: 3, OTHER: 4}, 1001.0, 1.0).rows] == [4, 3]


def test_events_without_a_row_count_by_themselves(tally: Tally, sample: Callable[..., None]) -> None:
    for _ in range(3):
        sample(b"", "routing.blackhole")
    sample(b"", fits=False)
    found = tally.summary({}, 1001.0, 1.0)
    assert [(row.cause_id, row.packets, row.new) for row in found.rows] == [("routing.blackhole", 3, 3)]
    assert (found.not_matched, found.counted) == (1, 4)
    sample(b"", "routing.blackhole")
    (row,) = tally.summary({}, 1002.0, 1.0).rows
    assert (row.packets, row.new) == (4, 1)


def test_a_sample_that_comes_before_its_count_waits(tally: Tally, sample: Callable[..., None]) -> None:
    sample()
    assert tally.summary({}, 1001.0, 1.0).rows == ()


def test_whatever_comes_the_sum_is_what_the_kernel_counted(tally: Tally, sample: Callable[..., None]) -> None:
    dice = random.Random(7)
    counts = {bytes([n]): dice.randrange(1, 100_000) for n in range(200)}
    for row in counts:
        for _ in range(dice.randrange(4)):
            cause = dice.choice(("firewall.rule", "unknown", "benign.a", "benign.b"))
            culprit = dice.choice((None, RULE))
            sample(row, cause, dice.randrange(2), fits=dice.random() < 0.8, culprit=culprit)
    found = tally.summary(counts, 1001.0, 1.0)
    assert found.counted == sum(counts.values())
    assert sums_up(found)


def test_a_row_knows_the_ports_of_its_samples(
    tally: Tally,
    sample: Callable[..., None],
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
    make_event: Callable[..., Event],
) -> None:
    def to(port: int | None, row: bytes) -> None:
        proto = "udp" if port else "icmp"
        sample(row, drop=make_drop(make_packet(proto=proto, dport=port), make_event(row=row)))

    for port in (53, 53, 5000):
        to(port, ROW)
    to(443, OTHER)
    (row,) = tally.summary({ROW: 3, OTHER: 1}, 1001.0, 1.0).rows
    assert row.ports == ("udp 53", "udp 5000", "udp 443"), "rows that are one for the reader"
    for port in range(1, 99):
        to(port, ROW)
    to(None, b"third")
    rows = tally.summary({ROW: 102, b"third": 1}, 1002.0, 1.0).rows
    assert len(rows[0].ports) == 4
