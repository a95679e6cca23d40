"""The kernel's own account of BPF programs: how often each ran and how long, with kernel.bpf_stats_enabled."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SWITCH = Path("/proc/sys/kernel/bpf_stats_enabled")


@dataclass(frozen=True)
class Runs:
    """What one program did while something else happened. `hook` is what calls it, as bpftool says it."""

    program: str
    hook: str
    count: int
    nanoseconds: int
    packets: int  # that were sent meanwhile

    @property
    def text(self) -> str:
        return f"{self.count / self.packets:.2g} x {self.nanoseconds / self.count:.0f}"


@dataclass(frozen=True)
class Account:
    """At one moment, by program id."""

    programs: dict[int, dict[str, Any]]

    def since(self, before: "Account", packets: int) -> list[Runs]:
        """Of every program that ran in between, the most expensive first."""
        hooks = _hooks()
        found = []
        for number, now in self.programs.items():
            then = before.programs.get(number, {})
            count = now.get("run_cnt", 0) - then.get("run_cnt", 0)
            spent = now.get("run_time_ns", 0) - then.get("run_time_ns", 0)
            if count:
                found.append(
                    Runs(now.get("name", "?"), hooks.get(number, now["type"]), count, spent, packets)
                )
        return sorted(found, key=lambda runs: runs.nanoseconds, reverse=True)


def account() -> Account:
    return Account({program["id"]: program for program in _bpftool("prog")})


@contextmanager
def counted() -> Iterator[None]:
    """The kernel counts inside the block. That costs time itself: nothing else is measured there."""
    before = SWITCH.read_text()
    SWITCH.write_text("1")
    try:
        yield
    finally:
        SWITCH.write_text(before)


def _hooks() -> dict[int, str]:
    """By program id; of several functions one is named."""
    found: dict[int, list[str]] = {}
    for event in _bpftool("perf"):
        where = event.get("func") or event.get("tracepoint") or event.get("name") or "?"
        found.setdefault(event["prog_id"], []).append(f"{event['fd_type']} {where}")
    return {number: hooks[0] + (", ..." if hooks[1:] else "") for number, hooks in found.items()}


def _bpftool(what: str) -> list[dict[str, Any]]:
    done = subprocess.run(["bpftool", "--json", what, "show"], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))
