"""symbols/shown.json: of each cause a finding as whydrop prints it, and the kernels that have shown it."""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding
from dropwatch.render.layout import Layout
from dropwatch.run.api import replay
from dropwatch.run.modes import renderer_for
from dropwatch.run.options import Options
from dropwatch.run.replay import Replay

_RECORDINGS = Path(__file__).parent.parent / "tests" / "replay" / "recordings"
_KERNEL = re.compile(r"linux-([0-9.]+)-")
_WIDTH = 76  # a page indents it
_SURE = ("certain", "likely", "unknown")


@dataclass(frozen=True, slots=True)
class Sample:
    """A finding of a cause in a recording, as text. Of several the one with the least `rank` is shown."""

    cause_id: str
    kernel: str | None
    rank: tuple[Any, ...]
    text: str


def shown_text(samples: Mapping[str, list[Sample]]) -> str:
    """The file: a cause a line, in the order of their names."""
    lines = []
    for cause_id, found in sorted(samples.items()):
        best = min(found, key=lambda sample: sample.rank)
        kernels = sorted({sample.kernel for sample in found if sample.kernel is not None}, key=_order)
        entry = {"kernels": kernels, "text": best.text}
        lines.append(f"{json.dumps(cause_id)}: {json.dumps(entry, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def recorded(directory: Path = _RECORDINGS) -> Mapping[str, list[Sample]]:
    """Every finding in the recordings, by cause; times are UTC."""
    found: dict[str, list[Sample]] = {}
    with utc():
        for path in sorted(directory.glob("*.whydrop")):
            for sample in _samples(path):
                found.setdefault(sample.cause_id, []).append(sample)
    return found


def _samples(path: Path) -> Iterator[Sample]:
    """One of each sort: findings of a flood look alike."""
    named = _KERNEL.match(path.name)
    kernel = named[1] if named is not None else None
    known = set()
    with replay(path, all=True) as run:
        assert isinstance(run, Replay)
        own = run.start.own_netns
        for finding in run:
            sort = (finding.cause_id, finding.confidence, finding.culprit is None, finding.drop.packet.proto)
            if sort in known or finding.cause_id == "unknown":
                continue
            known.add(sort)
            text = renderer_for(Options(), Layout(_WIDTH), own).finding(finding, 0.0).rstrip("\n")
            yield Sample(finding.cause_id, kernel, _rank(finding, text, kernel), f"{text}\n")


def _rank(finding: Finding, text: str, kernel: str | None) -> tuple[Any, ...]:
    """The surest first, then what names an object, then the shortest, of the newest kernel."""
    newest = [-number for number in _order(kernel)] if kernel is not None else [0]
    sure = _SURE.index(finding.confidence)
    return sure, finding.culprit is None, text.count("\n"), newest, finding.drop.event.monotonic_ns


def _order(kernel: str) -> list[int]:
    return [int(part) for part in kernel.split(".")]


@contextmanager
def utc() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
