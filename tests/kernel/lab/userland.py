"""Builds a root file system of another Debian, once, into the cache: its Python, iptables, nft, iproute2, bcc, pytest.

A guest has it in this machine's place (`--userland trixie`), the checkout at its own path, and a .venv of that Python.
For another processor the packages are unpacked, nothing of them runs here, and arrange.py does what they would.
"""

import os
import shutil
import subprocess
from pathlib import Path

from lab.arrange import arrange
from lab.fetch import CACHE, CannotFetch, locked, mirrors, say
from lab.machine import AMD64
from lab.matrix import Kernel

HOME = CACHE.parent / "userlands"
REPO = Path(__file__).resolve().parents[3]
MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"
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


def root_of(kernel: Kernel, suite: str = "") -> Path | None:
    """The wanted suite's, else the kernel's; None: this machine's own. Raises CannotFetch."""
    wanted = suite or kernel.root
    return None if wanted is None else build(wanted, kernel.machine)


def build(suite: str, machine: str = AMD64) -> Path:
    """The root, with the packages that the Makefile has and Python's. Raises CannotFetch."""
    name = suite if machine == AMD64 else f"{suite}-{machine}"
    root = HOME / name
    HOME.mkdir(parents=True, exist_ok=True)
    packages = os.environ.get("ROOT_PACKAGES", "").split()
    with locked(HOME / f"{name}.lock"):
        if not root.is_dir():
            if not packages:
                raise CannotFetch(f"{name}: make knows which packages it has: make run KERNEL=... builds it")
            partial = HOME / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            say(f"{name}: building a root file system")
            if machine == AMD64:
                _unpack(suite, packages, partial, "--variant=apt")
            else:
                foreign = ("--variant=extract", f"--architectures={machine}", f"--hook-dir={MERGED_USR}")
                _unpack(suite, packages, partial, *foreign, "--include=?essential")
                arrange(partial)
            _add_venv(partial)
            partial.rename(root)
    return root


def _unpack(suite: str, packages: list[str], root: Path, *how: str) -> None:
    wanted = ",".join(sorted({*packages, *PYTHON}))
    words = ["mmdebstrap", "--quiet", "--mode=root", *how, f"--include={wanted}"]
    words += ["--aptopt=Acquire::Check-Valid-Until false", suite, str(root)]  # a mirror of sid may lag behind
    done = subprocess.run([*words, *mirrors(suite)], capture_output=True, text=True, env=_environment())
    if done.returncode != 0:
        raise CannotFetch(f"mmdebstrap made no {suite}:\n{done.stderr.strip()}")


def _add_venv(root: Path) -> None:
    """It finds Debian's packages, and whydrop in the checkout."""
    venv = root / VENV
    python = (root / "usr/bin/python3").readlink().name
    packages = venv / "lib" / python / "site-packages"
    packages.mkdir(parents=True)
    (packages / "whydrop.pth").write_text("../../../..\n")  # wherever the checkout is
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = true\n")
    (venv / "bin").mkdir()
    for name in ("python", "python3"):
        (venv / "bin" / name).symlink_to("/usr/bin/python3")
    shutil.copy(REPO / "packaging" / "bin" / "whydrop", venv / "bin" / "whydrop")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
