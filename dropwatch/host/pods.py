"""What Kubernetes calls a pod of this node, by its uid: the directories of its logs say it, no API server is asked."""

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from dropwatch.host.netns.files import of_host
from dropwatch.model.dataclass import dataclass
from dropwatch.model.pattern import pattern
from dropwatch.names.foreign import foreign

_LOGS = Path("/var/log/pods")
_DIRECTORY = pattern(r"(?P<namespace>[^_]{1,253})_(?P<name>[^_]{1,253})_(?P<uid>[0-9a-f-]{32,36})")
_LOOK_EVERY_SECONDS = 1.0  # where one is asked for that is not there
_MOST = 4096  # a node has some hundreds; of those that are gone the name stays as long as there is room
_MOST_READ = 1 << 16


@dataclass(frozen=True, slots=True)
class Pod:
    """Its name, and the namespace of Kubernetes that it is in."""

    name: str
    namespace: str


class Pods:
    """A pod has its directory before it has a container, and a new one a new uid. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, Pod] = OrderedDict()
        self._looked = float("-inf")

    def find(self, uid: str) -> Pod | None:
        """None: there is no such directory, as on a host without Kubernetes."""
        if uid not in self._known and self._clock() - self._looked >= _LOOK_EVERY_SECONDS:
            self._look()
            self._looked = self._clock()
        found = self._known.get(uid)
        if found is not None:
            self._known.move_to_end(uid)
        return found

    def _look(self) -> None:
        try:
            with os.scandir(of_host(_LOGS)) as entries:
                for _, entry in zip(range(_MOST_READ), entries, strict=False):
                    self._take(entry.name)
        except OSError:  # none here
            return

    def _take(self, directory: str) -> None:
        found = _DIRECTORY.fullmatch(directory)
        if found is None:
            return
        self._known[found["uid"]] = Pod(foreign(found["name"]), foreign(found["namespace"]))
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
