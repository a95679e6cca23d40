"""Reads matrix.toml: which kernels the scenarios run on, and which other userlands there are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dropwatch.names import toml
from lab.machine import AMD64, wanted

MATRIX = Path(__file__).parent.parent / "matrix.toml"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of the matrix. `lacks` names the features whose scenarios may skip on it; `choice` are the begins of
    those that run, when not all do; `root` is the suite of its root file system, None: this machine's. `files` is the
    label of the one whose files it is booted from, None: its own.
    """

    label: str
    suites: tuple[str, ...]
    lacks: frozenset[str]
    machine: str = AMD64
    flavour: str = AMD64
    choice: tuple[str, ...] = ()
    root: str | None = None
    files: str | None = None


def kernels(labels: str = "") -> tuple[Kernel, ...]:
    """The kernels that are listed (separated by spaces or commas). When none is: all of the wanted machine; for amd64
    also those of another one that have a choice of scenarios.

    Raises ValueError for a label that the matrix does not have.
    """
    tables = toml.loads(MATRIX.read_text())
    usual = [_kernel(entry) for entry in tables["kernel"]]
    known = {kernel.label: kernel for kernel in [*usual, *map(_kernel, tables["extra"])]}
    named = labels.replace(",", " ").split()
    for label in named:
        if label not in known:
            raise ValueError(f"no kernel {label!r} in {MATRIX.name}, which has: {' '.join(known)}")
    if named:
        return tuple(known[label] for label in known if label in named)
    return tuple(
        kernel for kernel in usual if kernel.machine == wanted() or (wanted() == AMD64 and kernel.choice)
    )


def _kernel(entry: dict[str, Any]) -> Kernel:
    machine = entry.get("machine", AMD64)
    return Kernel(
        entry["label"],
        tuple(entry["suites"]),
        frozenset(entry["lacks"]),
        machine,
        entry.get("flavour", machine),
        tuple(entry.get("choice", ())) if machine != wanted() or "files" in entry else (),
        entry.get("root"),
        entry.get("files"),
    )


def userlands() -> list[tuple[str, Kernel]]:
    """Suites of Debian, each with a kernel, as the matrix pairs them."""
    pairs = toml.loads(MATRIX.read_text())["userland"]
    return [(entry["suite"], kernels(entry["kernel"])[0]) for entry in pairs]
