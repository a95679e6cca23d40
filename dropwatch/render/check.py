"""The self-test as text or JSON: one line for each fact, with what to do about it."""

from collections.abc import Sequence
from dataclasses import asdict

from dropwatch.model.fact import Fact
from dropwatch.render.layout import Layout
from dropwatch.render.lines import machine
from dropwatch.render.lines.write import line

_WORDS = {True: "ok", False: "no", None: "?"}
_COLOURS = {True: "dim", False: "red", None: "yellow"}
_NAME_WIDTH = 16


def check_text(facts: Sequence[Fact], can_run: bool, layout: Layout) -> str:
    """A table, and one sentence that sums it up."""
    lines = []
    for fact in facts:
        word = _WORDS[fact.works]
        head = f"  {word:<4}{fact.name:<{_NAME_WIDTH}}"
        fact_lines = layout.paragraph(fact.text, head, " " * len(head))
        if fact.todo:
            fact_lines += layout.paragraph(fact.todo, f"{'':{len(head)}}-> ", " " * (len(head) + 3))
        fact_lines[0] = fact_lines[0].replace(word, layout.paint(word, _COLOURS[fact.works]), 1)
        lines += fact_lines
    return "\n".join([*lines, "", *layout.paragraph(_summary(facts, can_run))]) + "\n"


def check_json(facts: Sequence[Fact], can_run: bool, can_explain: bool) -> str:
    """One object: `works` for a live run, `complete` for every family of probes, and each fact as it is."""
    found = tuple(machine.Fact(**asdict(fact)) for fact in facts)
    return line(machine.Check(works=can_run, complete=can_explain, facts=found))


def _summary(facts: Sequence[Fact], can_run: bool) -> str:
    if not can_run:
        missing = ", ".join(fact.name for fact in facts if fact.vital and fact.works is False)
        unknown = ", ".join(fact.name for fact in facts if fact.vital and fact.works is None)
        return f"whydrop cannot watch this machine: {missing or f'unclear: {unknown}'}"
    less = ", ".join(fact.name for fact in facts if not fact.vital and fact.works is False)
    return "whydrop can watch this machine" + (f", but without: {less}" if less else "")
