"""A question that is one decorated method is asked live, noted, written down, read and answered again."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dropwatch.host.host import Host
from dropwatch.host.question import question
from dropwatch.model.drop import Drop, MatchResult
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.questions import answer_types, noted_host, replayed_host
from dropwatch.recording.recorder import Recorder
from dropwatch.recording.recording import Recording
from dropwatch.recording.start import End, Start


@pytest.fixture
def with_neighbours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Host has one more question."""

    @question("neighbours")
    def neighbours(self: Host, inode: int, interface: str) -> tuple[str, ...]:
        if interface == "secret":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return (f"{interface} of {inode}",)

    monkeypatch.setattr(Host, "neighbours", neighbours, raising=False)
    answer_types.cache_clear()
    yield
    answer_types.cache_clear()


@pytest.mark.usefixtures("with_neighbours")
def test_a_new_question_is_one_function(tmp_path: Path, make_drop: Callable[..., Drop]) -> None:
    path, recorder, live = tmp_path / "x.whydrop", Recorder(Editor(payload=True)), Host()

    def write(data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)

    def ask(host: Any) -> list[Any]:
        return [host.neighbours(7, name, 15) for name in ("va", "va", "secret")]

    recorder.begin(Start("0.1", "6.1", "x86_64", 1795205701.0, 3600, 4026531840), write)
    recorder.next_event()
    said = ask(noted_host(live, recorder.asked))
    recorder.keep(make_drop(), MatchResult("direct"))
    recorder.end(End({}, {}, 0, (), 9.5, 1, 1, {}))
    assert said == [("va of 7",), ("va of 7",), None]
    assert live.blind_spots == ("neighbours of namespace 7: Operation not permitted",)

    recording = Recording(path)
    next(recording.items())
    assert ask(replayed_host(recording.answer)) == said
    assert recording.unanswered == set()
    assert replayed_host(recording.answer).blind_spots == ()
