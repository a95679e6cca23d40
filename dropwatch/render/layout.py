"""Puts words on lines: safe for a terminal, wrapped to its width, coloured if it is wanted."""

import os
import re
import shutil
import textwrap
from collections.abc import Sequence
from typing import TextIO

from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import printable

_INDENT = "  "
_LABEL_WIDTH = 7
_NARROWEST = 40
_SHELL_WORD = re.compile(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*"|['"\\])+""")
_COLOURS = {"red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}


@dataclass(frozen=True, slots=True)
class Layout:
    """How wide a line may be, and whether colours are understood."""

    width: int = 80
    colour: bool = False

    def paint(self, text: str, *colours: str) -> str:
        """The text in these colours (`bold`, `dim`, `red`, `yellow`, `cyan`), or as it is."""
        if not self.colour or not text:
            return text
        codes = ";".join(_COLOURS[colour] for colour in colours)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def paragraph(self, text: str, first: str = "", rest: str | None = None) -> list[str]:
        """Lines of at most `width` columns, the first led by `first`, the others by `rest`."""
        rest = " " * len(first) if rest is None else rest
        return textwrap.wrap(
            printable(text),
            max(self.width, _NARROWEST),
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [first.rstrip()]

    def parts(self, parts: Sequence[str], first: str, rest: str) -> list[str]:
        """Parts two columns apart. One that does not fit any more begins the next line."""
        width = max(self.width, _NARROWEST)
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

    def labelled(self, label: str, text: str, *colours: str, tail: str = "") -> list[str]:
        """`  WHY    text`, with the continuation lines below the text, the text in these colours.

        `tail` stays in one piece: behind the text, or on a line of its own.
        """
        head = f"{_INDENT}{label:<{_LABEL_WIDTH}}"
        room = " " * len(head)
        bodies = [line[len(head) :] for line in self.paragraph(text, room)]
        if tail and len(room) + len(bodies[-1]) + 2 + len(tail) <= max(self.width, _NARROWEST):
            bodies[-1] += f"  {printable(tail)}"
        elif tail:
            bodies.append(printable(tail))
        painted = [self.paint(body, *colours) if colours else body for body in bodies]
        head = head.replace(label, self.paint(label, "bold"), 1) if label else head
        return [f"{head if n == 0 else room}{body}".rstrip() for n, body in enumerate(painted)]

    def command(self, command: str) -> list[str]:
        """A shell command, to be copied as it stands: a line that is too long goes on after a backslash."""
        start = " " * (len(_INDENT) + _LABEL_WIDTH + 2)
        lines = []
        for part in command.split("\n"):
            line = start
            for word in _SHELL_WORD.findall(printable(part)):
                if line.strip() and len(line) + len(word) + 2 > max(self.width, _NARROWEST):
                    lines.append(f"{line}\\")
                    line = f"{start}  "
                line += f"{word} "
            lines.append(line.rstrip())
        return lines


def layout_for(stream: TextIO | None, no_colour: bool) -> Layout:
    """The width of the terminal (80 without one), and colours where a terminal shows them and nobody objects.

    https://no-color.org for NO_COLOR.
    """
    width = shutil.get_terminal_size(fallback=(80, 24)).columns
    refused = no_colour or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    try:
        terminal = stream is not None and stream.isatty()
    except ValueError:
        terminal = False
    return Layout(width=width, colour=terminal and not refused)
