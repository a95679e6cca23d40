"""whydrop: says why, where, and by which line of your configuration the Linux kernel dropped a packet.

For Python programs: `live()` and `replay()` give findings as objects (docs/api.md). They are imported when they are
asked for, so that `import dropwatch` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dropwatch.errors import CannotRunHere, WhydropError, WrongUsage
    from dropwatch.model.drop import Drop, Evidence, Finding, Fix, Frame, Packet, Totals
    from dropwatch.run.api import live, replay
    from dropwatch.run.context import Run

__version__ = "0.2.0"
__all__ = [
    "CannotRunHere",
    "Drop",
    "Evidence",
    "Finding",
    "Fix",
    "Frame",
    "Packet",
    "Run",
    "Totals",
    "WhydropError",
    "WrongUsage",
    "live",
    "replay",
]
_HOMES = ("dropwatch.errors", "dropwatch.model.drop", "dropwatch.run.context", "dropwatch.run.api")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in map(import_module, _HOMES):
            if hasattr(home, name):
                return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
