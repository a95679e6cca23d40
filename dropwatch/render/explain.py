"""Pages of knowledge as text: paragraphs wrapped, commands left as they are, names in a column."""

from dropwatch.page import Page, Section
from dropwatch.render.layout import Layout, printable

_INDENT = "  "
_COMMAND_INDENT = "      "
_WIDEST_COLUMN = 34


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
    column = min(max((len(name) for name, _ in section.entries), default=0), _WIDEST_COLUMN)
    for name, words in section.entries:
        lines += _entry(name, words, column, layout)
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


def _entry(name: str, words: str, column: int, layout: Layout) -> list[str]:
    """A name and its words beside it; below it where the name is wider than the column."""
    room = _INDENT + " " * column + "  "
    if len(name) > column:
        return [_INDENT + layout.paint(printable(name), "cyan"), *layout.paragraph(words, room, room)]
    lines = layout.paragraph(words, room, room)
    lines[0] = _INDENT + layout.paint(printable(name), "cyan") + lines[0][len(_INDENT) + len(name) :]
    return lines
