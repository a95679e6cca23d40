"""Two fresh network namespaces joined by a veth pair: the road on which a scenario loses its packets."""

import ctypes
import itertools
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from scenarios.waiting import eventually

NUMBERS = itertools.count(1)
LIBC = ctypes.CDLL(None, use_errno=True)  # os.setns comes with Python 3.12
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Namespace:
    """One end of the road. `name` is what `ip netns` calls it, `inode` what the kernel does."""

    name: str
    iface: str
    v4: str
    v6: str
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def inode(self) -> int:
        return self._path.stat().st_ino

    def run(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command line (no shell) in here and wait for it; a failure shows what it said."""
        done = subprocess.run(self._words(command), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise AssertionError(
                f"{self.name}: {command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command line in here; it is killed when the namespace goes."""
        process = subprocess.Popen(
            self._words(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._processes.append(process)
        return process

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread live in here for a while: sockets that it makes stay here."""
        with Path("/proc/thread-self/ns/net").open() as before, self._path.open() as here:
            _setns(here.fileno())
            try:
                yield
            finally:
                _setns(before.fileno())

    def delete(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "delete", self.name], check=True)

    @property
    def _path(self) -> Path:
        return Path("/run/netns", self.name)

    def _words(self, command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *shlex.split(command)]


@dataclass(frozen=True)
class Lab:
    """Namespaces `a` and `b`, interfaces `va` and `vb`, up, 10.9.N.1/2 and fd09:N::1/2; no name is used twice."""

    a: Namespace
    b: Namespace


@contextmanager
def joined_pair() -> Iterator[Lab]:
    """Make the pair; at the end both namespaces and all that was configured in them are gone."""
    number = next(NUMBERS)
    subnet = 1 + (number - 1) % 250
    ends = [
        Namespace(f"{side}{number}", f"v{side}", f"10.9.{subnet}.{host}", f"fd09:{subnet}::{host}")
        for host, side in enumerate("ab", start=1)
    ]
    for end in ends:
        subprocess.run(["ip", "netns", "add", end.name], check=True)
    a, b = ends
    try:
        # No duplicate address detection and no router solicitations: they are packets that nobody sent on purpose.
        quiet = "net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.router_solicitations=0"
        for end in ends:
            end.run(f"sysctl -qw {quiet}")
        a.run(f"ip link add {a.iface} type veth peer name {b.iface} netns {b.name}")
        for end in ends:
            _batch(
                end,
                f"address add {end.v4}/24 dev {end.iface}",
                f"address add {end.v6}/64 dev {end.iface} nodad",
                "link set lo up",
                f"link set {end.iface} up",
            )
        for end in ends:  # IPv6 hears of the link a moment later, and has no route before
            eventually(partial(_has_ipv6, end, subnet), f"{end.name} has its IPv6 route")
        yield Lab(a, b)
    finally:
        for end in ends:
            end.delete()


def _has_ipv6(end: Namespace, subnet: int) -> bool:
    return f"fd09:{subnet}::/64" in end.run(f"ip -6 route show dev {end.iface}").stdout


def _batch(end: Namespace, *lines: str) -> None:
    subprocess.run(["ip", "-n", end.name, "-batch", "-"], input="\n".join(lines), text=True, check=True)


def _setns(fd: int) -> None:
    if LIBC.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
