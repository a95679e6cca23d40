"""What the kernel and the drivers count as lost beside skb:kfree_skb, as differences since the start of a run."""

from collections.abc import Callable, Iterable, Iterator

from dropwatch.errors import WhydropError
from dropwatch.host.counters import driver, protocol
from dropwatch.host.counters.devices import Device, read_devices, read_qdiscs
from dropwatch.host.netns.enter import entered
from dropwatch.model.drop import Netns
from dropwatch.model.summary import Counter, Outside
from dropwatch.names import symbols
from dropwatch.names.foreign import printable

_XFRM_TEXT = "IPsec"
_DRIVER_TEXTS = {
    True: "a loss by its name: the driver's own",
    False: "the driver's own: its documentation says what",
}


def read_counters(netns: int) -> dict[Counter, int]:
    """Everything of one namespace, as it stands. Raises OSError when it is gone or may not be entered."""
    with entered(netns):
        devices = read_devices()
        names = {device.index: device.name for device in devices}
        found = dict(_of_devices(devices, netns))
        for qdisc in read_qdiscs():
            text = symbols.counters("qdisc")["drops"].text
            counter = Counter("qdisc", qdisc.name, netns, names.get(qdisc.index), text, overlap=True)
            found[counter] = found.get(counter, 0) + qdisc.drops
        found |= dict(_of_protocols(protocol.protocol_counters(), netns))
    return found


def read_softnet() -> dict[Counter, int]:
    """What the whole machine has in common. Raises OSError."""
    known = symbols.counters("softnet")
    return {
        Counter(
            "softnet", name, text=known[name].text, loss=known[name].loss, overlap=known[name].overlap
        ): count
        for name, count in protocol.softnet_counters().items()
    }


def _of_devices(devices: Iterable[Device], netns: int) -> Iterator[tuple[Counter, int]]:
    known = symbols.counters("nic")
    for device in devices:
        for name, count in device.statistics.items():
            if name in known:
                entry = known[name]
                yield Counter("nic", name, netns, device.name, entry.text, entry.loss, entry.overlap), count
        for name, count in driver.trouble_counters(device.name).items():
            loss, by_software = driver.speaks_of_losses(name), "drop" in name.lower()
            yield Counter("driver", name, netns, device.name, _DRIVER_TEXTS[loss], loss, by_software), count


def _of_protocols(found: dict[str, int], netns: int) -> Iterator[tuple[Counter, int]]:
    known = symbols.counters("protocol")
    for name, count in found.items():
        if name in known:
            entry = known[name]
            yield Counter("protocol", name, netns, None, entry.text, entry.loss, entry.overlap), count
        elif protocol.is_xfrm(name):
            yield Counter("protocol", name, netns, None, _XFRM_TEXT, overlap=True), count


class Counters:
    """How much each counter rose since start(), in these namespaces and in the machine as a whole.

    A counter that appears later (a new device) counts from the first look at it, and one that falls, as when a driver
    is reset, from there on: never more than was lost.
    """

    def __init__(
        self,
        inodes: Iterable[int],
        name_of: Callable[[int], str | None],
        read: Callable[[int], dict[Counter, int]] = read_counters,
        softnet: Callable[[], dict[Counter, int]] = read_softnet,
    ) -> None:
        self._inodes = tuple(dict.fromkeys(inodes))
        self._name_of = name_of
        self._read, self._softnet = read, softnet
        self._last: dict[Counter, int] = {}
        self._risen: dict[Counter, int] = {}
        self._failures: dict[str, None] = {}

    def start(self) -> None:
        """What was lost before this moment is not counted."""
        self._last = self._look()

    def risen(self) -> tuple[Outside, ...]:
        """Those that have risen since the start, the most first; `new` is since the last call."""
        now = self._look()
        new = {counter: max(0, count - self._last.get(counter, count)) for counter, count in now.items()}
        self._last |= now
        for counter, count in new.items():
            if count:
                self._risen[counter] = self._risen.get(counter, 0) + count
        found = [
            Outside(counter, self._netns(counter), count, new.get(counter, 0))
            for counter, count in self._risen.items()
        ]
        return tuple(sorted(found, key=_order))

    @property
    def blind_spots(self) -> tuple[str, ...]:
        """What could not be read, in sentences."""
        return tuple(self._failures)

    def _look(self) -> dict[Counter, int]:
        found: dict[Counter, int] = {}
        for inode in self._inodes:
            try:
                found |= self._read(inode)
            except Exception as error:
                self._fail(f"counters of namespace {inode}", error)
        try:
            found |= self._softnet()
        except Exception as error:
            self._fail("softnet_stat", error)
        return found

    def _fail(self, what: str, error: Exception) -> None:
        """Whatever it is costs a sentence; but where there is no way back from a namespace, nothing may go on."""
        if isinstance(error, WhydropError):
            raise error
        if not isinstance(error, FileNotFoundError):  # a namespace that is gone loses nothing
            why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            self._failures[printable(f"{what}: {why or error}")] = None

    def _netns(self, counter: Counter) -> Netns | None:
        return None if counter.netns is None else Netns(counter.netns, self._name_of(counter.netns))


def _order(found: Outside) -> tuple[bool, bool, int, str]:
    """What whydrop cannot see any other way comes first."""
    counter = found.counter
    return not counter.loss, counter.overlap, -found.count, counter.name
