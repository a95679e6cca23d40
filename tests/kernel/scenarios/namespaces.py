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
from ipaddress import IPv6Address, IPv6Interface
from pathlib import Path

from scenarios.waiting import eventually

NUMBERS = itertools.count(1)
LIBC = ctypes.CDLL(None, use_errno=True)  # os.setns comes with Python 3.12
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Namespace:
    """One end of the road. `name` is what `ip netns` calls it, `inode` what the kernel does.

    Commands are started from within it: `ip netns exec` takes longer than most of them. /sys is not the namespace's.
    """

    name: str
    iface: str
    v4: str
    v6: str
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def inode(self) -> int:
        return self._path.stat().st_ino

    def run(self, command: str, *, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command line (no shell) in here and wait for it; a failure shows what it said."""
        with self.entered():
            done = subprocess.run(shlex.split(command), capture_output=True, text=True, input=stdin)
        if check and done.returncode != 0:
            raise AssertionError(
                f"{self.name}: {command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def configure(self, *lines: str) -> None:
        """Arguments of `ip`, one command a line, carried out in here by one process."""
        self.run("ip -batch -", stdin="\n".join(lines))

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command line in here; it is killed when the namespace goes."""
        with self.entered():
            process = subprocess.Popen(
                shlex.split(command),
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

    def set(self, sysctl: str, value: int) -> None:
        """Without a process: they take most of the time under emulation."""
        with self.entered():
            Path("/proc/sys", sysctl).write_text(str(value))

    def delete(self) -> None:
        self.end_processes()
        _batch(f"netns delete {self.name}")

    def end_processes(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    @property
    def _path(self) -> Path:
        return Path("/run/netns", self.name)


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
    _batch(*(f"netns add {end.name}" for end in ends))
    a, b = ends
    try:
        # No duplicate address detection and no router solicitations: they are packets that nobody sent on purpose.
        for end in ends:
            end.set("net/ipv6/conf/default/accept_dad", 0)
            end.set("net/ipv6/conf/default/router_solicitations", 0)
        # With one index for both the kernel hears of the carrier up to a second later (linkwatch_urgent_event).
        a.configure(
            f"link add {a.iface} index 11 type veth peer name {b.iface} index 12 netns {b.name}",
            *_configuration(a),
        )
        b.configure(*_configuration(b))
        for end in ends:  # IPv6 hears of the link a moment later, and has no route before
            eventually(partial(_has_ipv6, end), f"{end.name} has its IPv6 route")
        yield Lab(a, b)
    finally:
        for end in ends:
            end.end_processes()
        _batch(*(f"netns delete {end.name}" for end in ends))


def _configuration(end: Namespace) -> tuple[str, ...]:
    return (
        f"address add {end.v4}/24 dev {end.iface}",
        f"address add {end.v6}/64 dev {end.iface} nodad",
        "link set lo up",
        f"link set {end.iface} up",
    )


def _has_ipv6(end: Namespace) -> bool:
    """The routes of its network, of its own address and of groups: they come one after the other.

    Lines of /proc/net/ipv6_route: network, length, ..., interface, all in hexadecimal.
    """
    own = IPv6Interface(f"{end.v6}/64")
    wanted = {(own.network.network_address, "40"), (own.ip, "80"), (IPv6Address("ff00::"), "08")}
    with end.entered():
        rows = [line.split() for line in Path("/proc/thread-self/net/ipv6_route").read_text().splitlines()]
    return wanted <= {(IPv6Address(bytes.fromhex(row[0])), row[1]) for row in rows}


def _batch(*lines: str) -> None:
    """Lines for ip: one process for all of them."""
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def _setns(fd: int) -> None:
    if LIBC.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
