"""One dropped packet in full: the diagnosis, then its headers, its bytes, the kernel's stack, and what was observed."""

from collections.abc import Callable, Iterable, Iterator

from dropwatch.model.drop import Event, Finding, Frame, Totals
from dropwatch.model.header import Header
from dropwatch.model.resent import Lost
from dropwatch.names import symbols
from dropwatch.render.finding import phrases
from dropwatch.render.finding.hexdump import hexdump
from dropwatch.render.finding.notes import notes_text
from dropwatch.render.finding.observed import observed
from dropwatch.render.finding.text import TextRenderer
from dropwatch.render.layout import Layout

_Stack = tuple[Frame, ...]
HeadersOf = Callable[[Event], tuple[Header, ...]]

_MOST_STACKS = 4096
_ROW = 12  # columns for the name of a row
_HERE = "  ==> "
_FRAME = "      "


class StackPage:
    """Findings for people who want all of it. `headers_of` reads the packet; `numbered` when there may be several.

    A stack that was shown before is not shown again: the page says with which packet it was.
    """

    def __init__(
        self, layout: Layout, headers_of: HeadersOf, *, numbered: bool = False, own_netns: int | None = None
    ) -> None:
        self._layout = layout
        self._headers_of = headers_of
        self._numbered = numbered
        self._text = TextRenderer(layout, verbose=1, own_netns=own_netns)
        self._stacks: dict[_Stack, tuple[int, _Stack]] = {}
        self._told = 0

    def finding(self, finding: Finding, now: float) -> str:
        self._told += 1
        headers = self._headers_of(finding.drop.event)
        lines = [
            *([self._layout.paint(f"PACKET {self._told}", "bold")] if self._numbered else []),
            *self._text.headline(finding),
            *self._text.verdict(finding),
            *self._section("HEADERS", _extent(finding), self._headers(headers)),
            *self._section("BYTES", "", hexdump(finding.drop.event.packet, headers, self._layout)),
            *self._stack(finding),
            *self._section("OBSERVED", "", self._observed(finding)),
            "",
        ]
        return "\n".join(lines) + "\n"

    def tick(self, now: float) -> str:
        return ""

    def sent_again(self, lost: Lost, now: float) -> str:
        return self._text.sent_again(lost, now)

    def end(self, totals: Totals, now: float) -> str:
        return ""

    def _section(self, heading: str, text: str, lines: Iterable[str]) -> Iterator[str]:
        """A heading with words beside it, then the lines; nothing at all when there are neither."""
        body = list(lines)
        if body or text:
            first, *rest = self._layout.paragraph(text, f"{heading}  ", "  ")
            yield ""
            yield first.replace(heading, self._layout.paint(heading, "bold"), 1)
            yield from rest
            yield from body

    def _headers(self, headers: Iterable[Header]) -> Iterator[str]:
        for header in headers:
            head = f"  {'  ' * header.depth}{header.name}{' (quoted)' if header.quoted else ''}"
            yield self._layout.paint(head, "cyan") + f"  at {header.offset}, {_bytes(header.length)}"
            room = "  " * (header.depth + 3)
            parts = [f"{name.replace('_', ' ')} {value}" for name, value in header.fields]
            if parts:
                yield from self._layout.parts(parts, room, room)
            if header.error:
                yield from self._layout.paragraph(f"stopped here: {header.error}", room)

    def _stack(self, finding: Finding) -> Iterator[str]:
        stack = finding.drop.stack
        own = _own_part(stack)
        number, before = self._stacks.get(own, (self._told, stack))
        if own not in self._stacks and len(self._stacks) < _MOST_STACKS:
            self._stacks[own] = (self._told, stack)
        if not stack:
            return self._section("STACK", "the kernel gave none", ())
        if number == self._told:
            told = "innermost first; ==> is where the packet was given up"
            return self._section("STACK", told, self._frames(finding))
        other = "" if before == stack else "; what the softirq interrupted was something else"
        return self._section("STACK", f"as of packet {number}{other}", ())

    def _frames(self, finding: Finding) -> Iterator[str]:
        stack = finding.drop.stack
        for at, frame in enumerate(stack):
            place, here = phrases.place(frame), at == 0  # Drop.where is the first frame
            yield f"{_HERE}{self._layout.paint(place, 'bold')}" if here else f"{_FRAME}{place}"
            for text in _frame_words(frame, here):
                yield from self._layout.paragraph(text, f"{_FRAME}    ")
            if _is_softirq(frame) and at + 1 < len(stack) and not _is_softirq(stack[at + 1]):
                yield from self._layout.paragraph(_interrupted(finding.drop.event), "  --- ")

    def _observed(self, finding: Finding) -> Iterator[str]:
        for name, text in [*observed(finding), *notes_text(finding.drop.event)]:
            if len(name) < _ROW:
                yield from self._layout.paragraph(text, f"  {name:<{_ROW}}")
            else:
                yield f"  {name}"
                yield from self._layout.paragraph(text, " " * (_ROW + 2))


def _is_softirq(frame: Frame) -> bool:
    return symbols.base_name(frame.function or "") in symbols.SOFTIRQ


def _own_part(stack: _Stack) -> _Stack:
    """The frames that are the packet's own: up to where the softirq began, all of them outside of one."""
    at = next((at for at, frame in enumerate(stack) if _is_softirq(frame)), len(stack))
    return stack[:at]


def _interrupted(event: Event) -> str:
    return (
        "the softirq began here; below is what this CPU was doing then, which need not have to do with the "
        f"packet (task {event.comm or 'unknown'}, pid {event.pid})"
    )


def _frame_words(frame: Frame, here: bool) -> Iterator[str]:
    known = symbols.function(frame.function)
    if known is not None:
        yield known.text
    if here and frame.function is not None:
        yield f"The decision fell {_bytes(frame.offset)} into it, or in what the compiler put into it there."


def _extent(finding: Finding) -> str:
    """How much of the packet the record has."""
    event, packet = finding.drop.event, finding.drop.packet
    captured = f"{_bytes(len(event.packet))} from the network header on"
    whole = packet.length or event.length
    if not event.packet:
        return "no byte of the packet could be read"
    if len(event.packet) < whole:
        captured += f" of {whole}"
    ethertype = f"ethertype 0x{event.protocol:04x}" if event.protocol else "no ethertype yet"
    return f"{captured}; the link header before it is not in the record ({ethertype})"


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"
