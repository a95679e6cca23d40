"""A host for tests: it answers by the names of questions what it was told, and keeps what it was asked."""

from collections import Counter
from typing import Any, get_origin

from dropwatch.host.host import Host
from dropwatch.host.question import Question, questions_of


class ToldHost(Host):
    """An answer is a value, or a function that gets the arguments of the question: `ToldHost(mtu=1400)`.

    To what it was not told it answers like a host that cannot look: None, or nothing where there are several. Nothing
    has changed since the drop.
    """

    def __init__(self, **answers: Any) -> None:
        super().__init__()
        assert answers.keys() <= questions_of(Host).keys(), "Host has no such question"
        self._answers = {"last_change": 0} | answers
        self.asked: Counter[str] = Counter()

    def ask(self, question: Question, arguments: tuple[Any, ...]) -> Any:
        self.asked[question.name] += 1
        nothing = () if get_origin(question.answer_type) is tuple else None
        answer = self._answers.get(question.name, nothing)
        return answer(*arguments) if callable(answer) else answer
