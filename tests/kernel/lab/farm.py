"""Runs the scenarios in guests, two at a time, and hands out what became of each."""

import io
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab.collected import REPO
from lab.fetch import Fetched, fetch
from lab.guest import Guest, GuestDied
from lab.matrix import Kernel
from lab.report import PREFIX
from lab.userland import root_of

AT_ONCE = 2  # single-CPU guests: two side by side are faster than one after the other
LIMIT = 83 * 60  # seconds for all guests: what is slower than that does not end in the time that CI has
PROGRESS = 30  # seconds between two lines about a guest
TAIL = 4000  # characters of a guest's output that go into a report
RECORDINGS = "recordings"  # in the directory that host and guest share
# Importing hypothesis takes as long as all of pytest.
WORDS = (
    "-m pytest -p lab.report -p no:cacheprovider -p no:hypothesispytest -q --confcutdir=tests/kernel/scenarios"
    " --reruns 1"  # CONTRIBUTING.md, "Unsteady scenarios"
)
PYTEST = (".venv/bin/python", *WORDS.split())
_SCENARIOS = "/run/lab/scenarios"
# A suite's own pytest may be older than 8.2, and then it reads no names from a file.
_BY_XARGS = ("xargs", "--exit", "--max-chars=1000000", "--delimiter=\\n", f"--arg-file={_SCENARIOS}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one scenario on one kernel. `outcome` is `passed`, `failed` or `skipped`; see lab/report.py."""

    outcome: str
    seconds: float
    text: str


class Farm:
    """`wanted` says which scenarios run on which kernel, `say` gets a line of progress now and then."""

    def __init__(self, wanted: Mapping[Kernel, Sequence[str]], say: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._say = say
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self._consoles: dict[str, str] = {}
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="lab")

    def start(self) -> None:
        self._deadline = time.monotonic() + LIMIT
        for kernel, scenarios in self._wanted.items():
            self._pool.submit(self._run, kernel, scenarios)

    def close(self) -> None:
        """End all guests now, finished or not."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)

    def outcome(self, label: str, scenario: str) -> Outcome:
        """What became of the scenario; waits until that is known."""
        with self._changed:
            self._changed.wait_for(lambda: (label, scenario) in self._outcomes)
            return self._outcomes[label, scenario]

    def unsteady(self) -> list[tuple[str, str, str]]:
        """Label, scenario and how its first attempt failed, of all that have passed at the second one so far."""
        with self._changed:
            return [
                (label, scenario, outcome.text)
                for (label, scenario), outcome in self._outcomes.items()
                if outcome.outcome == "passed" and outcome.text
            ]

    def console(self, label: str) -> str:
        """All that the guest's kernel said; waits until the guest has ended. Raises KeyError if it was never wanted."""
        if label not in {kernel.label for kernel in self._wanted}:
            raise KeyError(label)
        with self._changed:
            self._changed.wait_for(lambda: label in self._consoles)
            return self._consoles[label]

    def _run(self, kernel: Kernel, scenarios: Sequence[str]) -> None:
        began = time.monotonic()
        console, trouble = "", "pytest in the guest ended without running it"
        output = io.BytesIO()
        try:
            fetched = fetch(kernel)
            self._say(f"{kernel.label}: booting {fetched.release} for {len(scenarios)} scenarios")
            with _guest(fetched, scenarios, output, root_of(kernel)) as guest:
                try:
                    self._follow(guest, kernel, len(scenarios))
                finally:
                    console = guest.console()
                    _take_recordings(guest.shared / RECORDINGS)
        except Exception as error:  # whatever it was: the items that wait for this guest have to hear of it
            trouble = f"{type(error).__name__}: {error}"
        tail = output.getvalue().decode(errors="replace")[-TAIL:]
        with self._changed:
            missing = [scenario for scenario in scenarios if (kernel.label, scenario) not in self._outcomes]
            for number, scenario in enumerate(missing):
                text = f"{trouble}\n--- end of the output of pytest in the guest ---\n{tail}"
                if number > 0:
                    text = f"{trouble.splitlines()[0]}: see {missing[0]}"
                self._outcomes[kernel.label, scenario] = Outcome("failed", 0.0, text)
            self._consoles[kernel.label] = console
            self._changed.notify_all()
        self._say(f"{kernel.label}: {self._count(kernel.label)} in {time.monotonic() - began:.0f} s")

    def _follow(self, guest: Guest, kernel: Kernel, total: int) -> None:
        """Take over the results as they come. Raises GuestDied when the guest crashes or takes too long."""
        results = guest.shared / "results.jsonl"
        results.touch()
        taken = 0
        told = time.monotonic()
        ended = False
        while not ended:
            ended = guest.ended(0.5)
            complete, newline, _ = results.read_bytes()[taken:].rpartition(b"\n")
            taken += len(complete + newline)
            self._take(kernel.label, complete)
            if self._closing.is_set():
                raise GuestDied("the test run was given up")
            if time.monotonic() > self._deadline:
                raise GuestDied(
                    f"still running {LIMIT} s after the first guest began\n{guest.console_tail()}"
                )
            if time.monotonic() > told + PROGRESS:
                told = time.monotonic()
                self._say(f"{kernel.label}: {self._count(kernel.label)} of {total}")
        guest.status()

    def _take(self, label: str, lines: bytes) -> None:
        with self._changed:
            for result in map(json.loads, lines.splitlines()):
                scenario = result.pop("scenario")
                self._outcomes[label, scenario] = Outcome(**result)
            self._changed.notify_all()

    def _count(self, label: str) -> str:
        with self._changed:
            outcomes = [outcome.outcome for (on, _), outcome in self._outcomes.items() if on == label]
        words = (
            f"{outcomes.count(word)} {word}" for word in ("passed", "failed", "skipped") if word in outcomes
        )
        return ", ".join(words) or "none finished"


def _wanted_recordings() -> str | None:
    """The directory that `make recordings` wants them in."""
    return os.environ.get("WHYDROP_RECORDINGS")


def _take_recordings(made: Path) -> None:
    wanted = _wanted_recordings()
    if wanted is not None and made.is_dir():
        shutil.copytree(made, REPO / wanted, dirs_exist_ok=True)


def _guest(fetched: Fetched, scenarios: Sequence[str], output: io.BytesIO, root: Path | None) -> Guest:
    recording = {} if _wanted_recordings() is None else {"WHYDROP_RECORDINGS": f"/run/lab/{RECORDINGS}"}
    guest = Guest(
        fetched,
        [*PYTEST, f"@{_SCENARIOS}"] if root is None else [*_BY_XARGS, *PYTEST],
        cwd=REPO,
        env={
            "WHYDROP_GUEST": fetched.label,
            "LAB_RESULTS": "/run/lab/results.jsonl",
            "PYTHONPATH": "tests/kernel",
            **recording,
        },
        stdout=output,
        stderr=output,
        root=root,
    )
    if recording:
        (guest.shared / RECORDINGS).mkdir()
    (guest.shared / "scenarios").write_text("".join(f"{PREFIX}{scenario}\n" for scenario in scenarios))
    return guest
