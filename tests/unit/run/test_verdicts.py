"""Equal drops are judged once, for as long as the host would say the same of each."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.cause import Cause
from dropwatch.host.host import Host
from dropwatch.host.question import plain_question, question
from dropwatch.model.change import Change
from dropwatch.model.drop import Address, Drop, Verdict
from dropwatch.model.ipsec import GoneState, XfrmNote
from dropwatch.packet import payload
from dropwatch.run.verdicts import Verdicts
from tests.unit.host.clock import Clock

CAUSE = Cause("socket.udp-no-listener", "no socket", "why", "confirm", ())
IPSEC = Cause("ipsec.replay", "replayed", "why", "confirm", ())

Judge = Callable[[Drop, Host], Any]
Dropped = Callable[..., Drop]


class Changes:
    """What the probes have seen change, by kind and namespace."""

    def __init__(self) -> None:
        self.at: dict[tuple[Change, int], int] = {}

    def table_changes(self) -> int:
        return 0

    def gone_states(self) -> tuple[GoneState, ...]:
        return ()

    def last_change(self, kind: Change, inode: int) -> int | None:
        return self.at.get((kind, inode), 0)

    def last_departure(self, inode: int, what: Address | int) -> int | None:
        return 0


class Neighbourhood(Host):
    @question("neighbours")
    def neighbours(self, inode: int) -> int:
        return inode

    @question("old neighbours", tells_age=True)
    def old_neighbours(self, inode: int) -> int:
        return inode

    @plain_question
    def of_one_drop(self, inode: int) -> int:
        return inode


class Judged:
    """Verdicts of a judge that counts what it is asked."""

    def __init__(self, asks: Judge, cause: Cause = CAUSE) -> None:
        self.times: list[int] = []
        self.host = Neighbourhood()
        self.host.seen = self.changes = Changes()
        self._asks, self._cause = asks, cause
        self.verdicts = Verdicts(self._judge, self.host)

    def _judge(self, drop: Drop, host: Host) -> tuple[Cause, Verdict]:
        self.times.append(drop.event.monotonic_ns)
        self._asks(drop, host)
        return self._cause, Verdict("certain", title=f"judged {len(self.times)} times")

    def after(self, *drops: Drop) -> list[int]:
        """The times of the drops that were judged, not remembered."""
        for drop in drops:
            cause, verdict = self.verdicts.of(drop)
            assert cause is self._cause
            assert verdict.confidence == "certain"
        return self.times


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    now = Clock(1000)
    monkeypatch.setattr(time, "monotonic_ns", now)
    return now


@pytest.fixture
def dropped(make_drop: Dropped) -> Dropped:
    """A drop at this time, in a namespace."""

    def make(time_ns: int, **changes: Any) -> Drop:
        drop = make_drop()
        event = replace(drop.event, monotonic_ns=time_ns, netns=5, **changes)
        return replace(drop, event=event)

    return make


def neighbours(drop: Drop, host: Any) -> None:
    host.neighbours(drop.event.netns, drop.event.monotonic_ns)


def nothing(drop: Drop, host: Any) -> None:
    pass


def test_those_that_died_before_the_host_was_read_are_judged_once(clock: Clock, dropped: Dropped) -> None:
    judged = Judged(neighbours)
    assert judged.after(dropped(900), dropped(950), dropped(1000)) == [900]
    assert judged.after(dropped(1001)) == [900, 1001], "nothing that was read before a drop is told of it"


def test_one_that_died_before_the_first_is_judged(clock: Clock, dropped: Dropped) -> None:
    judged = Judged(neighbours)
    assert judged.after(dropped(900), dropped(899)) == [900, 899]


def test_what_asks_the_host_nothing_is_so_for_ever(clock: Clock, dropped: Dropped) -> None:
    assert Judged(nothing).after(dropped(900), dropped(5000)) == [900]


def test_a_verdict_is_given_again_as_it_was(clock: Clock, dropped: Dropped) -> None:
    judged = Judged(nothing)
    assert judged.verdicts.of(dropped(900)) is judged.verdicts.of(dropped(901))


@pytest.mark.parametrize(
    "other",
    [
        {"mark": 7},
        {"length": 1},
        {"location": 0xFFFF},
        {"stack": (1, 2)},
        {"notes": frozenset({"answered"})},
        {"pid": 77},
        {"skb_iif": 9},
        {"ifname": "another"},
        {"netns": 6},
    ],
)
def test_another_sort_is_judged(clock: Clock, dropped: Dropped, other: dict[str, Any]) -> None:
    one = dropped(900)
    another = replace(one, event=replace(one.event, monotonic_ns=901, **other))
    assert Judged(nothing).after(one, another) == [900, 901]


def test_another_packet_is_judged(clock: Clock, dropped: Dropped) -> None:
    one, two = dropped(900), dropped(901)
    other = replace(two, packet=replace(two.packet, ttl=3))
    assert Judged(nothing).after(one, other, replace(two, process=None, task=None, reason="OTHER")) == [
        *(900, 901, 901)
    ]


def test_what_looks_at_the_bytes_is_of_one_packet(clock: Clock, dropped: Dropped) -> None:
    def looks(drop: Drop, host: Host) -> None:
        payload.udp_payload(drop)

    assert Judged(looks).after(dropped(900), dropped(901)) == [900, 901]


def test_what_tells_an_age_is_of_one_packet(clock: Clock, dropped: Dropped) -> None:
    def old(drop: Drop, host: Any) -> None:
        host.old_neighbours(drop.event.netns, drop.event.monotonic_ns)

    assert Judged(old).after(dropped(900), dropped(901)) == [900, 901]


def test_a_question_that_does_not_say_for_how_long_is_for_one_packet(clock: Clock, dropped: Dropped) -> None:
    def of_one(drop: Drop, host: Any) -> None:
        host.of_one_drop(drop.event.netns)

    assert Judged(of_one).after(dropped(900), dropped(901)) == [900, 901]


def test_ipsec_is_of_one_packet(clock: Clock, dropped: Dropped) -> None:
    assert Judged(nothing, IPSEC).after(dropped(900), dropped(901)) == [900, 901]
    assert Judged(nothing).after(dropped(900, xfrm=XfrmNote()), dropped(901, xfrm=XfrmNote())) == [900, 901]


def test_what_changed_after_the_drop_is_judged_for_each(clock: Clock, dropped: Dropped) -> None:
    """The first is doubtful, one that came after the change is not."""

    def routes(drop: Drop, host: Host) -> None:
        host.last_change(drop.event.netns, "routes", None)

    judged = Judged(routes)
    judged.changes.at["routes", 5] = 950
    assert judged.after(dropped(900), dropped(960), dropped(970)) == [900, 960]


def test_what_may_change_from_now_on_is_asked_again(clock: Clock, dropped: Dropped) -> None:
    def routes(drop: Drop, host: Host) -> None:
        host.last_change(drop.event.netns, "routes", None)

    assert Judged(routes).after(dropped(900), dropped(1000), dropped(1001)) == [900, 1001]


def test_another_namespace_with_that_number_is_judged(clock: Clock, dropped: Dropped) -> None:
    judged = Judged(nothing)
    judged.after(dropped(900))
    judged.changes.at["namespace", 5] = 950
    assert judged.after(dropped(960)) == [900, 960]


def test_only_so_many_are_remembered(clock: Clock, dropped: Dropped) -> None:
    judged = Judged(nothing)
    judged.after(*(dropped(900, mark=mark) for mark in range(1025)))
    assert len(judged.after(dropped(901, mark=1024))) == 1025
    assert len(judged.after(dropped(901, mark=0))) == 1026
