"""Builds a root file system of another Debian, once, into the cache: its Python, iptables, nft, iproute2, bcc, pytest.

A guest has it in this machine's place (`--userland trixie`), the checkout at its own path, and a .venv of that Python.
"""

import os
import shutil
import subprocess
from pathlib import Path

from lab.fetch import CACHE, CannotFetch, locked, mirrors, say

HOME = CACHE.parent / "userlands"
REPO = Path(__file__).resolve().parents[3]
VENV = Path("opt/whydrop")  # in the root; a guest sees it as the checkout's .venv
# What .venv has of pyproject.toml, as the suite has it.
PYTHON = (
    *(
        "python3-click",
        "python3-hypothesis",
        "python3-jinja2",
        "python3-jsonschema",
        "python3-prometheus-client",
    ),
    *(
        "python3-pyroute2",
        "python3-pytest",
        "python3-pytest-rerunfailures",
        "python3-tabulate",
        "python3-venv",
    ),
)


def build(suite: str, packages: list[str]) -> Path:
    """The root, with these packages beside Python's. Raises CannotFetch."""
    root = HOME / suite
    HOME.mkdir(parents=True, exist_ok=True)
    with locked(HOME / f"{suite}.lock"):
        if not root.is_dir():
            partial = HOME / f"{suite}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            say(f"{suite}: building a root file system")
            _unpack(suite, packages, partial)
            _add_venv(partial)
            partial.rename(root)
    return root


def _unpack(suite: str, packages: list[str], root: Path) -> None:
    wanted = ",".join(sorted({*packages, *PYTHON}))
    words = ["mmdebstrap", "--quiet", "--mode=root", "--variant=apt", f"--include={wanted}"]
    words += ["--aptopt=Acquire::Check-Valid-Until false", suite, str(root)]  # a mirror of sid may lag behind
    done = subprocess.run([*words, *mirrors(suite)], capture_output=True, text=True, env=_environment())
    if done.returncode != 0:
        raise CannotFetch(f"mmdebstrap made no {suite}:\n{done.stderr.strip()}")


def _add_venv(root: Path) -> None:
    """It finds Debian's packages, and whydrop in the checkout."""
    venv = root / VENV
    words = ["python3", "-m", "venv", "--system-site-packages", "--without-pip", f"/{VENV}"]
    subprocess.run(["chroot", root, *words], check=True, env=_environment())
    (packages,) = venv.glob("lib/python3*/site-packages")
    (packages / "whydrop.pth").write_text(f"{REPO}\n")
    shutil.copy(REPO / "packaging" / "bin" / "whydrop", venv / "bin" / "whydrop")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
