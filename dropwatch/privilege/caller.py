"""The caller's environment: as root nothing in it decides what code whydrop runs.

`LD_...` variables choose the libraries of a program before its first instruction. What they have brought by then cannot
be undone (sudo lets none of them through), but what is loaded and started from here on is the system's.
"""

import os
import sys
from collections.abc import Mapping, Sequence

_CHOOSES_LIBRARIES = "LD_"
_KEPT = "WHYDROP_KEPT_"
_COMM = "/proc/self/comm"
_own: list[int] = []


def isolate() -> None:
    """Returns in a process that is called whydrop and, as root, isolated (`python -I`) without any `LD_...`."""
    if os.geteuid() == 0:
        anew = started_anew(sys.orig_argv, bool(sys.flags.isolated), os.environ)
        if anew is not None:
            os.execve(sys.executable, *anew)
    _own.append(os.getpid())
    try:
        with open(_COMM, "wb", buffering=0) as name:  # noqa: PTH123 -- pathlib takes longer to import than all of this
            name.write(b"whydrop")
    except OSError:
        pass  # no /proc: it has the interpreter's name then


def is_own_process() -> bool:
    """Whether it is the program whydrop; else another Python program that has imported it, whose rights are its own."""
    return os.getpid() in _own


def started_anew(
    words: Sequence[str], isolated: bool, environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]] | None:
    """The words and the environment to start Python with once more; None where nothing is left to be taken away."""
    chosen = [name for name in environment if name.startswith(_CHOOSES_LIBRARIES)]
    if isolated and not chosen:
        return None
    kept = {_KEPT + name: environment[name] for name in chosen}
    left = {name: value for name, value in environment.items() if name not in chosen}
    return [words[0], *([] if isolated else ["-I"]), *words[1:]], left | kept


def environment_of_caller(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """That of the command after `--`, which is the caller's: as whydrop was given it."""
    return {name.removeprefix(_KEPT): value for name, value in environment.items()}
