"""Other Debians than the machine's own: their Python, bcc, nft, iptables and iproute2, on their own kernels.

    make userlands [SUITES='trixie']    suites, or labels of kernels: 6.12-rt

Of each pair in matrix.toml, as `tests/kernel/lab/userland.py` builds it: the scenarios of CHOICE in a guest, and the
unit tests in namespaces of this machine, which need no kernel of their own, once for each suite. One
line of each at the end.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from lab.farm import WORDS
from lab.fetch import fetch
from lab.guest import Guest, GuestDied
from lab.matrix import Kernel, userlands
from lab.report import PREFIX
from lab.userland import REPO, VENV, build
from tabulate import tabulate

# IPsec's main job, a rule of nft, one of legacy iptables, ports and sockets.
CHOICE = (
    "test_ipsec.py",
    "test_netfilter_nft.py",
    "test_netfilter_legacy.py",
    "test_ports.py",
    "test_sockets.py",
)
LIMIT = 5000  # seconds of a guest
PYTHON = ".venv/bin/python"
# Debian has neither the SDK of the Model Context Protocol nor opentelemetry-proto; `make deb` tries what is installed.
WITHOUT = (
    "--ignore=tests/unit/mcp",
    "--ignore=tests/unit/watch/test_otlp.py",
    "--ignore=tests/unit/test_wheel.py",
)
# The userland becomes the root file system of a shell with namespaces of its own. It stays the first process there:
# what pytest starts and leaves is its child.
ENTER = """
set -e
root=$1 tree=$2 venv=$3; shift 3
ip link set lo up
mkdir -p "$root$tree"
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount --bind "$tree" "$root$tree"
mount --bind "$root/$venv" "$root$tree/.venv"
cd "$root"
pivot_root . mnt
umount -l /mnt
cd "$tree"
"$@"
"""
NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--propagation", "private")


def in_a_guest(kernel: Kernel, root: Path) -> str:
    words = [PYTHON, *WORDS.split(), *(PREFIX + name for name in CHOICE)]
    guest = Guest(
        fetch(kernel),
        words,
        cwd=REPO,
        env={"WHYDROP_GUEST": kernel.label, "PYTHONPATH": "tests/kernel"},
        stdout=sys.stderr.buffer,
        stderr=sys.stderr.buffer,
        root=root,
    )
    with guest:
        if not guest.ended(LIMIT):
            raise GuestDied(f"still running after {LIMIT} s\n{guest.console_tail()}")
        return "passed" if guest.status() == 0 else "failed"


def natively(root: Path) -> str:
    words = [*NAMESPACES, "sh", "-c", ENTER, "sh", str(root), str(REPO), str(VENV)]
    words += [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *WITHOUT, "tests/unit"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    sys.stderr.write(done.stdout)
    return done.stdout.strip().rpartition("\n")[2] or f"exit {done.returncode}"


def main(suites: list[str]) -> int:
    os.environ.pop("WHYDROP_RECORDINGS", None)
    rows = []
    units: dict[str, str] = {}
    for suite, kernel in userlands():
        if suites and not {suite, kernel.label} & set(suites):
            continue
        root = build(suite)
        python = next((root / VENV / "lib").glob("python3*")).name
        if suite not in units:
            units[suite] = natively(root)
        rows.append((suite, python, kernel.label, in_a_guest(kernel, root), units[suite]))
    print(tabulate(rows, ("suite", "its Python", "kernel", "scenarios", "unit tests")))
    return int(
        any(scenarios != "passed" or re.search(r"failed|error|exit", units) for *_, scenarios, units in rows)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
