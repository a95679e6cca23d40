"""Reads matrix.toml: which kernels the scenarios run on, and which other userlands there are."""

from dataclasses import dataclass
from pathlib import Path

from dropwatch.names import toml

MATRIX = Path(__file__).parent.parent / "matrix.toml"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of the matrix. `lacks` names the features whose scenarios may skip on it."""

    label: str
    suites: tuple[str, ...]
    lacks: frozenset[str]


def kernels(wanted: str = "") -> tuple[Kernel, ...]:
    """The kernels whose labels `wanted` lists (separated by spaces or commas), all of them when it lists none.

    Raises ValueError for a label that the matrix does not have.
    """
    known = {
        entry["label"]: Kernel(entry["label"], tuple(entry["suites"]), frozenset(entry["lacks"]))
        for entry in toml.loads(MATRIX.read_text())["kernel"]
    }
    labels = wanted.replace(",", " ").split()
    for label in labels:
        if label not in known:
            raise ValueError(f"no kernel {label!r} in {MATRIX.name}, which has: {' '.join(known)}")
    return tuple(known[label] for label in known if label in labels or not labels)


def userlands() -> dict[str, Kernel]:
    """The kernel of each suite of Debian, as the matrix pairs them."""
    return {
        entry["suite"]: kernels(entry["kernel"])[0] for entry in toml.loads(MATRIX.read_text())["userland"]
    }
