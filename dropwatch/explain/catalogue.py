"""The words of every cause, as `make docs` wrote them down: they are read without any judge, and so at once."""

import json
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from dropwatch.model.dataclass import dataclass
from dropwatch.resources import resource_dir


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do. `note` says what the capitals of the command stand for, `weakens` what it gives up."""

    text: str
    command: str | None
    note: str | None
    weakens: str | None


@dataclass(frozen=True, slots=True)
class KnownCause:
    """A Cause of dropwatch.causes with what is found out about it; texts are as there.

    `counters` are those that its page looks at, `related` the ids of other causes, the nearest first. `scenario` says
    why no test kills packets of it.
    """

    id: str
    title: str
    why: str
    confirm: str
    fix: tuple[Advice, ...]
    reasons: tuple[str, ...]
    seen_as: tuple[str, ...]
    seen_at: tuple[str, ...]
    counters: tuple[str, ...]
    related: tuple[str, ...]
    scenario: str | None

    @property
    def family(self) -> str:
        """`ipsec` of `ipsec.auth-failed`."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Shown:
    """What recordings of real kernels have of a cause.

    `text` is a finding as whydrop prints it, `kernels` are those that have shown the cause.
    """

    text: str
    kernels: tuple[str, ...]


@cache
def causes() -> Mapping[str, KnownCause]:
    """All, by id, in the order of the families."""
    return MappingProxyType(
        {cause_id: _cause(cause_id, entry) for cause_id, entry in _read("causes").items()}
    )


def shown(cause_id: str) -> Shown | None:
    """None where no recording has it."""
    entry = _read("shown").get(cause_id)
    return None if entry is None else Shown(entry["text"], tuple(entry["kernels"]))


def _cause(cause_id: str, entry: dict[str, Any]) -> KnownCause:
    lists = {name: tuple(value) for name, value in entry.items() if isinstance(value, list)}
    return KnownCause(cause_id, **{**entry, **lists, "fix": tuple(Advice(*step) for step in entry["fix"])})


@cache
def _read(name: str) -> dict[str, Any]:
    text = (resource_dir("symbols") / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]
