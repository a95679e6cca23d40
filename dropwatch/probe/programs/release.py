"""What a release carries: the programs of all modes, compiled once for every kernel of a machine architecture.

python -m dropwatch.probe.programs.release      writes bpf/programs.MACHINE of each (`make programs`)
"""

import platform
import zlib
from functools import cache, lru_cache
from pathlib import Path

from dropwatch.errors import WhydropError
from dropwatch.probe.families import FAMILIES
from dropwatch.probe.programs.compiled import (
    PLACEHOLDERS,
    Compiled,
    immediate,
    pack,
    placeholders,
    set_immediate,
    unpack,
)
from dropwatch.probe.programs.compiler import MACHINES, compile_here
from dropwatch.probe.programs.text import MODES, Text, join
from dropwatch.resources import resource_dir

_OTHER_PLACEHOLDERS = 0x3C3C0000  # for the proof


def carried(text: Text, machine: str | None = None) -> Compiled | None:
    """The programs of this text, for this machine or that one; None when the release has none, or of another text."""
    found = _carried(_path(text.directory, machine or platform.machine()), text.mode)
    return found if found is not None and found.digest == text.digest else None


@cache
def _carried(path: Path, mode: str) -> Compiled | None:
    try:
        return unpack(path.read_bytes(), (mode,)).get(mode)
    except (OSError, ValueError, KeyError, TypeError, zlib.error):
        return None


def programs(text: Text) -> Compiled:
    """Those that the release carries, else compiled here, once for each text. Raises CannotRunHere when that fails."""
    return carried(text) or _compiled_here(text)


@lru_cache(maxsize=1)
def _compiled_here(text: Text) -> Compiled:
    return compile_here([text])[text.mode]


def compile_all(machine: str) -> dict[str, Compiled]:
    """By mode, and proven: compiled once more with other placeholders, only these differ. Raises WhydropError."""
    texts = [join(FAMILIES, mode) for mode in MODES]
    made = compile_here(texts, machine=machine)
    again = compile_here(texts, placeholders=_OTHER_PLACEHOLDERS, machine=machine)
    for mode, compiled in made.items():
        for name, code in compiled.programs.items():
            if _moved(code, compiled.names) != again[mode].programs[name]:
                raise WhydropError(
                    f"{name} ({mode}) has another shape with other placeholders",
                    "a number of the kernel's stands where the compiler folds it: see bpf/README.md",
                )
    return made


def _moved(code: bytes, names: tuple[str, ...]) -> bytes:
    """With the other placeholders where the code has its own."""
    moved = bytearray(code)
    for at in placeholders(code, names):
        set_immediate(moved, at, immediate(code, at) - PLACEHOLDERS + _OTHER_PLACEHOLDERS)
    return bytes(moved)


def _path(directory: Path, machine: str) -> Path:
    return directory / f"programs.{machine}"


def main() -> None:
    for machine in MACHINES:
        try:
            made = compile_all(machine)
        except WhydropError as error:
            raise SystemExit(f"{machine}: {error.message}\n{error.hint}") from error
        _path(resource_dir("bpf"), machine).write_bytes(pack(made))


if __name__ == "__main__":
    main()
