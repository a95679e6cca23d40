"""The full screen without a terminal: what stands where, and what the keys do."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest

from dropwatch.model.culprits import NftRule, XfrmState
from dropwatch.model.drop import Evidence, Finding, Fix, Frame, Interface, Netns
from dropwatch.model.summary import Counter, Outside, Summary, SummaryRow
from dropwatch.render.summary.keys import Look
from dropwatch.render.summary.page import Line, SummaryPage

MISSED = Outside(Counter("nic", "rx_missed_errors", 1, "eth0", "no room"), Netns(1, None), 212, 3)
NO_PORTS = Outside(Counter("protocol", "UdpNoPorts", 1, overlap=True), Netns(1, None), 7, 7)


def row(number: int, **fields: Any) -> SummaryRow:
    usual = SummaryRow(
        key=f"row {number}",
        cause_id=f"family.cause-{number}",
        title=f"title {number}",
        confidence="certain",
        where=Frame(f"function_{number}", 16, None, 1),
        reason="NO_SOCKET",
        culprit=None,
        iface=Interface(2, "eth0"),
        netns=Netns(1, None),
        packets=1000 * number,
        new=number,
        rate=float(number),
        first=1795205701.0 + number,
        last=1795205710.5,
        samples=21,
        history=(0,) * 59 + (number,),
    )
    return replace(usual, **fields)


def summary(*rows: SummaryRow, **fields: Any) -> Summary:
    usual = {
        "time": 1795205710.5,
        "seconds": 1.0,
        "since": 1795205700.5,
        "rows": rows,
        "counted": 7,
        "suppressed": {},
        "not_matched": 0,
        "outside": (MISSED, NO_PORTS),
    }
    return Summary(**{**usual, **fields})


@pytest.fixture
def look() -> Look:
    return Look()


def shown(summary: Summary | None, look: Look, width: int = 80, height: int = 24) -> list[Line]:
    lines = SummaryPage(own_netns=1).lines(summary, look, width, height)
    assert len(lines) == height
    assert all(len(line.text) <= width for line in lines)
    return lines


def text_of(lines: list[Line]) -> str:
    return "\n".join(line.text for line in lines)


def causes(lines: list[Line]) -> list[str]:
    """Of the rows, in their order."""
    rows = [line.text for line in lines[4:] if line.text[:1] == " " and "  title " in line.text]
    return [f"family.cause-{text.rpartition('title ')[2].split()[0]}" for text in rows]


def press(look: Look, keys: Iterable[str], rows: Sequence[SummaryRow], height: int = 23) -> bool:
    return [look.press(key, look.rows(rows), height) for key in keys][-1]


ROWS = tuple(row(number) for number in (2, 3, 1))


def test_everything_has_its_place_at_80_by_24(look: Look) -> None:
    lines = shown(summary(*ROWS, suppressed={"benign.socket-close": 12}), look)
    assert lines[0].text.startswith("6,000 dropped, 6.0/s  since ")
    assert "█" in lines[1].text
    assert lines[2].text == "3 of 3 rows, sorted by rate; 12 harmless not shown"
    assert lines[3].text.split() == ["per", "s", "total", "1", "minute", "what"]
    assert lines[4].style == "selected"
    assert causes(lines)[:3] == ["family.cause-3", "family.cause-2", "family.cause-1"]
    assert "[family.cause-3] eth0, function_3+0x10, NO_SOCKET" in text_of(lines)
    assert "21 looked at" in text_of(lines)
    assert "not seen dying: 212 lost in the NIC eth0: rx_missed_errors (no room)" in text_of(lines)
    assert "q:leave" in lines[-1].text


@pytest.mark.parametrize("width", [20, 40, 79, 81, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 10, 15, 60])
@pytest.mark.parametrize("page", ["rows", "row", "beside", "help"])
def test_it_fits_every_size(
    width: int,
    height: int,
    page: Literal["rows", "row", "beside", "help"],
    look: Look,
    make_finding: Callable[..., Finding],
) -> None:
    look.page, look.selected = page, "row 7"
    rows = [row(number, finding=make_finding()) for number in range(100)]
    lines = shown(summary(*rows), look, width, height)
    assert lines[-1].style == "dim", "the keys"


def test_before_the_first_summary_and_without_drops(look: Look) -> None:
    assert "counting" in text_of(shown(None, look))
    assert "nothing has died here yet" in text_of(shown(summary(), look))
    assert "212 lost in the NIC" in text_of(shown(summary(), look))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("", "321"),
        ("s", "321"),
        ("ss", "321"),
        ("sss", "123"),
        ("ssss", "321"),
        ("r", "123"),
        ("sssr", "321"),
    ],
)
def test_the_order(keys: str, expected: list[str], look: Look) -> None:
    if keys:
        press(look, keys, ROWS)
    assert [name[-1] for name in causes(shown(summary(*ROWS), look))[:3]] == list(expected)


def test_the_filter_is_typed(look: Look) -> None:
    press(look, ["/", *"FUNCTION_2x"], ROWS)
    assert "with 'FUNCTION_2x'_" in text_of(shown(summary(*ROWS), look))
    assert "no row contains that" in text_of(shown(summary(*ROWS), look))
    assert not press(look, ["backspace", "q", "backspace", "enter"], ROWS), "q is a letter here"
    assert causes(shown(summary(*ROWS), look))[:1] == ["family.cause-2"]
    press(look, ["escape"], ROWS)
    assert len(causes(shown(summary(*ROWS), look))) == 3
    press(look, ["/", "x", "escape"], ROWS)
    assert (look.text, look.typing) == ("", False)


def test_the_selection_stays_with_its_row(look: Look) -> None:
    press(look, ["down"], ROWS)
    assert look.selected == "row 2"
    later = (row(2, rate=99.0), row(3), row(1))
    lines = shown(summary(*later), look)
    assert lines[4].style == "selected"
    assert "title 2" in lines[4].text
    press(look, ["end"], later)
    assert look.selected == "row 1"
    press(look, ["down", "page-up", "up"], later)
    assert look.selected == "row 2"


def test_a_long_list_moves_with_the_selection(look: Look) -> None:
    rows = [row(number) for number in range(100)]
    press(look, ["end"], rows)
    lines = shown(summary(*rows), look)
    (selected,) = [line for line in lines if line.style == "selected"]
    assert "title 0" in selected.text


def test_help_says_what_each_column_and_key_is_and_leads_back(look: Look) -> None:
    press(look, ["o", "?"], ROWS)
    lines = shown(summary(*ROWS), look)
    text = text_of(lines)
    for key in ("per s", "total", "1 minute", "what", "Enter", "s, r", "/", "o", "p, Space", "q"):
        assert any(line.text.startswith(f"  {key} ") for line in lines), key
    assert "other counters" not in text
    assert lines[0].style == "bold"
    press(look, ["?"], ROWS)
    assert "lost where whydrop cannot see it die" in text_of(shown(summary(*ROWS), look)), (
        "where it was asked for"
    )
    press(look, ["?", "escape", "escape"], ROWS)
    assert "3 of 3 rows" in text_of(shown(summary(*ROWS), look))
    assert press(look, ["?", "q"], ROWS)


def test_on_a_narrow_screen_the_words_have_the_room(look: Look) -> None:
    """Where two rules of one chain would look alike, the last minute gives way."""
    rules = [row(at, culprit=NftRule("udp drop", "inet", "gate", "input", at)) for at in (2, 3)]
    lines = [line.text.rstrip() for line in shown(summary(*rules), look, 60)]
    assert lines[3].split() == ["per", "s", "total", "what"]
    assert lines[4].rpartition("  ")[2] != lines[5].rpartition("  ")[2]
    assert "1 minute" in text_of(shown(summary(*rules), look, 80))


def test_wide_screens_have_the_place_beside(look: Look) -> None:
    place = "eth0, function_3+0x10, NO_SOCKET"
    assert place in shown(summary(*ROWS), look, 132)[4].text
    assert place not in shown(summary(*ROWS), look, 131)[4].text


def test_a_rows_explanation_is_what_its_last_sample_had(
    look: Look, make_finding: Callable[..., Finding]
) -> None:
    finding = make_finding(
        evidence=(Evidence("probe x", "it was so"),),
        fix=(Fix("do this", "ip link"),),
        culprit=XfrmState(
            "src a dst b", "0x00001001", "10.9.0.1", "10.9.0.2", "esp", "tunnel", 1, 0, 0, 0, "valid"
        ),
    )
    rows = (row(1, finding=finding, note="mixed: mostly this"),)
    press(look, ["enter"], rows)
    text = text_of(shown(summary(*rows), look))
    for part in (
        "1,000 packets",
        "21 packets were looked at",
        "it was so",
        "ip link",
        "SA src a",
        "mixed: mostly",
    ):
        assert part in text
    assert "stack  xfrm_input" in text
    press(look, ["down"] * 99, rows)
    shown(summary(*rows), look)
    assert look.scroll < 10, "not beyond its end"
    assert not press(look, ["escape"], rows)
    assert look.page == "rows"
    press(look, ["enter"], rows)
    assert "this row is gone" in text_of(shown(summary(), look))


def test_a_row_without_a_sample_says_so(look: Look) -> None:
    rows = (row(1, note="no sample of it has come"),)
    press(look, ["enter"], rows)
    assert "no sample of it has come" in text_of(shown(summary(*rows), look))


def test_the_other_counters(look: Look) -> None:
    press(look, ["o"], ROWS)
    text = text_of(shown(summary(*ROWS), look))
    assert "212 lost in the NIC eth0" in text
    assert "7 lost: UdpNoPorts" in text
    press(look, ["o"], ROWS)
    assert look.page == "rows"


def test_pause_and_leave(look: Look) -> None:
    assert not press(look, [" "], ROWS)
    assert look.paused
    assert "PAUSED" in shown(summary(*ROWS), look)[0].text
    assert not press(look, ["p"], ROWS)
    assert not look.paused
    assert press(look, ["q"], ROWS)
    look.page = "row"
    assert press(look, ["q"], ROWS)


def test_nothing_moves_the_cursor(look: Look) -> None:
    rows = (row(1, culprit=NftRule("\x1b[2J\nnext", "ip", "filter"), title="\x07"),)
    for page in ("rows", "row", "beside"):
        look.page = page
        assert all(line.text.isprintable() for line in shown(summary(*rows), look))
