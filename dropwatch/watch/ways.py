"""Who is told of what dies while it dies: made of the options, and nothing of it is imported without them."""

from importlib.util import find_spec
from pathlib import Path

from dropwatch.errors import CannotRunHere, WrongUsage
from dropwatch.watch.collector import collector
from dropwatch.watch.sender import Way

_LIBRARY = "opentelemetry.proto.logs.v1"
_HINT = "with pip: 'whydrop[otlp]', or opentelemetry-proto 1.35 or later"


def ways(otlp: str | None, otlp_headers: str | None, *, journal: bool) -> list[Way]:
    """Raises WrongUsage, and CannotRunHere without the library, or without journald."""
    found: list[Way] = []
    if otlp_headers is not None and otlp is None:
        raise WrongUsage("--otlp-headers is for --otlp", "say where the collector is: --otlp URL")
    if otlp is not None:
        found.append(_otlp(otlp, otlp_headers))
    if journal:
        from dropwatch.watch.journal import SOCKET, Journal

        found.append(Journal(SOCKET))
    return found


def _otlp(url: str, headers: str | None) -> Way:
    where = collector(url, None if headers is None else Path(headers))
    if not _is_installed():
        raise CannotRunHere(
            "--otlp needs the Python package opentelemetry-proto, and it is not installed", _HINT
        )
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    if "event_name" not in LogRecord.DESCRIPTOR.fields_by_name:
        raise CannotRunHere("--otlp: this opentelemetry-proto is too old: its events have no name", _HINT)
    from dropwatch.watch.otlp import Otlp

    return Otlp(where)


def _is_installed() -> bool:
    try:
        return find_spec(_LIBRARY) is not None
    except ModuleNotFoundError:  # of what stands above it
        return False
