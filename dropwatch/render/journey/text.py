"""The way of a packet, one line for each thing that it met, and how it ended."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Frame, Interface, Netns
from dropwatch.model.journey import Journey, NetfilterAnswer, Step
from dropwatch.names import symbols
from dropwatch.names.foreign import printable
from dropwatch.render.finding import packet_words, phrases
from dropwatch.render.finding.text import TextRenderer
from dropwatch.render.layout import Layout

_NARROWEST = 40
_LEAST_FOR_WORDS = 28  # columns; with fewer the words get lines of their own
_WIDEST_NETNS = 12
_WIDEST_IFACE = 15
_BELOW = " " * 6
_BEFORE_TAPS = frozenset({"do_xdp_generic", "netif_receive_generic_xdp", "skb_vlan_untag"})
_END_COLOURS = {"dropped": ("bold", "red"), "open": ("bold", "yellow")}
_BAD_VERDICTS = frozenset({"drop", "stolen", "queue"})
_TOOLS = {"ip6": "ip6tables", "arp": "arptables", "bridge": "ebtables"}


@dataclass(frozen=True, slots=True)
class Piece:
    """Words in one colour. `whole`: never spread over two lines."""

    text: str
    colours: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    """The columns before the words of a step. Namespace and interface are empty where they are as in the row before."""

    number: str
    time: str
    since: str
    netns: str
    iface: str


class JourneyText:
    """Journeys for people. Times are milliseconds since the first step, and since the step before."""

    def __init__(self, layout: Layout, own_netns: int | None = None, *, stack: bool = False) -> None:
        """With `stack` a finding has the kernel's stack."""
        self._layout = layout
        self._own_netns = own_netns
        self._text = TextRenderer(layout, stack=stack, own_netns=own_netns)

    def journey(self, journey: Journey, now: float) -> str:
        lines = [*self.head(journey), *self._steps(journey.steps), *self.ending(journey), ""]
        return "\n".join(lines) + "\n"

    def head(self, journey: Journey) -> list[str]:
        """Which packet, and when it was met first (local time)."""
        packet = journey.packet
        time = f"at {datetime.fromtimestamp(journey.time):%H:%M:%S.%f}"
        particulars = packet_words.particulars(packet, everything=True)
        parts = (packet_words.packet_said(packet), particulars, time)
        first, *rest = self._layout.parts(parts, f"PACKET {journey.number}  ", "    ")
        return [self._layout.paint(first, "bold"), *rest]

    def ending(self, journey: Journey, *, numbered: bool = True) -> list[str]:
        """How it ended, what a sniffer saw of it, and the finding. `numbered`: steps have numbers for the reader."""
        layout, label = self._layout, journey.end.upper()
        first, *rest = layout.paragraph(journey.end_text, f"  {label}  ", "    ")
        painted = layout.paint(label, *_END_COLOURS.get(journey.end, ("bold",)))
        lines = [first.replace(label, painted, 1), *rest]
        if journey.end == "dropped":
            lines += layout.paragraph(self._sniffed(journey, numbered), "    ")
        if journey.finding is not None:
            return [*lines, *self._text.headline(journey.finding), *self._text.verdict(journey.finding)]
        if journey.process is not None and str(journey.process.pid) not in journey.end_text:
            lines += layout.labelled("TASK", f"{journey.process.comm} (pid {journey.process.pid})")
        return lines

    def netns_words(self, netns: Netns | None) -> str:
        """`b`, the inode number of one without a name, `(own)`, `?`."""
        if netns is None:
            return "?"
        return netns.name or ("(own)" if netns.inode == self._own_netns else str(netns.inode))

    def netns_phrase(self, netns: Netns | None) -> str:
        """`netns b`, `own netns`, `unknown netns`."""
        name = self.netns_words(netns)
        return {"(own)": "own netns", "?": "unknown netns"}.get(name, f"netns {name}")

    def _steps(self, steps: tuple[Step, ...]) -> Iterator[str]:
        shown = [(number, step) for number, step in enumerate(steps, 1) if _says_something(step)]
        rows = list(self._rows(shown))
        widths = _widths(rows)
        column = sum(widths) + 2 * sum(1 for width in widths if width)
        beside = max(self._layout.width, _NARROWEST) - column >= _LEAST_FOR_WORDS
        for row, (_, step) in zip(rows, shown, strict=True):
            before = self._before(row, widths)
            width = sum(len(piece.text) for piece in before)
            pieces = step_pieces(step)
            if beside and width <= column:
                yield from wrapped(self._layout, before, pieces, " " * column)
            else:
                yield self._painted(before).rstrip()
                yield from wrapped(self._layout, (Piece(_BELOW),), pieces, _BELOW + "  ")
            if step.changed:
                room = " " * column if beside else _BELOW
                for line in self._layout.paragraph(changed_words(step.changed), f"{room}  "):
                    yield self._layout.paint(line, "yellow")

    def _rows(self, steps: Iterable[tuple[int, Step]]) -> Iterator[_Row]:
        before: Step | None = None
        for number, step in steps:
            moved = before is None or before.netns != step.netns
            yield _Row(
                str(number),
                f"{step.seconds * 1000:.3f} ms",
                f"{(step.seconds - before.seconds) * 1000:+.3f}" if before is not None else "",
                printable(self.netns_words(step.netns)) if moved else "",
                printable(iface_words(step.iface))
                if moved or (before is not None and before.iface != step.iface)
                else "",
            )
            before = step

    def _before(self, row: _Row, widths: tuple[int, ...]) -> tuple[Piece, ...]:
        number, time, since, netns, iface = widths
        places = [
            Piece(f"{name:<{width}}  ", ("bold", "cyan"))
            for name, width in ((row.netns, netns), (row.iface, iface))
            if width
        ]
        numbers = Piece(f"{row.number:>{number}}  ", ("dim",)), Piece(f"{row.time:>{time}}  ")
        return (*numbers, *([Piece(f"{row.since:>{since}}  ", ("dim",))] if since else ()), *places)

    def _painted(self, pieces: Iterable[Piece]) -> str:
        return "".join(painted(self._layout, piece.text, piece.colours) for piece in pieces)

    def _sniffed(self, journey: Journey, numbered: bool) -> str:
        """What a capture has of a dropped packet."""
        steps = journey.steps
        if not steps:
            return "whether a capture sees it is not known: no step was seen before it was dropped"
        taps = [(number, step) for number, step in enumerate(steps, 1) if step.tap]
        early = ""
        if taps and taps[-1][1].kind == "receive" and _died_before_the_tap(journey):
            early = f" (it died on {iface_words(taps.pop()[1].iface)} before the tap there)"
        if not taps and not early and steps[0].kind == "call":  # from the socket on: no device had it before
            return "no capture sees it: it died before the first interface's tap"
        if not taps:
            return f"no capture sees it from its first step here until it died{early}"
        several = len({step.netns for _, step in taps}) > 1
        found: dict[str, str] = {}
        for number, step in taps:
            name = iface_words(step.iface)
            name += f" in {self.netns_phrase(step.netns)}" if several else ""
            notes = [f"step {number}"] if numbered else []
            notes += [f"copy {step.copy}"] if step.copy else []
            found.setdefault(name, name + (f" ({', '.join(notes)})" if notes else ""))
        *others, last = found.values()
        names = f"{', '.join(others)} or {last}" if others else last
        return f"a capture on {names} sees it; it died after that{early}"


