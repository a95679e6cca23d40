"""What the lines of a recording are made of: the `item` of a line says which of these it is."""

from typing import Any

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Event, Frame, MatchResult
from dropwatch.model.ipsec import GoneState
from dropwatch.model.journey import Journey
from dropwatch.model.kept import Died, Window
from dropwatch.model.resent import ResentSegment
from dropwatch.model.summary import Summary
from dropwatch.recording.decode import decode
from dropwatch.recording.encode import encode
from dropwatch.recording.members import Item
from dropwatch.recording.start import End, Start

SLOTS = 4096  # answers that can be referred to; a reader holds no more


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a question. Events refer to it by its slot, until another answer takes that."""

    slot: int
    question: str
    answer: Any


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of an event, and the slot of the answer.

    What is told of deleted SAs only grows: instead of a slot it has `first` and `count`, of the items `gone_state`.
    """

    question: str
    arguments: tuple[Any, ...]
    slot: int | None = None
    first: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """An event that fitted the filter. `now` is when it was shown (the renderers' clock, seconds), None: it was not."""

    time: float
    match: MatchResult
    event: Event
    asked: tuple[Asked, ...] = ()
    now: float | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """The renderers were asked for what is due."""

    now: float


Content = (
    Start | Frame | Answer | GoneState | Kept | Tick | Summary | Journey | Died | Window | ResentSegment | End
)
_TYPES: dict[str, type[Any]] = {
    "start": Start,
    "symbol": Frame,
    "answer": Answer,
    "gone_state": GoneState,
    "event": Kept,
    "tick": Tick,
    "summary": Summary,
    "journey": Journey,
    "died": Died,
    "window": Window,
    "resent": ResentSegment,
    "end": End,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


def item_of(content: Content) -> Item:
    """As it is written."""
    return {"item": _NAMES[type(content)], **encode(content)}


def content_of(item: Item) -> Content | None:
    """None for what a later version adds. Raises Malformed."""
    kind = _TYPES.get(item["item"])
    content: Content | None = decode(item, kind) if kind is not None else None
    return content
