"""The end of the pipeline that is a store."""

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dropwatch.model.drop import Finding, Totals
from dropwatch.render.layout import Layout
from dropwatch.render.screen import Screen
from dropwatch.watch import recorder
from dropwatch.watch.metrics import Metrics
from dropwatch.watch.recorder import Recording, Told
from dropwatch.watch.store import Store
from tests.unit.watch.clocks import NOON, Clocks

TOTALS = Totals(
    seen_by={"kfree_skb": 9},
    matched=9,
    reported=9,
    lost={"ring buffer full": 4},
    suppressed={},
    blind_spots=(),
)


def test_findings_end_in_the_store(
    open_store: Callable[..., Store],
    find: Callable[..., Finding],
    path: Path,
    clocks: Clocks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(recorder, "notify", told.append)
    counted = Metrics("0.0", clock=lambda: clocks.since_boot)
    mode = Recording(open_store(), counted, lambda: TOTALS)
    clocks.step(3)
    mode.begin(None, lambda event: find().drop)  # type: ignore[arg-type]
    assert mode.finding(find(count=9), 1.0) == ""
    for second in range(30):
        clocks.step(1)
        assert mode.tick(100.0 + second) == ""
    assert mode.end(TOTALS, 200.0) == ""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT packets FROM minute").fetchall() == [(9,)]
        assert database.execute("SELECT began, ended, lost FROM run").fetchall() == [(NOON + 3, NOON + 33, 4)]
    assert told == ["WATCHDOG=1"] * 3
    found = counted.registry()
    labels = {"cause": "ipsec.auth-failed", "direction": "in", "confidence": "certain"}
    assert found.get_sample_value("whydrop_drops_total", labels) == 9
    assert found.get_sample_value("whydrop_lost_total") == 4


def test_systemd_is_told_when_it_is_ready(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(recorder, "notify", told.append)
    for quiet in (True, False):
        screen, path = Screen(sys.stdout, sys.stderr), Path("/x/drops.sqlite")
        face = Told(screen, Layout(), path, lambda: told.append("answers"), quiet=quiet)
        face.ready("dropped", ())
    face.say("a name\x1b[31m")
    out, err = capsys.readouterr()
    assert (out, told) == ("", ["answers", "READY=1"] * 2)
    assert err.count("watching: ") == 1
    assert "\x1b" not in err
