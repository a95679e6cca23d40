"""What the probes have seen since the start that a judge asks for later, in all namespaces."""

from collections.abc import Iterable
from typing import Protocol

from dropwatch.model.ipsec import GoneState


class Seen(Protocol):
    """Whoever has the probes."""

    def table_changes(self) -> int:
        """How often a change of a legacy table began or ended."""

    def gone_states(self) -> Iterable[GoneState]:
        """SAs that were deleted, in the order of their end."""


class NothingSeen:
    """There are no probes, or not yet."""

    def table_changes(self) -> int:
        return 0

    def gone_states(self) -> tuple[GoneState, ...]:
        return ()
