"""What there was of a flow beside drops: asked at the start and at the end, where nothing is lost by asking."""

from collections.abc import Callable, Iterable

from dropwatch.host import traffic
from dropwatch.host.counters.counters import Counters
from dropwatch.host.traffic import Begin, Ports
from dropwatch.model.drop import Netns
from dropwatch.model.filter import Filter
from dropwatch.model.summary import Outside
from dropwatch.model.traffic import Traffic
from dropwatch.names import protocols

_MOST_NAMESPACES = 16
_MOST_PORTS = 4
_LISTENING = ("tcp", "udp")


class Witness:
    """Of these namespaces, or of the first of them; its own stands first where none was asked for.

    `name` is what a namespace is called.
    """

    def __init__(self, wanted: Filter, inodes: Iterable[int], name: Callable[[int], str | None]) -> None:
        self._ports = ports_of(wanted)
        self._inodes = tuple(dict.fromkeys(inodes))
        self._name = name
        self._began: list[Begin] = []
        self._counters = Counters(self._inodes[: len(wanted.netns) or 1], name)  # they take longer

    @property
    def left_out(self) -> int:
        """Namespaces that it does not look into."""
        return max(0, len(self._inodes) - _MOST_NAMESPACES)

    def start(self) -> None:
        """What came before this moment is not counted. A namespace that cannot be read is left out."""
        self._counters.start()
        for inode in self._inodes[:_MOST_NAMESPACES]:
            try:
                self._began.append(traffic.begin(Netns(inode, self._name(inode)), self._ports))
            except OSError:
                continue

    def seen_and_lost(self) -> tuple[tuple[Traffic, ...], tuple[Outside, ...]]:
        """In each namespace that is still there; and what other counters lost that whydrop cannot see die."""
        found = []
        for began in self._began:
            try:
                found.append(traffic.since(began, self._ports))
            except OSError:
                continue
        risen = self._counters.risen()
        return tuple(found), tuple(each for each in risen if each.counter.loss and not each.counter.overlap)


def ports_of(wanted: Filter) -> Ports:
    """Where the packets that are asked for would arrive; of very many, or of ranges, nobody is asked."""
    ranges = (*wanted.dport, *wanted.port)
    numbers = tuple(dict.fromkeys(first for first, last in ranges if first == last))
    if not numbers or len(numbers) != len(set(ranges)) or len(numbers) > _MOST_PORTS:
        return Ports()
    asked = {protocols.name(number) for number in wanted.protos} or set(_LISTENING)
    return Ports(tuple(proto for proto in _LISTENING if proto in asked), numbers)
