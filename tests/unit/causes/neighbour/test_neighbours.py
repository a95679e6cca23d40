"""Neighbours that do not answer, and tables that are full: which entry, which limit, whose entries."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.neighbours import Entry, Holder, Table
from dropwatch.host.route import Route
from dropwatch.model import forwarding
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Event, Frame, Interface, Verdict, Where
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
FULL = Table(1030, (128, 512, 1024), 7, 4096, 3, 0)


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Died:
    """It was to leave through `va`."""

    def build(reason: str | None, function: str) -> Drop:
        frame = Frame(function, 1, None, 0)
        drop = make_drop(event=make_event(skb_iif=0), reason=reason)
        return replace(drop, where=Where(frame, "neighbour", "out"), stack=(frame,), iface=Interface(2, "va"))

    return build


def judged(drop: Drop, **answers: Any) -> tuple[str | None, Verdict]:
    cause, verdict = diagnose(drop, ToldHost(**answers))
    return (cause.id if cause is not None else None), verdict


def test_the_gateway_that_does_not_answer_is_the_object(died: Died) -> None:
    way = Route("va", "10.9.0.254", table=254)
    silent = Entry("FAILED", None, 70, 4, 3)
    cause, verdict = judged(died("NEIGH_FAILED", "neigh_invalidate"), route_out=way, neighbour=silent)
    assert (cause, verdict.confidence) == ("neighbour.unresolved", "certain")
    assert isinstance(verdict.culprit, forwarding.Neighbour)
    assert verdict.culprit.text == "10.9.0.254 dev va FAILED"
    assert verdict.evidence[-1].text == "10.9.0.254, the gateway to 10.9.0.2, is FAILED after 3 questions"


def test_one_that_answered_once_says_when(died: Died) -> None:
    heard = Entry("PROBE", "02:00:00:00:00:07", 35, 4)
    _, verdict = judged(died("NEIGH_FAILED", "neigh_invalidate"), route_out=Route("va"), neighbour=heard)
    assert isinstance(verdict.culprit, forwarding.Neighbour)
    assert (verdict.culprit.lladdr, verdict.culprit.confirmed) == ("02:00:00:00:00:07", 35)
    assert "was last heard 35 s before" in verdict.evidence[-1].text


@pytest.mark.parametrize(
    ("way", "changed"),
    [(Route("other"), 0), (Route(None, refusal="x"), 0), (Route("va"), 1 << 62), (None, 0)],
)
def test_no_entry_is_named_where_the_next_hop_is_not_sure(
    died: Died, way: Route | None, changed: int
) -> None:
    answers = {"route_out": way, "neighbour": Entry("FAILED"), "last_change": changed}
    cause, verdict = judged(died("NEIGH_FAILED", "neigh_invalidate"), **answers)
    assert (cause, verdict.culprit) == ("neighbour.unresolved", None)


@pytest.mark.parametrize(("reason", "confidence"), [("NEIGH_QUEUEFULL", "certain"), (None, "likely")])
def test_the_queue_of_an_entry(died: Died, reason: str | None, confidence: str) -> None:
    cause, verdict = judged(died(reason, "__neigh_event_send"), neighbour_table=FULL)
    assert (cause, verdict.confidence) == ("neighbour.queue-full", confidence)
    assert "4,096 bytes" in verdict.evidence[0].text


def test_what_may_not_ask_has_no_full_queue(died: Died) -> None:
    may_not = replace(FULL, multicast=0, app=0)
    assert judged(died(None, "__neigh_event_send"), neighbour_table=may_not)[0] is None
    cause, verdict = judged(died("NEIGH_FAILED", "__neigh_event_send"), neighbour_table=may_not)
    assert cause == "neighbour.not-asked"
    assert verdict.evidence[0].text == "mcast_solicit is 0, app_solicit 0"


@pytest.mark.parametrize("reason", ["NEIGH_CREATEFAIL", None])
def test_the_table_is_full(died: Died, reason: str | None) -> None:
    holders = (Holder("k8s", "cni0", 900, 800), Holder("b", "va", 130, 0))
    drop = died(reason, "ip_finish_output2")
    cause, verdict = judged(drop, neighbour_table=FULL, neighbour_holders=holders)
    assert (cause, verdict.confidence) == ("neighbour.table-full", "likely")
    assert verdict.culprit == Sysctl(
        "net.ipv4.neigh.default.gc_thresh3 = 1024", "net.ipv4.neigh.default.gc_thresh3", 1024, 1030
    )
    assert verdict.evidence[0].text == (
        "1,030 entries of all namespaces, and gc_thresh3 is 1,024 (gc_thresh1 128, gc_thresh2 512); it has refused 7"
    )
    assert verdict.evidence[1].text == (
        "most entries: 900 on cni0 of netns k8s, 800 of them without an answer; 130 on va of netns b"
    )


def test_a_table_with_room_is_no_reason_by_itself(died: Died) -> None:
    room = replace(FULL, entries=7)
    assert judged(died(None, "ip_finish_output2"), neighbour_table=room)[0] is None
    cause, verdict = judged(died("NEIGH_CREATEFAIL", "ip_finish_output2"), neighbour_table=room)
    assert (cause, verdict.confidence) == ("neighbour.table-full", "likely")
