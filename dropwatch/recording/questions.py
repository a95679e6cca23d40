"""What the stages ask outside of the event: the host's questions, found by themselves, and a few names."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from dropwatch.host.host import Host
from dropwatch.host.question import Question, questions_of
from dropwatch.recording.encode import encode

REASON, NETNS, INTERFACE = "reason", "netns", "interface"
GONE_STATES = Host.gone_states.name
ONLY_NAMES = frozenset({Host.container.name, Host.container_of_namespace.name})  # which nothing is judged by

_Function = TypeVar("_Function", bound=Callable[..., Any])
Asked = Callable[[str, tuple[Any, ...], Any], None]
Answering = Callable[[str, tuple[Any, ...]], Any]


@cache
def answer_types() -> dict[str, Any]:
    """The type of the answer to each question, by name. A new question to the host is here without being named."""
    names: dict[str, Any] = {REASON: str | None, NETNS: str | None, INTERFACE: str | None}
    return names | {name: question.answer_type for name, question in questions_of(Host).items()}


def question_key(name: str, arguments: Any) -> str:
    """What identifies a question; `arguments` are encoded."""
    return json.dumps([name, arguments], separators=(",", ":"), sort_keys=True)


def noted_function(name: str, function: _Function, asked: Asked) -> _Function:
    """The same function, each answer of which is noted as one to the question `name`."""

    def ask(*arguments: Any) -> Any:
        answer = function(*arguments)
        asked(name, arguments, answer)
        return answer

    return cast(_Function, ask)


def noted_host(host: Host, asked: Asked) -> Host:
    """The same host, each answer of which is noted."""
    return _NotedHost(host, asked)


def replayed_host(answering: Answering) -> Host:
    """A host that answers from a recording."""
    return _ReplayedHost(answering)


class _NotedHost(Host):
    def __init__(self, host: Host, asked: Asked) -> None:
        super().__init__()
        self._host, self._asked = host, asked

    def ask(self, question: Question, arguments: tuple[Any, ...]) -> Any:
        answer = self._host.ask(question, arguments)
        self._asked(question.name, arguments, answer)
        return answer


class _ReplayedHost(Host):
    def __init__(self, answering: Answering) -> None:
        super().__init__()
        self._answering = answering

    def ask(self, question: Question, arguments: tuple[Any, ...]) -> Any:
        return self._answering(question.name, arguments)


def encoded(arguments: tuple[Any, ...]) -> list[Any]:
    """Arguments as they stand in a file."""
    return cast(list[Any], encode(list(arguments)))
