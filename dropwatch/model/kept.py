"""What the recorder kept of a stretch of time."""

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding


@dataclass(frozen=True, slots=True)
class Died:
    """Packets that the recorder counts as one, or that a person does. Times are seconds since 1970.

    `finding` is one of them in full: the first of its hour. `minutes` are minutes since 1970 with
    their packets, or the first of each stretch of them.
    `flows` is how many were told apart, 0: more than are. `mixed`: of its cause, whatever else.
    """

    finding: Finding
    packets: int
    first: float
    last: float
    minutes: tuple[tuple[int, int], ...]
    flows: int = 1
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of whole minutes, and what died in it: most packets first.

    `watched` are the stretches in which somebody did, `killed`: one of those runs was not ended in good order.
    `lost` are events that could not be delivered, None: not known. `unstored` were counted and found no room.
    `undecided` may fit the filter or not: of so many packets only the sum was kept. `kept_since`: what was before has
    been deleted.
    """

    source: str
    host: str | None
    own_netns: int | None
    since: float
    until: float
    rows: tuple[Died, ...]
    watched: tuple[tuple[float, float], ...]
    killed: bool
    lost: int | None
    unstored: int
    undecided: int
    kept_since: float | None

    @property
    def packets(self) -> int:
        return sum(row.packets for row in self.rows)

    @property
    def seconds(self) -> float:
        """How long it was watched."""
        return sum(end - begin for begin, end in self.watched)
