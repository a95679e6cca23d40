"""Which qdisc of an interface has dropped it, and why."""

from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.host.tc.actions import SHOT, Action
from dropwatch.host.tc.filters import Filter
from dropwatch.host.tc.qdiscs import ROOT, Qdisc
from dropwatch.model import forwarding
from dropwatch.model.drop import Drop
from tests.unit.causes.queueing.conftest import judged
from tests.unit.told_host import ToldHost

FULL = Qdisc("pfifo", 0x80000, ROOT, 3, "p", qlen=3, backlog=3126, drops=7)
SHAPER = Qdisc("htb", 0x10000, ROOT, 1000, "p", default_class=0x30, classes=(0x10010,))
Died = Callable[..., Drop]


def test_the_only_one_that_has_dropped_anything(died: Died) -> None:
    cause, verdict = judged(died("QDISC_DROP"), ToldHost(qdiscs=(FULL,)))
    assert (cause, verdict.confidence) == ("queueing.qdisc-full", "certain")
    assert isinstance(verdict.culprit, forwarding.Qdisc)
    assert verdict.culprit.text == "qdisc pfifo 8: dev va root limit 3p"
    assert verdict.evidence[0].text == "3 of 3 packets queued, 3,126 bytes, 7 dropped so far"
    assert verdict.fix[0].command == "ip netns exec b tc qdisc change dev va root handle 8: pfifo limit 6"


def test_without_a_reason_something_else_may_have_freed_it(died: Died) -> None:
    cause, verdict = judged(died(None), ToldHost(qdiscs=(FULL,)))
    assert (cause, verdict.confidence) == ("queueing.qdisc-full", "likely")


def test_one_that_has_dropped_nothing_is_innocent(died: Died) -> None:
    idle = Qdisc("pfifo", 0x80000, ROOT, 3, "p", qlen=3)
    assert judged(died("QDISC_DROP"), ToldHost(qdiscs=(idle,)))[0] is None


def test_what_changed_since_is_said(died: Died) -> None:
    cause, verdict = judged(died("QDISC_DROP"), ToldHost(qdiscs=(FULL,), last_change=1 << 62))
    assert (cause, verdict.confidence) == ("queueing.qdisc-full", "likely")
    assert "traffic control of this namespace changed" in verdict.evidence[-1].text


def test_a_parent_counts_what_its_classes_drop(died: Died) -> None:
    leaf = Qdisc("pfifo", 0x100000, 0x10010, 3, "p", qlen=3, drops=7)
    parent = Qdisc("htb", 0x10000, ROOT, 1000, "p", drops=7, default_class=0x30, classes=(0x10010,))
    _, verdict = judged(died("QDISC_DROP"), ToldHost(qdiscs=(parent, leaf)))
    assert isinstance(verdict.culprit, forwarding.Qdisc)
    assert (verdict.culprit.handle, verdict.culprit.parent) == ("10:", "1:10")


def test_of_several_the_full_one_is_likely(died: Died) -> None:
    other = Qdisc("pfifo", 0x90000, 0x10020, 3, "p", drops=1)
    cause, verdict = judged(died("QDISC_DROP"), ToldHost(qdiscs=(FULL, other)))
    assert (cause, verdict.confidence) == ("queueing.qdisc-full", "likely")
    assert isinstance(verdict.culprit, forwarding.Qdisc)
    assert verdict.culprit.handle == "8:"


def test_of_several_full_ones_none_is_named(died: Died) -> None:
    other = Qdisc("bfifo", 0x90000, 0x10020, 3000, "b", backlog=2000, drops=1)
    cause, verdict = judged(died("QDISC_DROP"), ToldHost(qdiscs=(FULL, other)))
    assert (cause, verdict.culprit) == ("queueing.qdisc-full", None)
    assert [one.text[:22] for one in verdict.evidence[:2]] == ["one of 2 that drop: qd"] * 2


