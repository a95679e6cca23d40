"""What the probes have seen since the start that a judge asks for later, in all namespaces."""

from collections.abc import Iterable
from typing import Protocol

from dropwatch.model.change import Change
from dropwatch.model.drop import Address
from dropwatch.model.ipsec import GoneState


class Seen(Protocol):
    """Whoever has the probes."""

    def table_changes(self) -> int:
        """How often a change of a legacy table began or ended."""

    def gone_states(self) -> Iterable[GoneState]:
        """SAs that were deleted, in the order of their end."""

    def last_change(self, kind: Change, inode: int) -> int | None:
        """When it was changed last in a namespace, 0: not since the start; None: nobody knows."""

    def last_departure(self, inode: int, what: Address | int) -> int | None:
        """Likewise when an address, a joined group or the interface of this number went there."""


class NothingSeen:
    """There are no probes, or not yet."""

    def table_changes(self) -> int:
        return 0

    def gone_states(self) -> tuple[GoneState, ...]:
        return ()

    def last_change(self, kind: Change, inode: int) -> int | None:
        return None

    def last_departure(self, inode: int, what: Address | int) -> int | None:
        return None
