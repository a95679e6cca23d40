"""One decorated method is a question: with memory, a sentence where it fails, a recording and a replay."""

import errno
import time
from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.errors import WhydropError
from dropwatch.host import question as question_module
from dropwatch.host.question import Asked, plain_question, question, questions_of
from dropwatch.host.share import Share
from tests.unit.host.clock import Clock


class Neighbourhood(Asked):
    """What a new question costs."""

    def __init__(self, read: Callable[[int, str], int]) -> None:
        super().__init__()
        self._read = read

    @question("neighbours")
    def neighbours(self, inode: int, interface: str) -> int:
        """How many there are."""
        return self._read(inode, interface)

    @plain_question
    def several(self, inode: int, not_before_ns: int) -> tuple[str, ...]:
        return (f"{inode} {not_before_ns}",)

    @question("what nobody else asks")
    def _own(self, inode: int) -> int:
        return inode


class Reader:
    """Counts what it is asked, and raises what it is told."""

    def __init__(self, *errors: OSError) -> None:
        self.asked: list[tuple[int, str]] = []
        self.errors = list(errors)

    def __call__(self, inode: int, interface: str) -> int:
        self.asked.append((inode, interface))
        if self.errors:
            raise self.errors.pop(0)
        return len(self.asked)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    now = Clock(1000)
    monkeypatch.setattr(time, "monotonic_ns", now)
    return now


def test_a_burst_costs_one_reading(clock: Clock) -> None:
    read = Reader()
    host = Neighbourhood(read)
    assert [host.neighbours(5, "va", event) for event in (900, 901, 950, 1000)] == [1, 1, 1, 1]
    assert read.asked == [(5, "va")]


def test_an_answer_older_than_the_drop_is_not_used(clock: Clock) -> None:
    host = Neighbourhood(Reader())
    assert host.neighbours(5, "va", 900) == 1
    clock.now = 2000
    assert host.neighbours(5, "va", 1001) == 2


def test_other_arguments_have_their_own_answer(clock: Clock) -> None:
    read = Reader()
    host = Neighbourhood(read)
    assert [host.neighbours(5, "va", 900), host.neighbours(6, "va", 900), host.neighbours(5, "vb", 900)] == [
        1,
        2,
        3,
    ]
    assert host.neighbours(6, "va", 950) == 2
    clock.now = 2000
    assert host.neighbours(5, "va", 1500) == 4
    assert host.neighbours(6, "va", 950) == 2


def test_a_reading_is_dated_before_it_begins(clock: Clock) -> None:
    def slow(inode: int, interface: str) -> int:
        clock.now += 500
        return clock.now

    host = Neighbourhood(slow)
    assert host.neighbours(5, "va", 900) == 1500
    assert host.neighbours(5, "va", 1001) == 2000


def test_a_namespace_that_is_gone_is_no_blind_spot_and_not_looked_for_again(clock: Clock) -> None:
    read = Reader(FileNotFoundError(errno.ENOENT, "gone"))
    host = Neighbourhood(read)
    assert [host.neighbours(5, "va", 900), host.neighbours(5, "va", 901)] == [None, None]
    assert read.asked == [(5, "va")]
    assert host.blind_spots == ()


def test_what_may_not_be_read_is_told_once(clock: Clock) -> None:
    read = Reader(*[PermissionError(errno.EPERM, "Operation not permitted")] * 2)
    host = Neighbourhood(read)
    assert host.neighbours(5, "va", 900) is None
    clock.now = 3000
    assert host.neighbours(5, "va", 2000) is None
    assert len(read.asked) == 2
    assert host.blind_spots == ("neighbours of namespace 5: Operation not permitted",)


def test_what_cannot_be_understood_costs_a_sentence_and_not_the_run(clock: Clock) -> None:
    host = Neighbourhood(lambda inode, interface: int(interface))
    assert host.neighbours(5, "va", 900) is None
    (sentence,) = host.blind_spots
    assert sentence.startswith(
        "neighbours of namespace 5: what was read cannot be understood (invalid literal"
    )


def test_an_error_without_words_of_the_system_is_told_in_its_own(clock: Clock) -> None:
    host = Neighbourhood(Reader(OSError("it did not answer")))
    host.neighbours(5, "va", 900)
    assert host.blind_spots == ("neighbours of namespace 5: it did not answer",)


def test_the_unknown_namespace_is_not_asked_for(clock: Clock) -> None:
    read = Reader()
    assert Neighbourhood(read).neighbours(0, "va", 900) is None
    assert read.asked == []


def test_no_end_of_namespaces_fills_the_memory(clock: Clock) -> None:
    read = Reader()
    host = Neighbourhood(read)
    for inode in range(1, 1000):
        host.neighbours(inode, "va", 900)
    read.asked.clear()
    for inode in range(1, 1000):
        host.neighbours(inode, "va", 900)
    assert len(read.asked) >= 1000 - 64