def test_the_queue_that_tbf_made_for_itself_is_tbf_s(died: Died) -> None:
    inner = Qdisc("bfifo", 0, 0x70001, 3000, "b", qlen=2, backlog=2084, drops=10)
    outer = Qdisc("tbf", 0x70000, ROOT, 3000, "b", qlen=2, backlog=2084, drops=10, rate=1000, burst=1600)
    _, verdict = judged(died("QDISC_DROP"), ToldHost(qdiscs=(outer, inner)))
    assert isinstance(verdict.culprit, forwarding.Qdisc)
    assert verdict.culprit.text == "qdisc tbf 7: dev va root rate 8000bit burst 1600b limit 3000b"
    change = "tc qdisc change dev va root handle 7: tbf rate 8000bit burst 1600 limit 6000"
    assert verdict.fix[0].command == f"ip netns exec b {change}"


CAUSES: dict[str, tuple[dict[str, Any], str]] = {
    "queueing.qdisc-loss": ({"kind": "netem", "loss": 0.3, "limit": 1000}, "30.00%"),
    "queueing.burst-too-small": (
        {"kind": "tbf", "burst": 700, "rate": 9, "limit": 9},
        "1,042 bytes, and its burst 700",
    ),
    "queueing.horizon": ({"kind": "fq", "limit": 100, "horizon": 3}, "3 of 3 drops"),
    "queueing.congested": ({"kind": "red", "limit": 60000, "unit": "b"}, "3 dropped"),
    "queueing.no-class": (
        {"kind": "hfsc", "default_class": 0x30},
        "default class 3:30 does not exist; its classes are none",
    ),
}


@pytest.mark.parametrize(
    ("cause", "settings", "words"), [(key, *each) for key, each in CAUSES.items()], ids=CAUSES
)
def test_why_it_drops(died: Died, cause: str, settings: dict[str, Any], words: str) -> None:
    one = Qdisc(**{"handle": 0x30000, "parent": ROOT, "drops": 3, **settings})
    found, verdict = judged(died("QDISC_DROP"), ToldHost(qdiscs=(one,)))
    assert found == cause
    assert words in verdict.evidence[0].text


def test_a_loss_of_everything_is_no_model(died: Died) -> None:
    all_of_it = Qdisc("netem", 0x30000, ROOT, 1000, loss=1.0, drops=3)
    assert (
        "a probability of 100.00%"
        in judged(died("QDISC_DROP"), ToldHost(qdiscs=(all_of_it,)))[1].evidence[0].text
    )
    model = Qdisc("netem", 0x30000, ROOT, 1000, loss=1.0, drops=3, by_model=True)
    assert "drops by a model" in judged(died("QDISC_DROP"), ToldHost(qdiscs=(model,)))[1].evidence[0].text


def test_what_htb_sends_past_its_classes(died: Died) -> None:
    one = Qdisc("htb", 0x10000, ROOT, 2, "p", drops=3, default_class=0x30, classes=(0x10010, 0x10020))
    found, verdict = judged(died("QDISC_DROP"), ToldHost(qdiscs=(one,)))
    assert (found, verdict.confidence) == ("queueing.no-class", "likely")
    assert verdict.evidence[0].text == (
        "its default class 1:30 does not exist; its classes are 1:10, 1:20: such packets share a queue of 2 "
        "(direct_qlen), which is full"
    )
    assert "tc class add dev va parent 1: classid 1:30 htb rate RATE" in verdict.fix[0].text


def test_a_filter_of_a_shaper_that_drops(died: Died) -> None:
    one = Qdisc("htb", 0x10000, ROOT, 2, "p", drops=3, default_class=0x30, classes=(0x10030,))
    dropper = Filter("u32", 5, 0x0800, 0x80000800, (Action("gact", SHOT, 3),))
    found, verdict = judged(died("QDISC_DROP"), ToldHost(qdiscs=(one,), tc_filters=(dropper,)))
    assert (found, verdict.confidence) == ("queueing.tc-egress", "likely")
    assert isinstance(verdict.culprit, forwarding.TcFilter)
    assert verdict.culprit.text == "filter dev va 1: protocol ip pref 5 u32 handle 800::800 action drop"


def test_what_the_kernel_says_is_certain_also_without_an_object(died: Died) -> None:
    assert judged(died("QDISC_OVERLIMIT"), ToldHost())[1].confidence == "certain"
    cause, verdict = judged(died("QDISC_OVERLIMIT"), ToldHost(qdiscs=(FULL,)))
    assert (cause, verdict.confidence) == ("queueing.qdisc-full", "certain")
    assert verdict.culprit is not None
