"""The thread between the recorder and whoever is told: bounded, fair, and it ends in time."""

import threading
import time
from collections.abc import Callable

import pytest

from dropwatch.model.drop import Finding
from dropwatch.watch.events import Notice
from dropwatch.watch.sender import Delivered, Later, Sender, Waiting
from dropwatch.watch.sorts import ONE_FLOW
from dropwatch.watch.teller import Teller
from tests.unit.watch.clocks import NOON, Clocks

Find = Callable[..., Finding]
PATIENCE_SECONDS = 20.0


class Played:
    """Answers as it is told to; what it has taken is `got`."""

    name, where, most, patience = "played", "somewhere", 4, 0.0

    def __init__(self, *answers: Delivered | Later, most: int = 4) -> None:
        self.answers, self.most = list(answers), most
        self.got: list[Notice] = []
        self.times: list[float] = []
        self.is_open = threading.Event()
        self.is_open.set()

    def deliver(self, notices: list[Notice], seconds: float) -> Delivered:
        self.is_open.wait(PATIENCE_SECONDS)
        self.times.append(time.monotonic())
        answer = self.answers.pop(0) if self.answers else Delivered()
        if isinstance(answer, Later):
            raise answer
        self.got += notices
        return answer


@pytest.fixture
def notice(find: Find) -> Callable[..., Notice]:
    made = iter(range(1_000_000))

    def build(cause: str = "a") -> Notice:
        return Notice(find(cause_id=cause), 1, ONE_FLOW, NOON + next(made))

    return build


def ended(sender: Sender, seconds: float = 5.0) -> None:
    sender.end(time.monotonic() + seconds)
    assert not sender.is_at_work(seconds + PATIENCE_SECONDS)


def test_who_waits_is_bounded_and_the_largest_cause_makes_room(notice: Callable[..., Notice]) -> None:
    waiting = Waiting(10)
    assert sum(waiting.put(notice(cause)) for cause in ("b", *"a" * 100, "c", "d")) == 93
    assert len(waiting) == 10
    found = waiting.take(5)
    assert [one.finding.cause_id for one in found] == ["b", "a", "a", "c", "d"]
    assert [one.finding.cause_id for one in waiting.take(99)] == ["a"] * 5
    assert len(waiting) == 0
    assert waiting.take(5) == []


def test_the_recorder_never_waits_and_what_is_too_much_is_counted(notice: Callable[..., Notice]) -> None:
    way = Played()
    way.is_open.clear()
    sender = Sender(way, most=100)
    sender.start()
    began = time.monotonic()
    for number in range(1000):
        sender.put(notice("storm" if number % 100 else f"single-{number}"))
    assert time.monotonic() - began < PATIENCE_SECONDS / 2
    way.is_open.set()
    ended(sender)
    assert len(way.got) + sender.undelivered() == 1000
    assert sender.left() == 0
    assert {one.finding.cause_id for one in way.got} == {
        "storm",
        *(f"single-{n}" for n in range(0, 1000, 100)),
    }


def test_it_tries_again_and_pauses_longer_each_time(notice: Callable[..., Notice]) -> None:
    way = Played(*[Later("refused")] * 5)
    sender = Sender(way, first_pause=0.05)
    sender.start()
    sender.put(notice())
    until = time.monotonic() + PATIENCE_SECONDS
    while not way.got and time.monotonic() < until:
        time.sleep(0.01)
    pauses = [after - before for before, after in zip(way.times, way.times[1:], strict=False)]
    assert len(pauses) == 5
    for number, pause in enumerate(pauses):
        assert pause >= 0.05 * 2**number * 0.5
    assert sender.trouble == ""
    ended(sender)
    assert sender.undelivered() == 0


def test_what_is_refused_for_good_is_not_tried_again(notice: Callable[..., Notice]) -> None:
    way = Played(Delivered(2, "401 Unauthorized"))
    sender = Sender(way)
    for _ in range(3):
        sender.put(notice())
    sender.start()
    ended(sender)
    assert (len(way.times), sender.undelivered(), sender.trouble) == (1, 2, "401 Unauthorized")


def test_at_the_end_the_pause_is_cut_short(notice: Callable[..., Notice]) -> None:
    way = Played(Later("refused"))
    sender = Sender(way, first_pause=3600.0)
    sender.start()
    sender.put(notice())
    while not sender.trouble:
        time.sleep(0.01)
    ended(sender)
    assert (len(way.got), sender.undelivered()) == (1, 0)


def test_at_the_end_who_asked_for_time_is_not_hurried(notice: Callable[..., Notice]) -> None:
    way = Played(Later("503", after=300.0))
    sender = Sender(way)
    sender.start()
    sender.put(notice())
    while not sender.trouble:
        time.sleep(0.01)
    began = time.monotonic()
    ended(sender)
    assert time.monotonic() - began < 4
    assert (len(way.times), sender.undelivered()) == (1, 1)


def test_a_way_that_hangs_holds_the_end_up_for_some_seconds_only(find: Find, clocks: Clocks) -> None:
    said: list[str] = []
    way = Played()
    way.is_open.clear()
    teller = Teller([way], 1, said.append, lambda: clocks.since_boot)
    teller.start()
    for _ in range(3):
        teller.add(find())
    began = time.monotonic()
    teller.end(lambda: False)
    assert 4 < time.monotonic() - began < 8
    assert said == ["somewhere: 2 events could not be delivered"]
    way.is_open.set()


def test_a_second_signal_ends_it_at_once(find: Find) -> None:
    said: list[str] = []
    way = Played()
    way.is_open.clear()
    teller = Teller([way], 1, said.append)
    teller.start()
    teller.add(find())
    began = time.monotonic()
    teller.end(lambda: True)
    assert time.monotonic() - began < 3
    assert said == ["somewhere: 1 event could not be delivered"]
    way.is_open.set()


def test_all_are_told_the_same_and_trouble_is_said_once(find: Find, clocks: Clocks) -> None:
    said: list[str] = []
    good, bad = Played(), Played(*[Delivered(1, "400 Bad Request")] * 2)
    teller = Teller([good, bad], 1, said.append, lambda: clocks.since_boot)
    teller.start()
    for cause in ("a", "b", "c"):
        teller.add(find(cause_id=cause))
        until = time.monotonic() + PATIENCE_SECONDS
        while (len(good.got), len(bad.got)) != (ord(cause) - 96,) * 2 and time.monotonic() < until:
            time.sleep(0.01)
        while (cause == "c") == bool(teller._senders[1].trouble) and time.monotonic() < until:
            time.sleep(0.01)
        teller.tick()
    teller.add(find(cause_id="a", count=9))
    teller.end(lambda: False)
    assert [one.packets for one in good.got] == [one.packets for one in bad.got] == [1, 1, 1, 9]
    assert teller.undelivered() == {"played": 2}
    assert said == [
        "somewhere: events are not delivered: 400 Bad Request",
        "somewhere: events are delivered again",
        "somewhere: 2 events could not be delivered",
    ]


def test_nothing_is_begun_where_the_run_does_not_begin() -> None:
    Teller([Played()], 1, print).end(lambda: False)
