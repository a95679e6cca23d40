"""docs/cost.md and the table in README.md, from what a bench printed last.

.venv/bin/python tests/bench/page.py OUTPUT
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

RESULTS = "RESULTS "  # begins the line of a bench's output that has them
HOME = Path(__file__).parents[2]
PAGE, README = HOME / "docs" / "cost.md", HOME / "README.md"
MARKED = re.compile(r"(<!-- make bench -->\n).*?(<!-- end -->)", re.DOTALL)


def table(heads: list[str], rows: list[list[str]]) -> str:
    return tabulate(rows, heads, tablefmt="github", disable_numparse=True)


def number(value: float | None, *, signed: bool = False) -> str:
    """One figure after the point; what is not measurably more than nothing is 0."""
    if value is None:
        return ""
    if signed and abs(value) < 0.05:
        return "0"
    return f"{value:+.1f}" if signed else f"{value:.1f}"


def page(found: dict[str, Any]) -> str:
    """All of docs/cost.md that is measured."""
    names, roads, starts = found["watchers"], found["roads"], found["starts"]
    dropped = [road for road in roads if road.startswith("dropped")]
    own = [
        [name, *(number(found["own"][name][road]) for road in dropped)]
        for name in names
        if name in found["readers"]
    ]
    start = [
        [name, number(starts[name]["seconds"]), number(starts[name]["mib"]), starts[name]["end"]]
        for name in names
    ]
    how = f"`make bench{found['words']}`, {found['rounds']} round" + ("s" if found["rounds"] != 1 else "")
    return "\n\n".join(
        [
            f"{found['day']}, {how}: {found['machine']}. In {found['unit']}.",
            "### More for each packet",
            table(["packets", "alone", *names], _more(found, roads, names)),
            "### What the watcher's own process takes for each drop",
            table(["", *dropped], own),
            "### To start, and what it holds",
            table(["", "seconds until ready", "MiB", "at its end"], start),
            f"### Which program it is: {found['programs']['watcher']}",
            "Runs for a packet x what one takes, in thousandths of the above: the kernel's own account"
            " (`kernel.bpf_stats_enabled`).",
            table(found["programs"]["heads"], found["programs"]["rows"]),
        ]
    )


def short(found: dict[str, Any]) -> str:
    """The table of README.md."""
    names = [name for name in found["watchers"] if name in found["short"]]
    roads = [road for road in found["roads"] if "legacy" not in road]
    held = ["MiB when ready", "", *(number(found["starts"][name]["mib"]) for name in names)]
    return "\n\n".join(
        [
            f"What it adds to a packet, in {found['unit']} ({found['machine']}; {found['day']}):",
            table(["", "alone", *names], [*_more(found, roads, names), held]),
        ]
    )


def _more(found: dict[str, Any], roads: list[str], names: list[str]) -> list[list[str]]:
    return [
        [
            road,
            number(found["bare"][road]),
            *(number(found["more"][name][road], signed=True) for name in names),
        ]
        for road in roads
    ]


def replaced(text: str, new: str) -> str:
    """What stands between the marks is replaced."""
    assert MARKED.search(text), "no marks"
    return MARKED.sub(lambda marks: f"{marks[1]}{new}\n{marks[2]}", text)


def main() -> int:
    lines = [line for line in Path(sys.argv[1]).read_text().splitlines() if line.startswith(RESULTS)]
    if not lines:
        print("the bench has not come to its end", file=sys.stderr)
        return 1
    found = json.loads(lines[-1].removeprefix(RESULTS))
    for path, made in ((PAGE, page(found)), (README, short(found))):
        path.write_text(replaced(path.read_text(), made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
