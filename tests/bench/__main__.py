"""Measures, in one run, what a packet costs with nothing beside it, with whydrop and with its peers.

    PYTHONPATH=tests:tests/kernel .venv/bin/python -m bench [ROUNDS [UNIT]]

As root. Every round has each watcher once, one after the other, so that what slows the machine for a while slows all.
Nothing is asserted about time: it prints. UNIT names a thousand of the clock's nanoseconds, "1000 instructions" where
the guest's clock counts those (tests/bench/instructions).
"""

import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench.accounting import Runs, account, counted
from bench.page import RESULTS
from bench.watchers import (
    COUNTING,
    LIGHT,
    NOTHING,
    PRINTING,
    REFUSING,
    TELLING,
    NotReady,
    Running,
    Watcher,
    watchers,
)
from bench.workloads import BURST, BURSTS, Workload, compiled_flood, workloads

FLOODS = 5  # of each workload before, and with, each watcher in one round
FEW_BURSTS = 10  # where user space reads drops: its time is not what a flood measures
SHORT = [REFUSING, LIGHT, TELLING, COUNTING, PRINTING]  # the watchers of README.md's table
Samples = dict[tuple[str, str], list[float]]  # workload, watcher: microseconds for each packet


class Bench:
    """All that is measured, in the order in which it is asked for."""

    def __init__(self, program: Path, roads: list[Workload], rounds: int, unit: str) -> None:
        self._program = program
        self._roads = roads
        self._rounds = rounds
        self._unit = unit
        self._beside = watchers()
        self._samples: Samples = {}
        self._own: Samples = {}
        self._starts: dict[str, list[Running]] = {}
        self._runs: dict[str, dict[str, list[Runs]]] = {}  # watcher, workload
        self._programs: dict[str, dict[str, Any]] = {}  # by watcher, as a table

    def measure(self) -> None:
        """Every watcher in every round, and the bare kernel before each of them."""
        for number in range(self._rounds):
            for watcher in list(self._beside):
                begun = time.monotonic()
                try:
                    self._one_round(NOTHING)
                    self._one_round(watcher, is_last=number == self._rounds - 1)
                except NotReady as error:
                    print(f"left out: {watcher.name}: {error}", flush=True)
                    self._beside.remove(watcher)
                seconds = time.monotonic() - begun
                print(f"round {number + 1} of {self._rounds}: {watcher.name}, {seconds:.0f} s", flush=True)

    def _one_round(self, watcher: Watcher, *, is_last: bool = False) -> None:
        with watcher.running() as running:
            self._starts.setdefault(watcher.name, []).append(running)
            for road in self._roads:
                road.flood(self._program, bursts=2)  # what the first packets do is no measure of the rest
                running.settle()
                for _ in range(1 if watcher.reads_drops else FLOODS):
                    self._flood(watcher, running, road)
            if is_last:
                with counted():
                    for road in self._roads:
                        before = account()
                        _, packets = self._flood_uncounted(watcher, running, road)
                        self._runs.setdefault(watcher.name, {})[road.name] = account().since(before, packets)

    def _flood(self, watcher: Watcher, running: Running, road: Workload) -> None:
        before = running.cpu_seconds()
        taken, packets = self._flood_uncounted(watcher, running, road)
        key = road.name, watcher.name
        self._samples.setdefault(key, []).append(taken)
        self._own.setdefault(key, []).append((running.cpu_seconds() - before) * 1e6 / packets)

    def _flood_uncounted(self, watcher: Watcher, running: Running, road: Workload) -> tuple[float, int]:
        """Microseconds for a packet, and how many there were. When it returns the watcher has read them."""
        bursts = FEW_BURSTS if watcher.reads_drops else BURSTS
        taken = road.flood(self._program, bursts)
        if watcher.reads_drops:
            running.settle()
        return taken, bursts * BURST

    def show(self) -> None:
        names = [watcher.name for watcher in self._beside]
        roads = [road.name for road in self._roads]
        self._show_table(
            f"One packet, in {self._unit}, median (quartiles)",
            ["packets", NOTHING.name, *names],
            [[road, *(self._cell(road, name) for name in (NOTHING.name, *names))] for road in roads],
        )
        self._show_table(
            f"More than with nothing beside it, in {self._unit}: of the medians / of the fastest floods",
            ["packets", *names],
            [[road, *(self._more(road, name) for name in names)] for road in roads],
        )
        self._show_table(
            f"The watcher's own process for one packet, in {self._unit}, median",
            ["packets", *names],
            [
                [road, *(f"{statistics.median(self._own[road, name]):.1f}" for name in names)]
                for road in roads
            ],
        )
        for name in names:
            self._show_runs(name)
        self._show_table(
            "To start, and what it holds",
            ["beside", "seconds until ready", "RSS, MiB", "at its end"],
            [
                [
                    name,
                    f"{statistics.median(run.start_seconds for run in self._starts[name]):.1f}",
                    f"{statistics.median(run.rss_kib for run in self._starts[name]) / 1024:.0f}",
                    self._starts[name][-1].findings,
                ]
                for name in names
            ],
        )

    def results(self) -> dict[str, Any]:
        """What bench/page.py makes its tables of."""
        names, roads = [watcher.name for watcher in self._beside], [road.name for road in self._roads]
        return {
            "day": time.strftime("%Y-%m-%d"),
            "machine": measured_on(),
            "rounds": self._rounds,
            "unit": self._unit,
            "words": "" if self._unit == "microseconds" else " CLOCK=instructions",
            "watchers": names,
            "roads": roads,
            "readers": [watcher.name for watcher in self._beside if watcher.reads_drops],
            "short": SHORT,
            "programs": self._programs[REFUSING],
            "bare": {road: statistics.median(self._samples[road, NOTHING.name]) for road in roads},
            "more": {name: {road: self._medians_apart(road, name) for road in roads} for name in names},
            "own": {
                name: {road: statistics.median(self._own[road, name]) for road in roads} for name in names
            },
            "starts": {
                name: {
                    "seconds": statistics.median(run.start_seconds for run in self._starts[name]),
                    "mib": statistics.median(run.rss_kib for run in self._starts[name]) / 1024,
                    "end": self._starts[name][-1].findings,
                }
                for name in names
            },
        }

    def _medians_apart(self, road: str, watcher: str) -> float:
        return statistics.median(self._samples[road, watcher]) - statistics.median(
            self._samples[road, NOTHING.name]
        )

    def _show_runs(self, watcher: str) -> None:
        """One line for each BPF program, one column for each workload in which one ran for most packets."""
        found = {
            road: [one for one in runs if one.count * 2 > one.packets]
            for road, runs in self._runs.get(watcher, {}).items()
        }
        programs = dict.fromkeys((one.program, one.hook) for runs in found.values() for one in runs)
        if not programs:
            return
        rows = []
        for program in programs:
            ran = [[one for one in runs if (one.program, one.hook) == program] for runs in found.values()]
            rows.append([*program, *(", ".join(one.text for one in ones) for ones in ran)])
        total = [f"{sum(one.nanoseconds / one.packets for one in runs):.0f}" for runs in found.values()]
        heads, rows = ["program", "hook", *found], [*rows, ["all, for each packet", "", *total]]
        self._programs[watcher] = {"watcher": watcher, "heads": heads, "rows": rows}
        self._show_table(
            f"{watcher}: the kernel's own account, runs for a packet x what one takes, in {self._unit} / 1000",
            heads,
            rows,
        )

    def _show_table(self, title: str, heads: list[str], rows: list[list[str]]) -> None:
        print(f"\n{title}:\n")
        print(tabulate(rows, heads, tablefmt="github", disable_numparse=True))

    def _cell(self, road: str, watcher: str) -> str:
        samples = self._samples[road, watcher]
        if len(samples) < 2:
            return f"{samples[0]:.1f}"
        low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
        return f"{middle:.1f} ({low:.1f}-{high:.1f})"

    def _more(self, road: str, watcher: str) -> str:
        bare, with_it = self._samples[road, NOTHING.name], self._samples[road, watcher]
        return f"{self._medians_apart(road, watcher):+.1f} / {min(with_it) - min(bare):+.1f}"


def measured_on() -> str:
    """The kernel, the processor and whether it is an emulated one."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in info if line.startswith("model name")]
    is_virtual = any(line.startswith("flags") and " hypervisor" in line for line in info)
    kind = "a virtual machine's, perhaps emulated in software" if is_virtual else "not a virtual machine's"
    return f"Linux {platform.release()}, {len(models)} CPU: {models[0]} ({kind})"


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    unit = sys.argv[2] if len(sys.argv) > 2 else "microseconds"
    print(f"On {measured_on()}, {rounds} rounds\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as home, workloads() as roads:
        bench = Bench(compiled_flood(Path(home)), roads, rounds, unit)
        bench.measure()
        bench.show()
        print(f"\n{RESULTS}{json.dumps(bench.results())}")
    return 0


sys.exit(main())
