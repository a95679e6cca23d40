"""Drops in a queue, or at a hook of traffic control, and what the host answers of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Event, Frame, Interface, Verdict, Where

Place = Callable[..., Drop]


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Place:
    """A drop with this reason in this function."""

    def build(reason: str | None, function: str = "__dev_queue_xmit", length: int = 1042) -> Drop:
        frame = Frame(function, 1, None, 0)
        drop = make_drop(event=make_event(length=length), reason=reason)
        return replace(drop, where=Where(frame, "device", "out"), stack=(frame,), iface=Interface(2, "va"))

    return build


def judged(drop: Drop, host: Host) -> tuple[str | None, Verdict]:
    """The cause's id, None where nothing is known."""
    cause, verdict = diagnose(drop, host)
    return (cause.id if cause is not None else None), verdict
