"""A page of knowledge as Markdown: docs/causes/."""

import re
from collections.abc import Iterator

from dropwatch.explain import catalogue, pages
from dropwatch.model.page import Page, Section
from dropwatch.names import symbols
from manual import coverage

_MADE = "<!-- Made by `make docs` from the catalogue in dropwatch/causes/ and the recordings in tests/replay/. -->"
_CODE = re.compile(r"(`[^`]*`)")
_SPECIAL = re.compile(r"([*<>\[\]|])")


def cause_page(cause_id: str) -> str:
    """docs/causes/ID.md."""
    return page_text(pages.of_cause(catalogue.causes()[cause_id]))


def index() -> str:
    """docs/causes/README.md: every cause, by family."""
    known = catalogue.causes().values()
    lines = [
        _MADE,
        "# What whydrop knows",
        "",
        f"{len(known)} causes of packet loss. `whydrop explain` has the same pages. A mark says that a recording of",
        "this kernel (tests/replay/) has a real packet that died of it.",
    ]
    for family, words in symbols.families().items():
        lines += ["", f"## {family}", "", f"{_escaped(words[:1].upper() + words[1:])}.", ""]
        lines += [f"| cause | what it is | {' | '.join(coverage.kernels())} |"]
        lines += [f"|---|---|{':-:|' * len(coverage.kernels())}"]
        lines += [
            f"| {_name(cause.id)} | {_escaped(cause.title)} | {coverage.marks(cause.id)} |"
            for cause in known
            if cause.family == family
        ]
    return "\n".join(lines) + "\n"


def page_text(page: Page) -> str:
    """The page; commands and what whydrop printed are code blocks."""
    lines = [_MADE, f"# {page.name}", "", f"**{_escaped(page.headline)}**"]
    for section in page.sections:
        if section.heading:
            lines += ["", f"## {section.heading}"]
        lines += _section(section)
    return "\n".join(lines) + "\n"


def _section(section: Section) -> Iterator[str]:
    if section.text:
        yield from _text(section.text)
    if section.sample:
        yield from ("", "```text", section.sample.rstrip("\n"), "```")
    if section.entries:
        yield ""
    for name, words in section.entries:
        yield f"- {_name(name)}: {_escaped(words)}"


def _text(text: str) -> Iterator[str]:
    """Commands that follow one another share a block."""
    before = ""
    for line in text.strip().split("\n"):
        kind = "command" if line.startswith("$ ") else "words" if line.strip() else ""
        if before == "command" and kind != "command":
            yield "```"
        if kind == "command" and before != "command":
            yield from ("", "```sh")
        if kind == "words" and before != "words":
            yield ""
        if kind:
            yield line[2:] if kind == "command" else _escaped(line)
        before = kind
    if before == "command":
        yield "```"


def _name(name: str) -> str:
    return f"[{name}]({name}.md)" if name in catalogue.causes() else name


def _escaped(text: str) -> str:
    """Nothing in it is markup but what stands between backticks."""
    parts = _CODE.split(text)
    return "".join(part if at % 2 else _SPECIAL.sub(r"\\\1", part) for at, part in enumerate(parts))
