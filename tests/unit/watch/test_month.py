"""A month of the recorder in some seconds: its file stays as large as it may be, and what it says of a week is right.

`WHYDROP_MONTH=100` has a hundred sorts in each minute instead of a few, and takes as many times as long.
"""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

import dropwatch
from dropwatch.model.drop import Finding
from dropwatch.model.filter import Filter
from dropwatch.render.last import BARS, WindowView
from dropwatch.render.layout import Layout
from dropwatch.watch.fits import Fits
from dropwatch.watch.store import Store
from dropwatch.watch.windows import read_windows
from tests.unit.watch.clocks import Clocks

RECORDING = Path(__file__).parents[2] / "replay" / "recordings" / "linux-6.12-mixed.whydrop"
SORTS = int(os.environ.get("WHYDROP_MONTH", "3"))
DAYS, DAY = 30, 86400
RESTARTED, KILLED, FORWARD, BACK = 5, 11, 17, 23  # days with an event
LOG_BYTES = 6 << 20  # of SQLite's log beside the file
Open = Callable[..., Store]


@pytest.fixture(scope="module")
def died() -> list[Finding]:
    """What a real host has died of, at other addresses: so many sorts, of ten causes and objects."""
    with dropwatch.replay(RECORDING) as run:
        found = list(run)
    made = []
    for number in range(SORTS):
        finding = found[number % len(found)]
        packet = replace(finding.drop.packet, saddr=IPv4Address(0x0B000000 + number), dport=1000 + number)
        made.append(replace(finding, drop=replace(finding.drop, packet=packet)))
    return made


def used(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir())


def shown(path: Path, seconds: float, clocks: Clocks) -> tuple[int, str]:
    """Packets of the last so many seconds, and the text of `whydrop last`; in a second at most."""
    begun = time.process_time()
    span = clocks.wall - seconds, clocks.wall
    (found,) = read_windows(path, (span,), Fits(Filter(), ()), clocks.wall, BARS)
    text = WindowView(Layout(), json=False, verbosity=0, most=None).window(found)
    taken = time.process_time() - begun
    print(f"{seconds / 3600:.0f} h: {found.packets} packets in {taken:.2f} s; {used(path) >> 10} KiB")
    assert taken < 1.0
    return found.packets, text


def test_a_month(died: list[Finding], open_store: Open, clocks: Clocks, path: Path, said: list[str]) -> None:
    """With restarts, a kill and a clock that is set forth and back on the way."""
    store, sent, sizes = open_store(), Counter[int](), []
    store.begin()
    for minute in range(DAYS * DAY // 60):
        day = minute * 60 / DAY
        if day in (RESTARTED, KILLED):
            if day == RESTARTED:
                store.end(0)
            store = open_store()
            store.begin()
        if day in (FORWARD, BACK):
            clocks.wall += 7200 if day == FORWARD else -7200
        for number, finding in enumerate(died):
            count = 1 + (minute + number) % 13
            store.add(replace(finding, count=count, drop=replace(finding.drop, time=clocks.wall)))
            sent[int(clocks.wall // 60)] += count
        clocks.step(60)
        store.tick()
        if minute % 1440 == 0:
            sizes.append(used(path))
    store.flush()
    for hours in (1, 24, 7 * 24 - 1):
        since = clocks.wall - hours * 3600
        packets, text = shown(path, hours * 3600, clocks)
        assert packets == sum(count for minute, count in sent.items() if minute * 60 >= since)
        assert f"{packets:,} dropped packets" in text
    assert shown(path, DAYS * DAY, clocks)[0] < sum(sent.values()), "the oldest have gone"
    assert max(sizes[9:]) < 1.25 * max(sizes[:9]) + LOG_BYTES, "it is as large after a month as after a week"
    assert [text.partition(":")[0] for text in said] == ["the clock was set, or the host slept"] * 2
