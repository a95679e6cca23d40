"""Waits for what becomes true in its own time; under emulation nobody knows when."""

import time
from collections.abc import Callable

PATIENCE = 300.0


def eventually(is_true: Callable[[], object], what: str) -> None:
    """Return once it is true; fail with `what` when it does not become so."""
    deadline = time.monotonic() + PATIENCE
    while not is_true():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen: {what}")
        time.sleep(0.05)