def _died_before_the_tap(journey: Journey) -> bool:
    """In what __netif_receive_skb_core (net/core/dev.c) does between its tracepoint and the sniffers."""
    if journey.finding is None:
        return False
    return any(
        symbols.base_name(frame.function or "") in _BEFORE_TAPS for frame in journey.finding.drop.stack
    )


def _says_something(step: Step) -> bool:
    """The end of a call seldom does: what is known of it stands with the call."""
    return step.kind != "return" or bool(step.text or step.changed)


def _widths(rows: Iterable[_Row]) -> tuple[int, ...]:
    """Of number, time, since, namespace, interface; 0 for a column that says nothing."""
    number = time = since = netns = iface = 0
    only_own = True
    for row in rows:
        number, time = max(number, len(row.number) + 2), max(time, len(row.time))
        since = max(since, len(row.since))
        netns, iface = max(netns, len(row.netns)), max(iface, len(row.iface))
        only_own = only_own and row.netns in ("", "(own)")
    return number, time, since, 0 if only_own else min(netns, _WIDEST_NETNS), min(iface, _WIDEST_IFACE)


def painted(layout: Layout, text: str, colours: tuple[str, ...]) -> str:
    """The text in these colours, the blanks at its end left out of them."""
    bare = text.rstrip(" ")
    return (layout.paint(bare, *colours) if colours else bare) + text[len(bare) :]


