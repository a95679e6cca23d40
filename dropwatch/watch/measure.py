"""What counts for Prometheus, where --listen was said: else nobody, and nothing of it is imported."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

from dropwatch import __version__
from dropwatch.errors import CannotRunHere
from dropwatch.model.drop import Finding, Totals
from dropwatch.watch.address import Address

_LIBRARY = "prometheus_client"

Undelivered = Callable[[], dict[str, int]]  # how many events, by the way they should have gone


class Measure(Protocol):
    """Hears what the recorder hears, where drops are judged."""

    def begin(self, so_far: Callable[[], Totals], undelivered: Undelivered) -> None: ...
    def add(self, finding: Finding) -> None: ...
    def tick(self) -> None: ...
    def take(self, totals: Totals) -> None: ...


class Unasked:
    """Nobody wants to know."""

    def begin(self, so_far: Callable[[], Totals], undelivered: Undelivered) -> None:
        """Nothing is asked."""

    def add(self, finding: Finding) -> None:
        """Nothing is counted."""

    def tick(self) -> None:
        """Nobody waits for it."""

    def take(self, totals: Totals) -> None:
        """Nobody reads it."""


def measure(address: Address | None) -> tuple[Measure, Callable[[], None]]:
    """Who counts, and what begins to answer at the address: to be called once the probes are attached.

    It is bound here. Raises CannotRunHere without the library, WhydropError where the address cannot be had.
    """
    if address is None:
        return Unasked(), lambda: None
    if find_spec(_LIBRARY) is None:
        raise CannotRunHere(
            f"--listen needs the Python package {_LIBRARY}, and it is not installed",
            "Debian: apt install python3-prometheus-client; with pip: 'whydrop[metrics]'",
        )
    from dropwatch.watch.listen import Listener
    from dropwatch.watch.metrics import Metrics

    metrics = Metrics(__version__)
    return metrics, Listener(address, metrics).start
