"""Drops that nearly fit a filter: what a user is told of where nothing fits."""

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Frame, Interface, Netns, Packet


@dataclass(frozen=True, slots=True)
class Difference:
    """Kinds of the filter (its fields, by name): those that do not fit, and those that do.

    `backwards` are those whose other side has what was asked for, as in an answer. `distance` orders what misses the
    same number of kinds: in ports, or by how little of two addresses agrees.
    """

    missed: tuple[str, ...] = ()
    fitting: tuple[str, ...] = ()
    backwards: frozenset[str] = frozenset()
    distance: int = 0


@dataclass(frozen=True, slots=True)
class NearDrop:
    """Equal drops: `packet` is the first of them. `cause_id` is that of one that fits but for its cause."""

    packets: int
    packet: Packet
    netns: Netns | None
    iface: Interface | None
    where: Frame
    cause_id: str | None = None
    difference: Difference = Difference()


@dataclass(frozen=True, slots=True)
class NearDrops:
    """`passed_over` are drops that were not looked at, and near ones that had no room: there may be nearer ones."""

    drops: tuple[NearDrop, ...] = ()
    passed_over: int = 0