def wrapped(layout: Layout, before: Iterable[Piece], pieces: Iterable[Piece], room: str) -> list[str]:
    """Lines: what stands `before` as it is, then the pieces, two columns apart; further lines begin with `room`."""
    most = max(layout.width, _NARROWEST)
    line = [(piece.text, piece.colours) for piece in before]
    column, lines, gap = sum(len(text) for text, _ in line), [], ""
    for piece in pieces:
        text = printable(piece.text)
        for place, unit in enumerate([text] if piece.whole else text.split(" ")):
            gap = " " if place else gap
            if gap and column + len(gap) + len(unit) > most:
                lines.append(line)
                line, column, gap = [(room, ())], len(room), ""
            column += len(gap) + len(unit)
            if place and gap:
                line[-1] = (f"{line[-1][0]} {unit}", piece.colours)
            else:
                line += [(gap, ()), (unit, piece.colours)]
            gap = "  "
    runs = [*lines, line]
    return ["".join(painted(layout, *run) for run in line).rstrip() for line in runs]


def step_pieces(step: Step) -> Iterator[Piece]:
    """What the step was, the function, the fields, and whether sniffers see the packet there."""
    text, function = step_words(step), function_words(step.frame)
    yield Piece(f"copy {step.copy}: {text}" if step.copy else text, ("bold", "red") if is_bad(step) else ())
    if function and function != text and step.answer is None:
        yield Piece(function, ("dim",))
    yield from field_pieces(step)
    if step.tap:
        yield Piece(tap_words(step.iface), ("bold", "yellow"), whole=True)


def is_bad(step: Step) -> bool:
    """A chain or a table did not let it pass."""
    return step.answer is not None and step.answer.verdict in _BAD_VERDICTS


def field_pieces(step: Step) -> Iterator[Piece]:
    """`len=84 gso_size=?`, nothing when none were asked for."""
    if step.fields:
        values = [f"{name}={'?' if value is None else value}" for name, value in step.fields]
        yield Piece(" ".join(values))


def step_words(step: Step) -> str:
    """The answer of a chain, or the step's own words, or at least the function."""
    if step.answer is not None:
        return answer_words(step.answer)
    return step.text or function_words(step.frame) or step.kind


def answer_words(answer: NetfilterAnswer) -> str:
    """`nftables inet filter.input: accept`, `ip6tables nat.PREROUTING: accept`.

    A chain whose name does not tell its hook: `nftables ip t.c: drop (hook input)`.
    """
    tool = f"nftables {answer.family}" if answer.family else "nftables"
    if answer.engine == "iptables":
        tool = _TOOLS.get(answer.family or "", "iptables")
    name = answer.table if answer.chain is None else f"{answer.table}.{answer.chain}"
    obvious = answer.hook is None or (answer.chain or "").lower() == answer.hook
    return f"{tool} {name}: {answer.verdict}" + ("" if obvious else f" (hook {answer.hook})")


def function_words(frame: Frame) -> str:
    """`ip_rcv`, `nft_do_chain [nf_tables]`, `tcp_v4_rcv+0x1df`; nothing for a place without a name."""
    if frame.function is None:
        return ""
    if frame.offset:
        return phrases.place(frame)
    return f"{frame.function} [{frame.module}]" if frame.module else frame.function


def iface_words(iface: Interface | None) -> str:
    """`va`, `interface 3` where the name is not known, `-` where the packet is on none."""
    if iface is None:
        return "-"
    return iface.name or f"interface {iface.index}"


def tap_words(iface: Interface | None) -> str:
    """`[tcpdump -i va]`."""
    return f"[tcpdump -i {iface.name}]" if iface is not None and iface.name else "[tcpdump]"


def changed_words(changed: str) -> str:
    """`now 10.9.2.1:5000 > 10.9.0.2:80`."""
    return changed if "now " in changed else f"now {changed}"
