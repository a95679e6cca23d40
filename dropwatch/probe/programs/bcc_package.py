"""Finds out which bcc this Python would import, without the seconds that importing it takes."""

import importlib.util
import re
import sys
from pathlib import Path

from dropwatch.model.dataclass import dataclass

# Where distributions put Python packages: looked at only to say why this Python does not see one.
_SYSTEM = (Path("/usr/lib/python3/dist-packages"), *sorted(Path("/usr/lib").glob("python3.*/site-packages")))
_NEEDED = ("ring_buffer_poll", "attach_raw_tracepoint")


@dataclass(frozen=True, slots=True)
class BccPackage:
    """`problem` is None when it can be used, else what is wrong, with `todo` as the way out."""

    version: str | None = None
    directory: Path | None = None
    problem: str | None = None
    todo: str | None = None


def find_bcc() -> BccPackage:
    """The package that `import bcc` would load. On PyPI the name belongs to something else entirely."""
    try:
        spec = importlib.util.find_spec("bcc")
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return _missing()
    directory = Path(spec.origin).parent
    if not (directory / "libbcc.py").is_file():
        return BccPackage(
            directory=directory,
            problem=f"{directory} is not the BPF Compiler Collection but another package of that name",
            todo=f"{sys.executable} -m pip uninstall bcc; then install the distribution's: {_install()}",
        )
    version = _version(directory)
    missing = [name for name in _NEEDED if name not in Path(spec.origin).read_text(errors="replace")]
    if missing:
        return BccPackage(
            version,
            directory,
            f"bcc {version or ''} is too old: it has no {missing[0]} (bcc has ring buffers since 0.16)",
            "upgrade the distribution's package; Debian 12 has 0.26, with which whydrop is tested",
        )
    return BccPackage(version, directory)


def _missing() -> BccPackage:
    for directory in _SYSTEM:
        if (directory / "bcc" / "libbcc.py").is_file():
            return BccPackage(
                problem=f"bcc is in {directory}, where {sys.executable} does not look",
                todo="make the virtual environment with the system's python3 and --system-site-packages",
            )
    return BccPackage(
        problem="bcc is not installed", todo=f"install the distribution's package: {_install()}"
    )


def _install() -> str:
    return "apt install python3-bpfcc (Debian, Ubuntu), dnf install python3-bcc (Fedora)"


def _version(directory: Path) -> str | None:
    try:
        found = re.search(r"__version__ = ['\"]([^'\"]+)", (directory / "version.py").read_text())
    except OSError:
        return None
    return found[1] if found else None
