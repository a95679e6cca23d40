"""The self-test as text or JSON: the verdict, then one line for each fact, with what to do about it."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from dropwatch.model.fact import Fact
from dropwatch.render.layout import Layout
from dropwatch.render.lines import machine
from dropwatch.render.lines.write import line

_WORDS = {True: "ok", False: "no", None: "?"}
_COLOURS = {True: "dim", False: "red", None: "yellow"}


def check_text(facts: Sequence[Fact], can_run: bool, layout: Layout) -> str:
    """The verdict, and a table, in which families of probes that work, or fail, for one reason are one row."""
    verdict, colour = _verdict(facts, can_run, layout.width)
    lines = [layout.paint(line, "bold", *colour) for line in layout.paragraph(verdict)]
    lines.append("")
    rows = _together(facts)
    width = max((len(fact.name) for fact in rows), default=0) + 2
    for fact in rows:
        word = _WORDS[fact.works]
        head = f"  {word:<4}{fact.name:<{width}}"
        fact_lines = layout.paragraph(fact.text, head, " " * len(head))
        if fact.todo:
            fact_lines += layout.paragraph(fact.todo, f"{'':{len(head)}}-> ", " " * (len(head) + 3))
        fact_lines[0] = fact_lines[0].replace(word, layout.paint(word, _COLOURS[fact.works]), 1)
        lines += fact_lines
    return "\n".join(lines) + "\n"


def check_json(facts: Sequence[Fact], can_run: bool, can_explain: bool) -> str:
    """One object: `works` for a live run, `complete` for every family of probes, and each fact as it is."""
    found = tuple(machine.Fact(**asdict(fact)) for fact in facts)
    return line(machine.Check(works=can_run, complete=can_explain, facts=found))


def _together(facts: Sequence[Fact]) -> list[Fact]:
    """In their order; the JSON has each by itself."""
    alike: dict[tuple[bool | None, str, str | None], list[Fact]] = {}
    for fact in facts:
        if fact.probe:
            alike.setdefault((fact.works, _why(fact), fact.todo), []).append(fact)
    rows: list[Fact] = []
    for fact in facts:
        same = alike.get((fact.works, _why(fact), fact.todo), []) if fact.probe else []
        if len(same) < 2:
            rows.append(fact)
        elif same[0] is fact:
            names = ", ".join(one.name for one in same)
            rows.append(replace(fact, name=f"{len(same)} families", text=f"{names}: {_why(fact)}"))
    return rows


def _why(fact: Fact) -> str:
    """What a family has in common with others."""
    if fact.works and fact.text.startswith("kprobes on ") and "; not on " not in fact.text:
        return "their kprobes can be attached"
    return fact.text.partition(": ")[2] if fact.text.startswith("no kprobe on ") else fact.text


def _verdict(facts: Sequence[Fact], can_run: bool, width: int) -> tuple[str, tuple[str, ...]]:
    """In one line, and its colour."""
    if not can_run:
        missing = [fact.name for fact in facts if fact.vital and fact.works is False]
        unclear = [fact.name for fact in facts if fact.vital and fact.works is None]
        if missing:
            return _named("whydrop cannot run here:", missing, width), ("red",)
        return _named("whether whydrop can run here is not known:", unclear, width), ("yellow",)
    less = [fact.name for fact in facts if not fact.vital and fact.works is False]
    if less:
        return _named("whydrop works here, but without", less, width), ("yellow",)
    return "whydrop works here, with all that it can see", ()


def _named(words: str, names: Sequence[str], width: int) -> str:
    """With as many of the names as a line has room for: the first are those to look at first."""
    for count in range(len(names), 1, -1):
        rest = f" and {len(names) - count} more" if count < len(names) else ""
        text = f"{words} {', '.join(names[:count])}{rest}"
        if len(text) <= width:
            return text
    rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{words} {''.join(names[:1])}{rest}"
