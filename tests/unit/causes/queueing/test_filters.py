"""Which filter of traffic control has dropped it."""

from collections.abc import Callable

import pytest

from dropwatch.host.bpf.keepers import Keepers
from dropwatch.host.bpf.programs import Program
from dropwatch.host.link import Link
from dropwatch.host.tc.actions import SHOT, Action
from dropwatch.host.tc.filters import Filter
from dropwatch.model import forwarding
from dropwatch.model.culprits import BpfProgram, Task
from dropwatch.model.drop import Drop, Process
from tests.unit.causes.queueing.conftest import judged
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
DROP = Filter("flower", 49, 0x0800, 2, (Action("gact", SHOT, 7),))
RECEIVING = "__netif_receive_skb_core"


def test_the_only_one_that_can_have_dropped_it(died: Died) -> None:
    cause, verdict = judged(died("TC_INGRESS", RECEIVING), ToldHost(tc_filters=(DROP,)))
    assert (cause, verdict.confidence) == ("queueing.tc-ingress", "certain")
    assert isinstance(verdict.culprit, forwarding.TcFilter)
    assert verdict.culprit.text == "filter dev va ingress protocol ip pref 49 flower handle 0x2 action drop"
    assert verdict.fix[-1].command == (
        "ip netns exec b tc filter del dev va ingress protocol ip pref 49 handle 0x2 flower"
    )
    assert verdict.fix[-1].weakens


def test_without_a_reason_it_is_likely(died: Died) -> None:
    cause, verdict = judged(died(None, RECEIVING), ToldHost(tc_filters=(DROP,)))
    assert (cause, verdict.confidence) == ("queueing.tc-ingress", "likely")


def test_without_a_reason_a_program_that_counts_nothing_is_no_proof(died: Died) -> None:
    program = Filter("bpf", 9, 3, 4, program=77, name="p", direct=True)
    assert judged(died(None, RECEIVING), ToldHost(tc_filters=(program,)))[0] != "queueing.tc-ingress"


def test_several_are_listed(died: Died) -> None:
    other = Filter("bpf", 9, 3, 4, program=77, name="from-netdev", direct=True)
    cause, verdict = judged(died("TC_EGRESS"), ToldHost(tc_filters=(DROP, other)))
    assert (cause, verdict.confidence, verdict.culprit) == ("queueing.tc-egress", "certain", None)
    assert "pref 49 flower handle 0x2 action drop, has dropped 7" in verdict.evidence[0].text
    assert "pref 9 bpf handle 0x4 from-netdev id 77 direct-action" in verdict.evidence[1].text


def test_a_program_that_no_filter_has(died: Died) -> None:
    own = Program(77, "from_netdev", "57cd311f2e27366b")
    told = ToldHost(tcx_programs=(own,), program_keepers=Keepers((), (Process(812, "cilium-agent"),)))
    cause, verdict = judged(died("TC_INGRESS", RECEIVING), told)
    assert (cause, verdict.confidence) == ("queueing.tc-ingress", "certain")
    assert isinstance(verdict.culprit, BpfProgram)
    assert (verdict.culprit.id, verdict.culprit.attached_to) == (77, "va tcx ingress")
    assert verdict.culprit.keeper == Task(812, "cilium-agent")
    assert verdict.fix[0].command == "bpftool prog show id 77"


def test_a_program_beside_a_filter(died: Died) -> None:
    told = ToldHost(tc_filters=(DROP,), tcx_programs=(Program(77),))
    cause, verdict = judged(died("TC_EGRESS"), told)
    assert (cause, verdict.culprit) == ("queueing.tc-egress", None)
    assert "one of 2 that may drop: id 77 at va tcx egress" in verdict.evidence[0].text
    assert "pref 49 flower" in verdict.evidence[1].text


def test_one_for_another_protocol_is_innocent(died: Died) -> None:
    other = Filter("flower", 9, 0x86DD, 4, (Action("gact", SHOT, 7),))
    _, verdict = judged(died("TC_INGRESS", RECEIVING), ToldHost(tc_filters=(DROP, other)))
    assert isinstance(verdict.culprit, forwarding.TcFilter)
    assert verdict.culprit.pref == 49


def test_a_policer_says_its_rate(died: Died) -> None:
    one = Filter("u32", 3, 0x0800, 0x80000800, (Action("police", SHOT, 5, 5, 1000, 1500),))
    cause, verdict = judged(died("TC_INGRESS", RECEIVING), ToldHost(tc_filters=(one,)))
    assert (cause, verdict.confidence) == ("queueing.police", "certain")
    assert isinstance(verdict.culprit, forwarding.TcFilter)
    assert verdict.culprit.text.endswith("handle 800::800 action police rate 8000bit burst 1500b")
    assert "8,000 bit a second" in verdict.fix[0].text


@pytest.mark.parametrize(
    ("runs", "confidence", "words"),
    [(False, "certain", "is down"), (True, "likely", "is up"), (None, "likely", "is gone")],
)
def test_a_redirection(died: Died, runs: bool | None, confidence: str, words: str) -> None:
    one = Filter("matchall", 3, 0x0800, 1, (Action("mirred", None, 0, 3, to=9),))
    link = None if runs is None else Link("ifb0", 1500, "UP" if runs else "DOWN", runs, runs)
    host = ToldHost(tc_filters=(one,), link=link, interface_name="ifb0")
    cause, verdict = judged(died("TC_INGRESS", RECEIVING), host)
    assert (cause, verdict.confidence) == ("queueing.redirect-down", confidence)
    assert f"ifb0, which {words}" in verdict.evidence[1].text
    if runs is False:
        assert verdict.fix[0].command == "ip netns exec b ip link set dev ifb0 up"
