"""Does in a root file system whose packages are only unpacked what their scripts would: as far as guests need it."""

import shutil
import subprocess
import sys
from pathlib import Path

_TABLES = {
    "iptables": "nft",
    "ip6tables": "nft",
    "arptables": "nft",
    "ebtables": "nft",
}  # Debian's own choice
_OTHERS = {
    "usr/bin/awk": "mawk",
    "usr/bin/cc": "gcc",
    "usr/bin/which": "which.debianutils",
    "usr/sbin/traceroute": "/usr/bin/traceroute.db",
    "usr/bin/traceroute": "traceroute.db",
}
_FILES = {
    "usr/share/base-passwd/passwd.master": "etc/passwd",
    "usr/share/base-passwd/group.master": "etc/group",
    "usr/share/libc-bin/nsswitch.conf": "etc/nsswitch.conf",
}


def arrange(root: Path) -> None:
    for source, target in _FILES.items():
        shutil.copy(root / source, root / target)
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    for name, kind in _TABLES.items():
        for suffix in ("", "-restore", "-save"):
            _link(root / f"usr/sbin/{name}{suffix}", f"{name}-{kind}{suffix}")
    for path, target in _OTHERS.items():
        _link(root / path, target)
    _compile(root)


def _link(path: Path, target: str) -> None:
    """The name that update-alternatives gives it."""
    if not path.is_symlink() and not path.exists():
        path.symlink_to(target)


def _compile(root: Path) -> None:
    """Python's bytecode is the same for every processor: this machine makes it, if it has the same Python."""
    python = shutil.which((root / "usr/bin/python3").readlink().name, path="/usr/bin")
    if python is None:
        return
    words = [python, "-I", "-m", "compileall", "-q", "-j", "0", "-s", str(root), "-p", "/"]
    subprocess.run([*words, root / "usr/lib/python3", *root.glob("usr/lib/python3.*")], stdout=sys.stderr)
