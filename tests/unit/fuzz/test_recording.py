"""A file from a stranger: what can be read of it, and then one error of ours."""

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dropwatch.aggregate.difference import difference
from dropwatch.errors import WhydropError
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.members import gzipped, opening, pack
from dropwatch.recording.recording import Recorded, Recording
from dropwatch.render.difference import difference_json, difference_text
from dropwatch.render.layout import Layout
from dropwatch.run.context import Nobody
from dropwatch.run.modes import replayed_mode
from dropwatch.run.options import Options
from dropwatch.run.page import PageListener
from dropwatch.run.replay import Replay
from dropwatch.run.report import silent_mode
from dropwatch.run.stop import Stop
from tests.unit.fuzz.changes import changed

RECORDINGS = Path(__file__).parents[2] / "replay/recordings"
WHOLE = [(RECORDINGS / f"linux-6.1-{name}.whydrop").read_bytes() for name in ("mixed", "summary")]
LINES = [line for data in WHOLE for line in gzip.decompress(data).splitlines()]
ITEMS = [item for item in map(json.loads, LINES) if "item" in item]
ODD: st.SearchStrategy[Any] = st.sampled_from(
    (
        None,
        True,
        -1,
        1 << 63,
        1 << 70,
        1e308,
        "",
        "\ud800",
        "\x1b[2J\n",
        "0x0",
        [],
        {},
        [[]],
        {"kind": "x"},
        "\u202e",
    )
)


def read(data: bytes) -> list[Any]:
    """Everything in it; a WhydropError is what it should be."""
    found: list[Any] = []
    with TemporaryDirectory() as directory:
        path = Path(directory) / "x.whydrop"
        path.write_bytes(data)
        try:
            recording = Recording(path)
            found.append(recording.start)
            for item in recording.items():
                found.append(item)
                if isinstance(item, Recorded):
                    recording.answer("mtu", (1, "eth0"))
        except WhydropError:
            pass
    return found


def replayed(items: list[Any]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "x.whydrop"
        path.write_bytes(opening("1") + b"".join(pack(items)))
        for as_json in (False, True):
            try:
                with Replay(
                    path,
                    Options(json=as_json, stack=True),
                    (),
                    lambda options, start, listener: replayed_mode(options, start, Layout(), listener),
                    Nobody(),
                    Stop(),
                ) as run:
                    list(run)
                    assert "\x1b" not in run.last_words
            except WhydropError:
                pass


def paged(items: list[Any]) -> None:
    """A page of it, and what it differs in from itself."""
    pages: list[bytes] = []
    with TemporaryDirectory() as directory:
        path = Path(directory) / "x.whydrop"
        path.write_bytes(opening("1") + b"".join(pack(items)))
        try:
            listener = PageListener(lambda: Memory(pages), Editor(), path)
            with Replay(path, Options(), (), silent_mode, Nobody(), Stop(), listener=listener) as run:
                list(run)
            sides = (listener.report(run.start), listener.sorts)
            found = difference(sides, sides)
            text = difference_text(found, Layout()) + "".join(difference_json(found))
            assert text.replace("\n", "").isprintable()
        except WhydropError:
            pass
    for page in pages:
        assert b"\x1b" not in page
        assert page.endswith(b"</html>")


class Memory:
    """Where a page goes to."""

    def __init__(self, pages: list[bytes]) -> None:
        self._pages = pages

    def write(self, data: bytes) -> None:
        self._pages.append(data)


@given(changed(WHOLE) | st.binary(max_size=200))
def test_any_file_is_read_as_far_as_it_goes(data: bytes) -> None:
    read(data)


@given(changed(LINES))
def test_any_line_is_an_item_or_refused(line: bytes) -> None:
    start = gzipped(LINES[1] + b"\n", 6)
    assert len(read(opening("1") + start + gzipped(line + b"\n", 6))) <= 2


@st.composite
def spoilt(draw: st.DrawFn, items: list[Any] = ITEMS) -> Any:
    """An item, some value of which is another."""
    item = json.loads(json.dumps(draw(st.sampled_from(items))))
    for _ in range(draw(st.integers(1, 3))):
        at: Any = item
        for _ in range(draw(st.integers(1, 6))):
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(at[key], dict | list) or draw(st.integers(0, 4)) == 0:
                if key != "item":
                    at[key] = json.loads(json.dumps(draw(ODD)))  # one of its own: it may be changed next
                break
            at = at[key]
    return item


@given(st.lists(spoilt(), min_size=1, max_size=4))
def test_values_that_no_run_would_write_end_in_words(items: list[Any]) -> None:
    replayed([ITEMS[0], *items, ITEMS[-1]])


@given(
    spoilt(ITEMS[:1]),
    st.lists(spoilt(), min_size=1, max_size=4),
    st.sampled_from(("findings", "summary")),
)
def test_so_do_pages_and_comparisons(start: Any, items: list[Any], view: str) -> None:
    paged([start, *items, ITEMS[-1]])
    paged([{**ITEMS[0], "view": view}, *items, ITEMS[-1]])
