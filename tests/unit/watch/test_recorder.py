"""The end of the pipeline that is a store."""

import socket
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dropwatch.model.drop import Event, Finding, Totals
from dropwatch.render.layout import Layout
from dropwatch.render.screen import Screen
from dropwatch.run.options import Options
from dropwatch.run.stop import Stop
from dropwatch.watch import recorder
from dropwatch.watch.address import Address
from dropwatch.watch.events import Notice
from dropwatch.watch.listen import Listener
from dropwatch.watch.metrics import Metrics
from dropwatch.watch.recorder import Recording, Told
from dropwatch.watch.sender import Delivered
from dropwatch.watch.store import Bounds, Store
from dropwatch.watch.teller import Teller
from tests.unit.run import test_live
from tests.unit.run.test_live import Probes
from tests.unit.watch.clocks import NOON, Clocks
from tests.unit.watch.test_listen import get

made = test_live.made  # the probes are played
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
    mode = Recording(open_store(), counted, Teller([], 1, told.append), lambda: TOTALS)
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


def test_what_is_found_is_told_until_it_ends(
    made: list[Probes], path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hears:
        name, where, most, patience = "hears", "somewhere", 2, 3600.0

        def deliver(self, notices: list[Notice], seconds: float) -> Delivered:
            got.extend(notices)
            return Delivered(1, "no room")

    got: list[Notice] = []
    monkeypatch.setattr(recorder, "first_obstacle", lambda: None)
    options = Options(duration=0.01)
    recorder.record(options, path, Bounds(), None, [Hears()], Screen(sys.stdout, sys.stderr), Stop())
    assert sum(one.packets for one in got) == 3
    err = capsys.readouterr().err
    assert "whydrop: somewhere: 1 event could not be delivered: no room\nwhydrop: 3 dropped packets" in err


def test_prometheus_is_answered_while_it_watches(
    made: list[Probes], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second read comes when what the first one brought has been judged, and a tick has been."""
    listeners: list[Listener] = []
    pages: list[str] = []
    stop = Stop()

    class Noted(Listener):
        def __init__(self, *asked: Any) -> None:
            super().__init__(*asked)
            listeners.append(self)

    def read(probes: Probes, timeout_ms: int) -> list[Event]:
        events, probes.events = probes.events, []
        if not events and not pages:
            port = listeners[0].server_port
            pages.extend(get(port, page)[2] for page in ("/metrics", "/healthz"))
            stop.ask()
        return events

    monkeypatch.setattr(recorder, "first_obstacle", lambda: None)
    monkeypatch.setattr("dropwatch.watch.listen.Listener", Noted)
    monkeypatch.setattr(Probes, "read", read)
    address = Address(socket.AF_INET, "127.0.0.1", 0)
    recorder.record(Options(), path, Bounds(), address, [], Screen(sys.stdout, sys.stderr), stop)
    listeners[0].shutdown()
    listeners[0].server_close()
    metrics, health = pages
    assert 'whydrop_seen_total{source="kfree_skb"} 5.0\n' in metrics
    assert "whydrop_matched_total 3.0\n" in metrics
    assert (
        sum(float(line.split()[1]) for line in metrics.splitlines() if line.startswith("whydrop_drops_")) == 3
    )
    assert health == "it goes on\n"
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT sum(packets) FROM minute").fetchall() == [(3,)]