def test_a_plain_question_is_its_method(clock: Clock) -> None:
    host = Neighbourhood(Reader())
    assert [host.several(5, 900), host.several(5, 901)] == [("5 900",), ("5 901",)]


def test_the_questions_of_a_host() -> None:
    found = questions_of(Neighbourhood)
    assert {name: each.answer_type for name, each in found.items()} == {
        "neighbours": int | None,
        "several": tuple[str, ...],
    }
    assert Neighbourhood.neighbours.__doc__ == "How many there are."


def test_a_host_of_another_kind_answers_all_questions_in_one_place() -> None:
    class Echo(Neighbourhood):
        def ask(self, question: question_module.Question, arguments: tuple[Any, ...]) -> Any:
            return (question.name, *arguments)

    host: Any = Echo(Reader())
    assert host.neighbours(5, "va", 900) == ("neighbours", 5, "va", 900)
    assert host.several(5, 900) == ("several", 5, 900)


@pytest.mark.parametrize(
    "error", [TypeError, UnicodeError, RecursionError, MemoryError, AttributeError, ZeroDivisionError]
)
def test_whatever_fails_costs_a_sentence_with_its_kind(error: type[Exception]) -> None:
    def fail(inode: int, interface: str) -> int:
        raise error("odd\x1b")

    host = Neighbourhood(fail)
    assert host.neighbours(5, "va", 900) is None
    (sentence,) = host.blind_spots
    assert sentence.startswith("neighbours of namespace 5: ")
    assert "odd\\x1b" in sentence
    assert error.__name__ in sentence or "cannot be understood" in sentence


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, WhydropError("no way back", "start it again")]
)
def test_what_ends_a_run_ends_it(error: Any) -> None:
    def fail(inode: int, interface: str) -> int:
        raise error

    with pytest.raises(error if isinstance(error, type) else WhydropError):
        Neighbourhood(fail).neighbours(5, "va", 900)


def test_a_plain_question_that_fails_has_no_answer() -> None:
    class Failing(Asked):
        @plain_question
        def several(self, inode: int) -> tuple[str, ...]:
            raise TypeError("odd")

        @plain_question
        def the_only_one(self, inode: int) -> str | None:
            raise TypeError("odd")

    host = Failing()
    assert (host.several(5), host.the_only_one(5)) == ((), None)
    assert host.blind_spots == ("several: TypeError: odd", "the only one: TypeError: odd")


def test_there_are_not_more_sentences_than_one_reads() -> None:
    host = Neighbourhood(Reader(*[PermissionError(errno.EPERM, "Operation not permitted")] * 1000))
    for inode in range(1, 1001):
        host.neighbours(inode, "va", 900)
    assert len(host.blind_spots) == 65
    assert host.blind_spots[-1] == "936 times something else"


def test_the_answer_that_was_not_asked_for_the_longest_is_forgotten(clock: Clock) -> None:
    read = Reader()
    host = Neighbourhood(read)
    for inode in range(1, 1000):
        host.neighbours(inode, "va", 900)
        host.neighbours(1, "va", 900)
    assert read.asked.count((1, "va")) == 1
    host.neighbours(2, "va", 900)
    assert read.asked.count((2, "va")) == 2


def test_the_namespaces_of_one_user_have_a_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def slow(inode: int, interface: str) -> int:
        now[0] += 1
        return inode

    monkeypatch.setattr(question_module, "owner", lambda inode: 1000 if inode < 1000 else None)
    monkeypatch.setattr(question_module, "Share", lambda share, saved: Share(share, saved, lambda: now[0]))
    host = Neighbourhood(slow)
    theirs = [host.neighbours(inode, "va", 900) for inode in range(1, 200)]
    assert [inode for inode in theirs if inode is not None] == [1, 2, 3]
    assert (
        host.blind_spots[0]
        == "neighbours of namespace 4: reading the namespaces of user 1000 takes too much time"
    )
    assert [host.neighbours(inode, "va", 900) for inode in range(1000, 1100)] == list(range(1000, 1100))
    assert host.neighbours(300, "va", 900) == 300  # it was saved meanwhile


def test_judging_that_takes_long_is_time_of_the_namespaces_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """He has so much configured that it takes long; nobody else waits for it a second time."""
    monkeypatch.setattr(question_module, "owner", {7: 1000, 8: 1000, 9: None}.get)
    host, clock = Neighbourhood(lambda inode, interface: inode), Clock(0)
    share = Share(0.1, 1.0, clock)
    monkeypatch.setattr(host, "_share", lambda user: share)
    for inode in (0, 7, 9):
        with host.judging(inode):
            clock.now += 3 if inode == 9 else 0
    assert host.neighbours(7, "eth0", 0) == 7
    with host.judging(7):
        clock.now += 3
    assert [host.neighbours(inode, "eth0", 1 << 62) for inode in (8, 9)] == [None, 9]
    assert any("user 1000 takes too much time" in spot for spot in host.blind_spots)
