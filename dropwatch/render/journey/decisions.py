"""The way of a packet on one screen: what was decided about it, and how it ended; the steps between are left to -v."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Interface, Netns
from dropwatch.model.journey import Journey, Step
from dropwatch.names import symbols
from dropwatch.names.foreign import printable
from dropwatch.render.journey.text import (
    JourneyText,
    Piece,
    answer_words,
    changed_words,
    iface_words,
    is_bad,
    step_words,
    wrapped,
)
from dropwatch.render.layout import Layout

_SCREEN = 24  # lines
_FIRST, _LAST = 2, 4  # lines of the way that stay, whatever else has no room
_LEAST_FOR_WORDS = 40  # columns
_LEAVES = "leaves"
_ACCEPTS = "accept"
_Fields = tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """What one line, or more, says. `also` are further answers of tables and chains that let it pass there.

    `changed`: it says what the packet became.
    """

    step: Step
    pieces: tuple[Piece, ...]
    also: tuple[Step, ...] = ()
    changed: bool = False


class JourneyDecisions:
    """Journeys for people who want to know where a packet went, and why. Times are ms since the first step."""

    def __init__(self, layout: Layout, own_netns: int | None = None, *, stack: bool = False) -> None:
        self._layout = layout
        self._text = JourneyText(layout, own_netns, stack=stack)

    def journey(self, journey: Journey, now: float) -> str:
        head, ending = self._text.head(journey), self._text.ending(journey, numbered=False)
        room = _SCREEN - len(head) - len(ending) - 1
        return "\n".join([*head, *self._way(list(rows(journey.steps)), room), *ending, ""]) + "\n"

    def _way(self, rows: Sequence[Row], room: int) -> Iterator[str]:
        """All rows where there is room, else those that matter; and of very many the first and the last."""
        lines = self._lines(rows)
        if sum(map(len, lines)) > room:
            lines = self._lines([row for row in rows if not _is_minor(row, rows[-1].step.copy)])
            room -= 1
        first, last = _ends(lines, room)
        yield from chain(*lines[:first])
        if last > first:
            yield "  ..."
        yield from chain(*lines[last:])
        left_out = len(rows) - len(lines) + max(0, last - first)
        if left_out:
            yield f"  ({left_out} more with -v)"

    def _lines(self, rows: Sequence[Row]) -> list[list[str]]:
        """Of each row."""
        places = [self._place(before, row.step) for before, row in zip([None, *rows], rows, strict=False)]
        time = max((len(_time(row.step)) for row in rows), default=0)
        widths = [max((len(place[column]) for place in places), default=0) for column in (0, 1)]
        column = 2 + time + 2 + sum(width + 2 for width in widths if width)
        beside = self._layout.width - column >= _LEAST_FOR_WORDS
        way = []
        for row, place in zip(rows, places, strict=True):
            before = [Piece(f"  {_time(row.step):>{time}}  ", ("dim",))]
            above = []
            if beside:
                cells = [f"{name:<{width}}  " for name, width in zip(place, widths, strict=True) if width]
                before += [Piece(cell, ("bold", "cyan")) for cell in cells]
            elif any(place):
                above = [self._layout.paint(f"  {' '.join(filter(None, place))}", "bold", "cyan")]
            room = " " * (column if beside else 4)
            way.append([*above, *wrapped(self._layout, before, row.pieces, room)])
        return way

    def _place(self, before: Row | None, step: Step) -> tuple[str, str]:
        """Namespace and interface, each where it is another than in the row before."""
        was: tuple[Netns | None, Interface | None] = (None, None)
        if before is not None:
            was = before.step.netns, before.step.iface
        moved = before is None or was[0] != step.netns
        netns = printable(self._text.netns_words(step.netns)) if moved else ""
        iface = printable(iface_words(step.iface)) if moved or was[1] != step.iface else ""
        return "" if netns == "(own)" and before is None else netns, iface


def rows(steps: Iterable[Step]) -> Iterator[Row]:
    """Answers that let the packet pass in one place, one after the other, are one row."""
    held: Row | None = None
    fields: dict[int, _Fields] = {}  # as they were told last, by copy
    for step in steps:
        news = _news(fields.get(step.copy, ()), step.fields)
        for row in _rows_of(step, news):
            fields[step.copy] = step.fields
            passed = step.answer is not None and step.answer.verdict == _ACCEPTS and row.step is step
            if held is not None and passed and not news and _same_place(held.step, step):
                held = replace(held, also=(*held.also, step))
                continue
            if held is not None:
                yield _with_others(held)
            held = row if passed else None
            if held is None:
                yield row
    if held is not None:
        yield _with_others(held)


def _news(before: _Fields, now: _Fields) -> tuple[Piece, ...]:
    """Those fields that are not as they were; one that could not be read is no news."""
    known = dict(before)
    values = [f"{name}={value}" for name, value in now if value is not None and known.get(name) != value]
    return (Piece(" ".join(values)),) if values else ()


def _rows_of(step: Step, news: tuple[Piece, ...]) -> Iterator[Row]:
    """What the step changed, and the step itself, if it was a decision."""
    copy = f"copy {step.copy}: " if step.copy else ""
    if step.changed:
        yield Row(step, (Piece(f"{copy}{changed_words(step.changed)}", ("yellow",)),), changed=True)
    if not _decides(step):
        return
    words = _LEAVES if step.kind == "transmit" else step_words(step)
    yield Row(step, (Piece(f"{copy}{words}", ("bold", "red") if is_bad(step) else ()), *news))


def _decides(step: Step) -> bool:
    if step.kind in ("receive", "transmit", "verdict"):
        return True
    if step.kind != "call":
        return False
    known = symbols.function(step.frame.function)
    return known is None or known.step is None or known.decision  # what is no landmark was asked for by name


def _with_others(row: Row) -> Row:
    if not row.also:
        return row
    answers = [step.answer for step in (row.step, *row.also) if step.answer is not None]
    names = [answer_words(answer).replace(f": {_ACCEPTS}", "") for answer in answers]
    return Row(row.step, (Piece(f"accepted by {', '.join(names)}"), *row.pieces[1:]))


def _is_minor(row: Row, last_copy: int) -> bool:
    """It was let pass, or is of a copy that did not get to the end: the others say what became of the packet."""
    answer = row.step.answer
    passed = answer is not None and answer.verdict == _ACCEPTS and not row.changed
    return passed or row.step.copy not in (0, last_copy)


def _same_place(one: Step, other: Step) -> bool:
    return (one.netns, one.iface, one.copy) == (other.netns, other.iface, other.copy)


def _ends(lines: Sequence[list[str]], room: int) -> tuple[int, int]:
    """How many rows from the beginning, and from which on to the end, have room. What is near the end matters most."""
    if sum(map(len, lines)) <= room or len(lines) <= _FIRST + _LAST:
        return len(lines), len(lines)
    first, last = _FIRST, len(lines) - _LAST
    used = sum(map(len, (*lines[:first], *lines[last:]))) + 1
    while last > first + 1 and used + len(lines[last - 1]) <= room:
        last -= 1
        used += len(lines[last])
    return first, last


def _time(step: Step) -> str:
    return f"{step.seconds * 1000:.3f} ms"
