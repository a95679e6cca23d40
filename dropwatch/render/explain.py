"""Pages of knowledge as text: paragraphs wrapped, commands left as they are, names in a column."""

from collections.abc import Sequence

from tabulate import tabulate

from dropwatch.model.page import Page, Section
from dropwatch.names.foreign import printable
from dropwatch.render.layout import Layout

_INDENT = "  "
_COMMAND_INDENT = "      "
_NARROWEST = 20  # columns for words beside the longest name


def explain_text(page: Page, layout: Layout) -> str:
    """The page for a terminal of the layout's width. Commands are never wrapped, so that they can be copied."""
    head = layout.paint(page.name, "bold") + (f"  ({page.kind})" if page.kind else "")
    lines = [head, *layout.paragraph(page.headline, "")]
    for section in page.sections:
        lines += ["", *_section(section, layout)]
    return "\n".join(lines) + "\n"


def _section(section: Section, layout: Layout) -> list[str]:
    lines = [layout.paint(section.heading, "bold")] if section.heading else []
    if section.text:
        lines += _text(section.text, layout)
    if section.entries:
        lines += _entries(section.entries, layout)
    return lines


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


def _entries(entries: Sequence[tuple[str, str]], layout: Layout) -> list[str]:
    """Names in one column, their words wrapped beside them."""
    longest = max(len(name) for name, _ in entries)
    room = max(layout.width - len(_INDENT) - longest - len(_INDENT), _NARROWEST)
    rows = [(layout.paint(printable(name), "cyan"), printable(words)) for name, words in entries]
    table = tabulate(rows, tablefmt="plain", maxcolwidths=[None, room], disable_numparse=True)
    return [(_INDENT + line).rstrip() for line in table.split("\n")]
