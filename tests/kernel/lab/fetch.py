"""Fetches a kernel of the matrix from the machine's own Debian mirror, once, into a cache outside of the tree.

A private apt configuration keeps the other suites away from the machine: their lists and packages live in the
cache, apt checks the signatures with the machine's keyring, and nothing is installed.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.machine import AMD64
from lab.matrix import Kernel

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whydrop" / "kernels"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PARTS = ("linux-image-", "linux-base-", "linux-binary-", "linux-modules-")  # one package before Debian 14


class CannotFetch(Exception):
    """The mirror does not have it, or cannot be reached. The message says what was tried."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A kernel on disk: `release` as uname -r has it; `modules` is what /lib/modules/RELEASE is in the guest."""

    label: str
    release: str
    vmlinuz: Path
    modules: Path
    machine: str = AMD64


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def fetch(kernel: Kernel) -> Fetched:
    """The kernel from the cache, downloaded first if it is not there. Raises CannotFetch."""
    files = kernel.files or kernel.label
    home = CACHE / files
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / f"{files}.lock"):
        if not home.is_dir():
            partial = CACHE / f"{files}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            _download(kernel, partial)
            partial.rename(home)
    modules = next((home / "lib" / "modules").iterdir())
    return Fetched(kernel.label, modules.name, home / "vmlinuz", modules, kernel.machine)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(kernel: Kernel, partial: Path) -> None:
    apt = _PrivateApt(kernel, partial / "apt")
    say(f"{kernel.label}: reading the package lists of {' '.join(kernel.suites)}")
    complaint = apt.update()
    packages = apt.kernel_packages()
    if not packages:
        raise CannotFetch(
            f"kernel {kernel.label}: no linux-image-{kernel.flavour} in {' or '.join(kernel.suites)} on the mirrors of"
            f" this machine's apt sources (a suite that has moved to an archive needs that archive there)\n{complaint}"
        )
    if complaint:
        say(f"{kernel.label}: apt complains, going on with what it found: {complaint.splitlines()[0]}")
    tree = partial / "tree"
    for name, version, size in packages:
        say(f"{kernel.label}: fetching {name} {version} ({size / 1e6:.1f} MB)")
        subprocess.run(["dpkg", "-x", apt.download(name, version), tree], check=True)
    _arrange(tree, partial)
    shutil.rmtree(apt.home)
    shutil.rmtree(tree)


def _arrange(tree: Path, partial: Path) -> None:
    """Leave `vmlinuz` and `lib/modules/RELEASE` in `partial`, wherever this release of Debian puts them."""
    modules = next(path for base in ("lib", "usr/lib") for path in tree.glob(f"{base}/modules/*"))
    vmlinuz = next(
        path for place in ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz") for path in tree.glob(place)
    )
    vmlinuz.rename(partial / "vmlinuz")
    (partial / "lib" / "modules").mkdir(parents=True)
    modules.rename(partial / "lib" / "modules" / modules.name)
    subprocess.run(["depmod", "--basedir", partial, modules.name], check=True)


class _PrivateApt:
    """apt with lists, cache and sources of its own, in `home`."""

    def __init__(self, kernel: Kernel, home: Path) -> None:
        self.home = home
        self._image = f"linux-image-{kernel.flavour}"
        for part in ("lists/partial", "archives/partial", "sources.d", "debs"):
            (home / part).mkdir(parents=True)
        archives = [(uri, suite) for suite in kernel.suites for uri in mirrors(suite)]
        lines = [f"deb [signed-by={KEYRING}] {uri} {suite} main\n" for uri, suite in archives]
        (home / "sources.list").write_text("".join(lines))
        (home / "status").touch()
        (home / "apt.conf").write_text(
            f"""
            Dir::Etc::SourceList "{home}/sources.list";
            Dir::Etc::SourceParts "{home}/sources.d";
            Dir::Etc::Preferences "/dev/null";
            Dir::Etc::PreferencesParts "{home}/sources.d";
            Dir::State::Lists "{home}/lists";
            Dir::State::Status "{home}/status";
            Dir::Cache "{home}";
            Dir::Cache::Archives "{home}/archives";
            APT::Architecture "{kernel.machine}";
            APT::Architectures "{kernel.machine}";
            APT::Sandbox::User "root";
            Acquire::Languages "none";
            Acquire::Retries "3";
            #clear APT::Update::Post-Invoke;
            #clear APT::Update::Post-Invoke-Success;
            """
        )

    def update(self) -> str:
        """Read the lists. A suite that is not there is no error as long as another one has the kernel."""
        done = self._run("apt-get", "update", "-q", check=False)
        complaints = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))]
        return "\n".join(complaints)

    def kernel_packages(self) -> list[tuple[str, str, int]]:
        """(name, version, size in bytes) of what has vmlinuz and the modules: what Debian's meta package asks for."""
        found: list[tuple[str, str, int]] = []
        wanted = [self._image]
        seen = set(wanted)
        while wanted:
            name = wanted.pop(0)
            fields = self._show(name)
            if fields is None:
                continue
            if name != self._image:
                found.append((name, fields["Version"], int(fields["Size"])))
            depends = f"{fields.get('Depends', '')}, {fields.get('Pre-Depends', '')}"
            for dependency in (part.split()[0] for part in depends.split(",") if part.strip()):
                is_part = any(dependency.removeprefix(part)[:1].isdigit() for part in PARTS)
                if is_part and dependency not in seen:
                    seen.add(dependency)
                    wanted.append(dependency)
        return found

    def download(self, name: str, version: str) -> Path:
        self._run("apt-get", "download", "-q", f"{name}={version}", cwd=self.home / "debs")
        (deb,) = (self.home / "debs").glob(f"{name}_*.deb")
        return deb

    def _show(self, name: str) -> dict[str, str] | None:
        done = self._run("apt-cache", "show", "--no-all-versions", name, check=False)
        pairs = (line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line and line[0] != " ")
        return {pair[0]: pair[1] for pair in pairs} or None

    def _run(
        self, *command: str, check: bool = True, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        program, *rest = command
        done = subprocess.run(
            [program, "-c", self.home / "apt.conf", *rest],
            cwd=cwd,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        if check and done.returncode != 0:
            raise CannotFetch(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
        return done


def mirrors(suite: str) -> list[str]:
    """The archives that this machine's own sources name: those with a security suite for security suites, else the
    rest. Somebody else's archive among them does no harm: the keyring does not know its signature.
    """
    listed = subprocess.run(
        ["apt-get", "update", "--print-uris"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=True,
    ).stdout
    found = re.findall(r"^'(\S+?)/dists/(\S+?)/InRelease'", listed, re.MULTILINE)
    security = suite.endswith("-security")
    uris = [uri for uri, served in found if (served.endswith("-security") if security else "-" not in served)]
    return list(dict.fromkeys(uris))
