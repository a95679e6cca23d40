"""What a run makes of its findings: each shown by itself, or all of them a summary, or the end of a journey."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol

from dropwatch.model.drop import Drop, Event, Finding, Totals
from dropwatch.model.journey import Journey, RawStep
from dropwatch.model.kept import Window
from dropwatch.model.resent import Lost
from dropwatch.model.summary import Summary
from dropwatch.recording.start import End
from dropwatch.run.pipeline import Matching

if TYPE_CHECKING:
    from dropwatch.probe.attach_trace import Follow


PATIENCE_MS = 100
FIRST_OF_A_SORT = 100  # equal drops that are told one by one, in a second on a CPU


class Renderer(Protocol):
    """Findings become text. `now` is a clock in seconds that only goes forward."""

    def finding(self, finding: Finding, now: float) -> str: ...
    def tick(self, now: float) -> str: ...
    def end(self, totals: Totals, now: float) -> str: ...
    def sent_again(self, lost: Lost, now: float) -> str: ...


class Probes(Protocol):
    """What the probes have beside Events. Steps of before `read_until_ns`, on the monotonic clock, have all come."""

    read_until_ns: int

    def rows(self) -> dict[bytes, int]: ...
    def flows(self) -> list[tuple[bytes, int]]: ...
    def take_steps(self) -> list[RawStep]: ...


class Mode:
    """The protocol of every mode, and the mode that shows each finding by itself, with the renderer that it has.

    Plain findings, a stack and folded stacks are this one; a summary and a trace say otherwise where they differ.
    """

    watched: ClassVar[str] = "dropped"  # of the packets that fit the filter
    shows_findings: ClassVar[bool] = True  # by themselves
    judges_all: ClassVar[bool] = False  # what is known to be harmless is a finding as well
    counts_in_kernel: ClassVar[bool] = False  # the probes count, and only some drops come as Events
    patience_ms: ClassVar[int] = PATIENCE_MS  # how long the next drop is waited for, and so what is due
    follow: "Follow | None" = None  # what the probes are to follow on its way

    def __init__(self, renderer: Renderer, first_of_a_sort: int = 0) -> None:
        """Of equal drops so many of a second are shown by themselves, the others with a count; 0: all."""
        self._renderer, self.first_of_a_sort = renderer, first_of_a_sort

    def matching(self, by_filter: Matching) -> Matching:
        """How a drop fits the run, by how it fits the filter."""
        return by_filter

    def begin(self, probes: Probes, named: Callable[[Event], Drop]) -> None:
        """The probes are attached, and nobody has been told so. `named` gives an Event its names."""

    def take(self, event: Event, finding: Finding | None) -> Finding | None:
        """An Event that was judged. Gives back what is to be shown by itself."""
        return finding

    def finding(self, finding: Finding, now: float) -> str:
        """The text of what take() gave back."""
        return self._renderer.finding(finding, now)

    def gathered(self, item: Summary | Journey | Window, now: float) -> str:
        """The text of a summary, a journey or a window from a recording; nothing where findings are shown instead."""
        return ""

    def sent_again(self, lost: Lost, now: float) -> str:
        """The text of a connection that sends again what died here, when that is new."""
        return self._renderer.sent_again(lost, now)

    def tick(self, now: float) -> str:
        """What is due at this time."""
        return self._renderer.tick(now)

    def finish(self) -> str:
        """What is left. The probes are gone, and everything was read."""
        return ""

    def totals(self, totals: Totals) -> Totals:
        """The closing statement, as this mode counts."""
        return totals

    def as_recorded(self, totals: Totals, end: End) -> Totals:
        """The closing statement of a replay, with what the recorded one knows better."""
        return totals

    def end(self, totals: Totals, now: float) -> str:
        """The last words on standard output."""
        return self._renderer.end(totals, now)

    def close(self) -> None:
        """The run is over, whatever happened."""


class Silent:
    """A renderer without words: for who takes findings as objects, or wants a file only."""

    def finding(self, finding: Finding, now: float) -> str:
        return ""

    def tick(self, now: float) -> str:
        return ""

    def end(self, totals: Totals, now: float) -> str:
        return ""

    def sent_again(self, lost: Lost, now: float) -> str:
        return ""

    def summary(self, summary: Summary) -> str:
        return ""

    def journey(self, journey: Journey, now: float) -> str:
        return ""

    def window(self, window: Window) -> str:
        return ""
