"""Drops that a BPF program refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.host import Host
from dropwatch.model.drop import Direction, Drop, Event, Frame, Packet, Where
from tests.unit.causes.verdicts import Judged

Died = Callable[..., Drop]


@pytest.fixture
def died(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> Died:
    """At the first of these functions, called by the others."""

    def build(
        reason: str | None,
        *stack: str,
        direction: Direction = "in",
        notes: tuple[str, ...] = (),
        **event: Any,
    ) -> Drop:
        frames = tuple(Frame(name, 1, None, 0) for name in stack)
        drop = make_drop(make_packet(), make_event(notes=frozenset(notes), **event), reason=reason)
        return replace(drop, where=Where(frames[0], "bpf", direction), stack=frames)

    return build


@pytest.fixture
def judged() -> Judged:
    def judge(drop: Drop, host: Host) -> Any:
        cause, verdict = diagnose(drop, host)
        return (cause.id if cause is not None else None), verdict

    return judge
