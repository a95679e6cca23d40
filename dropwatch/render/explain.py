"""Pages of knowledge as text: paragraphs wrapped, commands left as they are, names in a column."""

from collections.abc import Iterator, Sequence

from dropwatch.model.page import Page, Section
from dropwatch.names.foreign import printable
from dropwatch.render.layout import Layout

_INDENT = "  "
_COMMAND_INDENT = "      "
_NARROWEST = 20  # columns for words beside the longest name
_CUT = "..."


def explain_text(page: Page, layout: Layout, *, cut: bool = False) -> str:
    """The page for a terminal of the layout's width. Commands are never wrapped, so that they can be copied.

    What has one line each is `cut` to the width, or stays whole.
    """
    head = layout.paint(printable(page.name), "bold") + (f"  ({page.kind})" if page.kind else "")
    lines = [head, *layout.paragraph(page.headline, "")]
    for section in page.sections:
        lines += ["", *_section(section, layout, cut=cut)]
    return "\n".join(lines) + "\n"


def _section(section: Section, layout: Layout, *, cut: bool) -> Iterator[str]:
    if section.heading:
        yield layout.paint(section.heading, "bold")
    if section.text:
        yield from _text(section.text, layout)
    if section.sample:
        yield from _sample(section.sample)
    if section.entries:
        yield from (
            _listed(section.entries, layout, cut=cut) if section.listed else _entries(section.entries, layout)
        )


def _text(text: str, layout: Layout) -> list[str]:
    """Paragraphs joined and wrapped anew; one empty line between paragraphs, none around a command."""
    lines: list[str] = []
    paragraph: list[str] = []

    def finish() -> None:
        if paragraph:
            lines.extend(layout.paragraph(" ".join(paragraph), _INDENT))
            paragraph.clear()

    for line in text.strip().split("\n"):
        if line.startswith("$ "):
            finish()
            lines.append(layout.paint(_COMMAND_INDENT + printable(line[2:]), "cyan"))
        elif line.strip():
            paragraph.append(line.strip())
        else:
            finish()
            lines.append("")
    finish()
    return lines


def _sample(sample: str) -> Iterator[str]:
    """As it was printed, however wide: there are commands in it."""
    return (f"{_INDENT}{printable(line)}".rstrip() for line in sample.rstrip("\n").split("\n"))


def _entries(entries: Sequence[tuple[str, str]], layout: Layout) -> Iterator[str]:
    """Names in one column, their words wrapped beside them."""
    longest = max(len(name) for name, _ in entries)
    room = " " * (len(_INDENT) + longest + len(_INDENT))
    wide = Layout(max(layout.width, len(room) + _NARROWEST))
    for name, words in entries:
        first, *rest = wide.paragraph(words, room)
        yield f"{_name(name, longest, layout)}{first[len(room) :]}".rstrip()
        yield from rest


def _listed(entries: Sequence[tuple[str, str]], layout: Layout, *, cut: bool) -> Iterator[str]:
    """One line each."""
    longest = max(len(name) for name, _ in entries)
    room = max(layout.width - len(_INDENT) - longest - len(_INDENT), _NARROWEST)
    for name, words in entries:
        whole = printable(words)
        if cut and len(whole) > room:
            whole = whole[: room - len(_CUT)].rstrip(" ,:;") + _CUT
        yield f"{_name(name, longest, layout)}{whole}".rstrip()


def _name(name: str, longest: int, layout: Layout) -> str:
    return _INDENT + layout.paint(printable(name), "cyan") + " " * (longest - len(name)) + _INDENT
