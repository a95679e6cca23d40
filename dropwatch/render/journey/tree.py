"""The calls that one packet went through, as a tree: what ftrace's function_graph shows, for this packet only."""

import errno
from collections.abc import Iterable, Iterator

from dropwatch.model.drop import Interface, Netns
from dropwatch.model.journey import Journey, Step
from dropwatch.render.journey.text import (
    JourneyText,
    Piece,
    answer_words,
    changed_words,
    field_pieces,
    function_words,
    iface_words,
    step_words,
    tap_words,
    wrapped,
)
from dropwatch.render.layout import Layout

_NUMBER = 10  # columns of a duration
_GUTTER = " " * (_NUMBER + 3) + " |  "
_LEAST_FOR_A_CALL = 40  # columns that indentation leaves at least
_LARGEST_ERRNO = 4095  # MAX_ERRNO, include/linux/err.h
# Python has another name first where two share a number.
_ERRNO_NAMES = dict(errno.errorcode) | {errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EDEADLK: "EDEADLK"}


class JourneyTree:
    """Journeys as call trees. Durations are microseconds, with everything that was called inside."""

    def __init__(self, layout: Layout, own_netns: int | None = None, *, stack: bool = False) -> None:
        self._layout = layout
        self._text = JourneyText(layout, own_netns, stack=stack)
        self._deepest = max(0, (layout.width - len(_GUTTER) - _LEAST_FOR_A_CALL) // 2)

    def journey(self, journey: Journey, now: float) -> str:
        ending = self._text.ending(journey, numbered=False)
        return "\n".join([*self._text.head(journey), *self._tree(journey.steps), *ending, ""]) + "\n"

    def _tree(self, steps: Iterable[Step]) -> Iterator[str]:
        here: tuple[Netns | None, Interface | None, int] | None = None
        for step in steps:
            if step.kind != "return" and here != (step.netns, step.iface, step.cpu):
                here = (step.netns, step.iface, step.cpu)
                yield from self._place(step)
            if step.kind == "call":
                yield from self._call(step)
            elif step.kind != "return":
                yield from self._comment(step, _with_copy(step, step_words(step)), tap=step.tap)
            if step.changed:
                yield from self._comment(step, changed_words(step.changed))

    def _place(self, step: Step) -> Iterator[str]:
        iface = [iface_words(step.iface)] if step.iface is not None else []
        words = ", ".join([self._text.netns_phrase(step.netns), *iface, f"cpu {step.cpu}"])
        for line in self._layout.paragraph(f"------ {words} ------", " ", " "):
            yield self._layout.paint(line, "bold", "cyan")

    def _call(self, step: Step) -> Iterator[str]:
        number = "" if step.duration is None else f"{step.duration * 1e6:.3f} us"
        before = Piece(f"{number:>{_NUMBER + 3}} |  ", ("dim",)), Piece(self._indent(step))
        pieces = [Piece(_with_copy(step, function_words(step.frame) or f"0x{step.frame.address:x}"))]
        if step.returned:
            pieces.append(Piece(f"= {_value(step.returned)}", ("yellow",), whole=True))
        pieces += field_pieces(step)
        if step.tap:
            pieces.append(Piece(tap_words(step.iface), ("bold", "yellow"), whole=True))
        yield from wrapped(self._layout, before, pieces, f"{_GUTTER}{self._indent(step)}    ")
        if step.answer is not None:
            yield from self._comment(step, answer_words(step.answer))

    def _comment(self, step: Step, text: str, *, tap: bool = False) -> Iterator[str]:
        """`/* words */` where a call of this depth would stand."""
        pieces = [Piece(f"/* {text}", ("cyan",))]
        if step.kind not in ("call", "return"):
            pieces += field_pieces(step)
        if tap:
            pieces.append(Piece(tap_words(step.iface), ("bold", "yellow"), whole=True))
        *others, last = pieces
        pieces = [*others, Piece(f"{last.text} */", last.colours, last.whole)]
        before = Piece(_GUTTER, ("dim",)), Piece(self._indent(step))
        yield from wrapped(self._layout, before, pieces, f"{_GUTTER}{self._indent(step)}   ")

    def _indent(self, step: Step) -> str:
        return "  " * min(step.depth, self._deepest)


def _with_copy(step: Step, text: str) -> str:
    return f"copy {step.copy}: {text}" if step.copy else text


def _value(returned: int) -> str:
    """`-EPERM` for what can be an errno, otherwise the number."""
    name = _ERRNO_NAMES.get(-returned) if -_LARGEST_ERRNO <= returned < 0 else None
    return f"-{name}" if name else str(returned)
