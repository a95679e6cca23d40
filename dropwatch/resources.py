"""Where the program's own files are: bpf/ and symbols/, in a checkout or in an installed wheel.

Found beside this file only, never through the current directory or the environment: the program runs as root.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """Directory `bpf` or `symbols`: `dropwatch/data/NAME` in a wheel, `NAME` beside the package in a checkout."""
    installed = _PACKAGE / "data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
