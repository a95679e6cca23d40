"""What the stages ask outside of the event: the host's answering methods, found by themselves, and a few names."""

import inspect
import json
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

from dropwatch.host.host import Host
from dropwatch.model.ipsec import GoneState
from dropwatch.recording.codec import encode

REASON, NETNS, INTERFACE = "reason", "netns", "interface"
GONE_STATES = "gone_states"  # not a method: whoever has the probes puts it there
_NO_QUESTIONS = frozenset({"prepare"})

_Function = TypeVar("_Function", bound=Callable[..., Any])
Asked = Callable[[str, tuple[Any, ...], Any], None]
Answering = Callable[[str, tuple[Any, ...]], Any]


@cache
def answer_types() -> dict[str, Any]:
    """The type of the answer to each question, by name. A new public method of Host is here without being named."""
    found: dict[str, Any] = {REASON: str | None, NETNS: str | None, INTERFACE: str | None}
    found[GONE_STATES] = tuple[GoneState, ...]
    for name, member in vars(Host).items():
        if inspect.isfunction(member) and not name.startswith("_") and name not in _NO_QUESTIONS:
            found[name] = get_type_hints(member)["return"]
    return found


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
    return cast(Host, _NotedHost(host, asked))


def replayed_host(answering: Answering) -> Host:
    """A host that answers from a recording."""
    return cast(Host, _ReplayedHost(answering))


class _NotedHost:
    def __init__(self, host: Host, asked: Asked) -> None:
        self._host = host
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._host, name)
        if name not in answer_types():
            return found

        def ask(*given: Any, **named: Any) -> Any:
            answer = found(*given, **named)
            if name == GONE_STATES:
                answer = tuple(answer)
            self._asked(name, _in_order(name, given, named), answer)
            return answer

        return ask


class _ReplayedHost:
    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self.blind_spots: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name not in answer_types():
            raise AttributeError(name)
        return lambda *given, **named: self._answering(name, _in_order(name, given, named))


def _in_order(name: str, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments as if all were given without their names."""
    if not named:
        return given
    bound = inspect.signature(getattr(Host, name)).bind(None, *given, **named)
    return bound.args[1:]


def encoded(arguments: tuple[Any, ...]) -> list[Any]:
    """Arguments as they stand in a file."""
    return cast(list[Any], encode(list(arguments)))
