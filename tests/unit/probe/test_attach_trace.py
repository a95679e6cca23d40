"""What a trace says of functions in which the kernel takes no probe."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.probe import attach_trace
from dropwatch.probe.attach_trace import Follow, TraceProbes
from dropwatch.probe.family import Hook
from dropwatch.probe.skb_functions import Chosen


class RefusingProbes:
    """Of a kernel that takes no probe in some functions."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused

    def load(self, call: object) -> None:
        return None

    def attach_tracepoint(self, tracepoint: str, program: str) -> None:
        return None

    def is_there(self, hook: Hook) -> bool:
        return True

    def attach(self, hook: Hook) -> str | None:
        return "Invalid argument" if hook.function in self.refused else None


def notes_of(refused: str, asked: Callable[[str], object] | None = None) -> list[str]:
    notes: list[str] = []
    functions = (Chosen("ip6_forward_finish", 3, False, None), Chosen("ip6_output", 3, False, None))
    more: dict[str, Any] = {} if asked is None else {"asked": asked}
    probes: Any = RefusingProbes(refused)
    assert TraceProbes(probes, Follow(lambda: functions, **more), notes.append).start() is None
    return notes


@pytest.fixture(autouse=True)
def kprobes(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(attach_trace, "KPROBE_PMU", tmp_path)


def test_a_landmark_between_others_is_missed_by_nobody() -> None:
    assert notes_of("ip6_forward_finish") == []


def test_who_asks_for_it_is_told() -> None:
    (note,) = notes_of("ip6_forward_finish", re.compile("^ip6_forward").search)
    assert note == "steps in ip6_forward_finish: not attached: Invalid argument"


@pytest.mark.parametrize("function", ["skb_clone", "__ip_local_out", "ip6_copy_metadata"])
def test_where_a_packet_would_be_lost_sight_of_it_is_told(function: str) -> None:
    assert notes_of(function) == [f"steps in {function}: not attached: Invalid argument"]
