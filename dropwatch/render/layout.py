"""Puts words on lines: safe for a terminal, wrapped to its width, coloured if it is wanted."""

import os
import shutil
import textwrap
from collections.abc import Sequence
from typing import Literal, TextIO, get_args

from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import printable
from dropwatch.render.clock import Times

When = Literal["auto", "always", "never"]
WHEN: tuple[When, ...] = get_args(When)

NARROWEST = 40
_INDENT = "  "
_LABEL_WIDTH = 7
CUT = " ..."
# Of the sixteen colours those that are read on white and on black: yellow and blue are not.
_COLOURS = {
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
    "cyan": "36",
    "bold": "1",
    "dim": "2",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How wide a line may be, whether colours are understood, how a time is written.

    `in_place`: the last line may be written again, because a person looks at a terminal.
    """

    width: int = 80
    colour: bool = False
    times: Times = "clock"
    in_place: bool = False

    @property
    def columns(self) -> int:
        """Those that are used: a terminal that says it has none has forty."""
        return max(self.width, NARROWEST)

    def paint(self, text: str, *colours: str) -> str:
        """The text in these colours (`bold`, `dim`, `red`, `green`, `magenta`, `cyan`), or as it is."""
        if not self.colour or not text:
            return text
        codes = ";".join(_COLOURS[colour] for colour in colours)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def paragraph(self, text: str, first: str = "", rest: str | None = None) -> list[str]:
        """Lines of at most `width` columns, the first led by `first`, the others by `rest`."""
        rest = " " * len(first) if rest is None else rest
        return textwrap.wrap(
            printable(text),
            self.columns,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [first.rstrip()]

    def parts(self, parts: Sequence[str], first: str, rest: str) -> list[str]:
        """Parts two columns apart. One that does not fit any more begins the next line."""
        width = self.columns
        lines, line, gap = [], first, ""
        for part in (printable(part) for part in parts if part):
            whole = len(part) + len(rest if gap else first) <= width
            for piece in [part] if whole else part.split(" "):
                if gap and len(line) + len(gap) + len(piece) > width:
                    lines.append(line)
                    line, gap = rest, ""
                line += gap + piece
                gap = " "
            gap = "  "
        return [*lines, line]

    def labelled(
        self, label: str, text: str, *colours: str, tail: str = "", most: int | None = None
    ) -> list[str]:
        """`  label    text`, with the continuation lines below the text, the text in these colours.

        `tail` and `most` as in block().
        """
        head = f"{_INDENT}{label:<{_LABEL_WIDTH}}"
        lines = self.block(head, text, *colours, tail=tail, most=most)
        if label:
            lines[0] = lines[0].replace(label, self.paint(label, "dim"), 1)
        return lines

    def block(
        self, head: str, text: str, *colours: str, tail: str = "", most: int | None = None
    ) -> list[str]:
        """The head, behind it the text in lines of one column.

        `tail` stays in one piece: behind the text, or on a line of its own. Of more than `most` lines the rest is cut.
        """
        room = " " * len(head)
        bodies = [line[len(head) :] for line in self.paragraph(text, room)]
        beside = tail and len(room) + len(bodies[-1]) + 2 + len(tail) <= self.columns
        if most is not None and len(bodies) + (0 if beside or not tail else 1) > most:
            bodies = self._cut(bodies[: max(1, most)], len(head), len(tail) + 2 if tail else 0)
            beside = bool(tail)
        painted = [self.paint(body, *colours) if colours else body for body in bodies]
        if beside:
            painted[-1] += f"  {printable(tail)}"
        elif tail:
            painted.append(printable(tail))
        return [f"{head if n == 0 else room}{body}".rstrip() for n, body in enumerate(painted)]

    def _cut(self, bodies: list[str], before: int, behind: int) -> list[str]:
        """With a mark that something is missing, and so many columns left behind it."""
        room = self.columns - before - behind - len(CUT)
        last = bodies[-1]
        if len(last) > room:
            last = last[: max(room, 0)].rpartition(" ")[0] or last[: max(room, 0)]
        return [*bodies[:-1], f"{last.rstrip(' ,;:')}{CUT}"]

    def command(self, command: str) -> list[str]:
        """A shell command, to be copied as it stands: it is never broken, however long it is."""
        room = _INDENT * 2
        return [f"{room}{self.paint(printable(part), 'green')}" for part in command.split("\n")]


def layout_for(
    stream: TextIO | None, no_colour: bool = False, colour: When = "auto", times: Times = "clock"
) -> Layout:
    """The width of the terminal (80 without one), and colours where a terminal shows them and nobody objects.

    https://no-color.org for NO_COLOR, https://force-color.org for FORCE_COLOR. What was asked for goes before both.
    """
    width = shutil.get_terminal_size(fallback=(80, 24)).columns
    terminal = _is_terminal(stream) and os.environ.get("TERM") != "dumb"
    wanted = terminal or os.environ.get("FORCE_COLOR", "0") not in ("", "0")
    refused = bool(os.environ.get("NO_COLOR"))
    coloured = {"auto": wanted and not refused, "always": True, "never": False}[colour]
    return Layout(width, coloured and not no_colour, times, in_place=terminal)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
