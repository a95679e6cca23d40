"""Words on lines: nothing that a packet or a name brings can do anything to a terminal, no line is too long."""

import io
import re
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
    assert wide(layout.command(LONG)) <= width
    parts = (
        "udp [fd00:1234:5678:9abc::1]:40000 > [fd00:1234:5678:9abc::2]:5000",
        "len 48",
        "vb (in, netns b)",
    )
    assert wide(layout.parts(parts, "20:15:01.123456  ", "    ")) <= width


def test_a_terminal_without_a_width_gets_lines_of_forty() -> None:
    assert 20 < wide(Layout(1).paragraph("word " * 50)) <= 40


def test_labels_stand_in_a_column_and_text_goes_on_below_text() -> None:
    assert Layout(40).labelled("WHY", "one two three four five six seven eight") == [
        "  WHY    one two three four five six",
        "         seven eight",
    ]


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


@pytest.mark.parametrize("width", [40, 57, 80, 200])
@pytest.mark.parametrize(
    "command", [LONG, "sh -c 'echo \"a  b\"; true' \"x y\" a\\ b | grep -c 'it is  long' > /tmp/file"]
)
def test_a_wrapped_command_is_still_the_same_command_for_a_shell(width: int, command: str) -> None:
    lines = Layout(width).command(command)
    joined = re.sub(r"\\\n *", "", "\n".join(lines))
    assert shlex.split(joined) == shlex.split(command)
    assert all(line.endswith("\\") for line in lines[:-1])


@pytest.mark.parametrize("raw", HOSTILE)
def test_a_name_is_the_same_in_a_wrapped_command(raw: bytes) -> None:
    words = ["printf", "'%s:%s:%s'", *[quoted(foreign(raw))] * 2, shlex.quote(quoted(foreign(raw)))]
    lines = Layout(40).command(" ".join(words))
    said = subprocess.run(
        ["bash", "-c", "\n".join(lines)], capture_output=True, check=True, env={"LC_ALL": "C"}
    )
    assert said.stdout == raw + b":" + raw + b":" + quoted(foreign(raw)).encode()


def test_commands_on_several_lines_stay_so() -> None:
    assert [line.strip() for line in Layout(80).command("one\ntwo")] == ["one", "two"]


def test_an_escape_sequence_in_a_command_is_harmless() -> None:
    assert "\x1b" not in "".join(Layout(80, colour=True).command("ip link show '\x1b]0;x\x07'"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "no_colour", "environment", "coloured"),
    [
        (Terminal(), False, {"TERM": "xterm"}, True),
        (Terminal(), True, {"TERM": "xterm"}, False),
        (Terminal(), False, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), False, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), False, {"TERM": "dumb"}, False),
        (io.StringIO(), False, {"TERM": "xterm"}, False),
        (None, False, {"TERM": "xterm"}, False),
    ],
)
def test_colours_only_where_a_terminal_shows_them(
    stream: Any, no_colour: bool, environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    layout = layout_for(stream, no_colour)
    assert layout.colour is coloured
    assert ("\x1b[31m" in layout.paint("x", "red")) is coloured


def test_the_width_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "57")
    assert layout_for(None, no_colour=False).width == 57
