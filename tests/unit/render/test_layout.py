"""Words on lines: nothing that a packet or a name brings can do anything to a terminal, no line is too long."""

import io
import shlex
import subprocess
from typing import Any

import pytest

from dropwatch.names.foreign import foreign, printable, quoted
from dropwatch.render.layout import Layout, layout_for
from tests.unit.names.hostile import HOSTILE

LONG = "ip -n b xfrm state get src fd00:1234:5678:9abc::1 dst fd00:1234:5678:9abc::2 proto esp spi 0x00001001"


def wide(lines: list[str]) -> int:
    return max(len(line) for line in lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("vb", "vb"),
        ("größe", "größe"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\rd", "a\\x0ab\\x09c\\x0dd"),
        ("\x7f\x9b2J", "\\x7f\\xc2\\x9b2J"),
        ("\u202eevil", "\\xe2\\x80\\xaeevil"),
        ("a\u2028b", "a\\xe2\\x80\\xa8b"),
        ("\udc80", "\\x80"),
    ],
)
def test_what_could_move_a_cursor_is_spelt_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()


@pytest.mark.parametrize("width", [40, 63, 80, 132])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    layout = Layout(width)
    text = "the keys or the integrity algorithm differ " * 7
    assert wide(layout.paragraph(text, "whydrop: ", "  ")) <= width
    assert wide(layout.labelled("WHY", text)) <= width
    assert wide(layout.labelled("why", text, most=2, tail="[ipsec.no-state]")) <= width
    parts = (
        "udp [fd00:1234:5678:9abc::1]:40000 > [fd00:1234:5678:9abc::2]:5000",
        "len 48",
        "vb (in, netns b)",
    )
    assert wide(layout.parts(parts, "20:15:01.123456  ", "    ")) <= width


def test_a_terminal_without_a_width_gets_lines_of_forty() -> None:
    assert 20 < wide(Layout(1).paragraph("word " * 50)) <= 40


def test_labels_stand_in_a_column_and_text_goes_on_below_text() -> None:
    assert Layout(40).labelled("by", "one two three four five six seven eight") == [
        "  by     one two three four five six",
        "         seven eight",
    ]


def test_what_is_too_long_is_cut_and_says_so() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve thirteen"
    assert Layout(40).labelled("by", text, most=1) == ["  by     one two three four five six ..."]
    assert Layout(40).labelled("by", text, most=2, tail="[a b]") == [
        "  by     one two three four five six",
        "         seven eight nine ...  [a b]",
    ]
    assert Layout(40).labelled("by", text, most=3) == Layout(40).labelled("by", text)


def test_a_tail_stays_in_one_piece() -> None:
    layout = Layout(40)
    assert layout.labelled("WHY", "one two", tail="[a b]") == ["  WHY    one two  [a b]"]
    assert layout.labelled("WHY", "one two three four five", tail="[a b c]") == [
        "  WHY    one two three four five",
        "         [a b c]",
    ]


def test_parts_stay_whole_when_they_can() -> None:
    assert Layout(40).parts(
        ("udp 10.9.0.1:40000 > 10.9.0.2", "len 48", "vb (in, netns b)"), "20:15  ", "    "
    ) == [
        "20:15  udp 10.9.0.1:40000 > 10.9.0.2",
        "    len 48  vb (in, netns b)",
    ]


@pytest.mark.parametrize("width", [40, 200])
@pytest.mark.parametrize(
    "command", [LONG, "sh -c 'echo \"a  b\"; true' \"x y\" a\\ b | grep -c 'is  long' > /tmp/f"]
)
def test_a_command_is_never_broken(width: int, command: str) -> None:
    assert Layout(width).command(command) == [f"    {command}"]


@pytest.mark.parametrize("raw", HOSTILE)
def test_a_name_is_the_same_in_a_command(raw: bytes) -> None:
    words = ["printf", "'%s:%s:%s'", *[quoted(foreign(raw))] * 2, shlex.quote(quoted(foreign(raw)))]
    lines = Layout(40).command(" ".join(words))
    said = subprocess.run(
        ["bash", "-c", "\n".join(lines)], capture_output=True, check=True, env={"LC_ALL": "C"}
    )
    assert said.stdout == raw + b":" + raw + b":" + quoted(foreign(raw)).encode()


def test_commands_on_several_lines_stay_so() -> None:
    assert [line.strip() for line in Layout(80).command("one\ntwo")] == ["one", "two"]


def test_an_escape_sequence_in_a_command_is_harmless() -> None:
    assert "\x1b]" not in "".join(Layout(80, colour=True).command("ip link show '\x1b]0;x\x07'"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "asked", "environment", "coloured"),
    [
        (Terminal(), {}, {"TERM": "xterm"}, True),
        (Terminal(), {"no_colour": True}, {"TERM": "xterm"}, False),
        (Terminal(), {"colour": "never"}, {"TERM": "xterm"}, False),
        (Terminal(), {}, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"colour": "always"}, {"TERM": "xterm", "NO_COLOR": "1"}, True),
        (Terminal(), {}, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {}, {"TERM": "dumb"}, False),
        (io.StringIO(), {}, {"TERM": "xterm"}, False),
        (io.StringIO(), {"colour": "always"}, {"TERM": "xterm"}, True),
        (io.StringIO(), {}, {"TERM": "xterm", "FORCE_COLOR": "1"}, True),
        (io.StringIO(), {}, {"TERM": "xterm", "FORCE_COLOR": "0"}, False),
        (io.StringIO(), {}, {"TERM": "xterm", "FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (io.StringIO(), {"colour": "never"}, {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
        (None, {}, {"TERM": "xterm"}, False),
    ],
)
def test_colours_only_where_a_terminal_shows_them_or_where_they_are_asked_for(
    stream: Any,
    asked: dict[str, Any],
    environment: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    layout = layout_for(stream, **asked)
    assert layout.colour is coloured
    assert ("\x1b[31m" in layout.paint("x", "red")) is coloured
    assert layout.in_place is (isinstance(stream, Terminal) and environment["TERM"] != "dumb")


def test_the_width_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "57")
    assert layout_for(None, no_colour=False).width == 57
