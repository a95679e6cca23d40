"""What judges and matchers may ask of the host: answers read after a drop, remembered for its whole batch."""

import time
from collections.abc import Callable

from dropwatch.host.xfrm_config import XfrmConfig

_NAMESPACES_REMEMBERED = 64


class Host:
    """Reads on demand: a run that meets no IPsec packet never asks for the IPsec configuration.

    An answer is given again only for drops that are older than its reading, so none is ever older than the drop,
    and a burst of drops costs one reading.
    """

    def __init__(self, read_xfrm: Callable[[int], XfrmConfig] | None = None) -> None:
        self._read_xfrm = read_xfrm
        self._xfrm: dict[int, tuple[int, XfrmConfig | None]] = {}
        self._failures: dict[str, None] = {}

    def prepare(self) -> None:
        """Imports what reading needs, so that the first answer comes right after the first drop."""
        self._xfrm_reader()

    def xfrm(self, netns_inode: int, not_before_ns: int) -> XfrmConfig | None:
        """SAs and policies of a namespace, read at a monotonic time of `not_before_ns` or later.

        None when the namespace is unknown (0), gone or unreadable.
        """
        if not netns_inode:
            return None
        read_at, config = self._xfrm.get(netns_inode, (-1, None))
        if read_at < not_before_ns:
            read_at = time.monotonic_ns()
            config = self._try_xfrm(netns_inode)
            if netns_inode not in self._xfrm and len(self._xfrm) >= _NAMESPACES_REMEMBERED:
                self._xfrm.clear()
            self._xfrm[netns_inode] = (read_at, config)
        return config

    @property
    def blind_spots(self) -> tuple[str, ...]:
        """What could not be read, for the closing statement. A namespace that is gone is no blind spot."""
        return tuple(self._failures)

    def _try_xfrm(self, netns_inode: int) -> XfrmConfig | None:
        try:
            return self._xfrm_reader()(netns_inode)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._failures[f"SAs and policies of namespace {netns_inode}: {error.strerror or error}"] = None
            return None

    def _xfrm_reader(self) -> Callable[[int], XfrmConfig]:
        if self._read_xfrm is None:
            # pyroute2 takes 0.1 s to import, two seconds on an emulated CPU: only who needs it waits for it.
            from dropwatch.host.xfrm import read_config

            self._read_xfrm = read_config
        return self._read_xfrm
