"""Runs one command in a guest: this machine's root file system under another kernel, in plain emulation."""

import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lab.fetch import Fetched
from lab.initramfs import pack
from lab.machine import MACHINES

if TYPE_CHECKING:
    from typing_extensions import Self


MEMORY = "2G"
TAIL = 60  # lines of the console that go into a report
QEMU = (
    " -accel tcg,tb-size=512 -nodefaults -no-user-config -display none -no-reboot"
    " -device virtio-rng-pci"
    " -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"
    " -device virtio-9p-pci,fsdev=root,mount_tag=root"
)


class GuestDied(Exception):
    """The guest ended without an exit status, or took too long. The message has the end of its console."""


class Guest:
    """A guest that runs `command` in directory `cwd` and powers off. Nothing it does reaches the host.

    The exception is `shared`, a directory of the host that the guest sees as /run/lab. What the command prints goes to
    `stdout` and `stderr` as it comes; the guest's console is kept for reports. With `interactive` the console is
    this terminal and the command runs on it. `root` is another root file system than this machine's (lab/userland.py).
    """

    def __init__(
        self,
        kernel: Fetched,
        command: list[str],
        *,
        cwd: Path,
        env: dict[str, str],
        stdout: BinaryIO,
        stderr: BinaryIO,
        interactive: bool = False,
        cpus: int = 1,
        root: Path | None = None,
    ) -> None:
        self.kernel = kernel
        self._machine = MACHINES[kernel.machine]
        self._home = Path(tempfile.mkdtemp(prefix=f"whydrop-{kernel.label}-"))
        self.shared = self._home / "shared"
        self.shared.mkdir()
        self._outs = (stdout, stderr)
        self._interactive = interactive
        self._cpus = cpus
        self._pumps: list[threading.Thread] = []
        (self._home / "initramfs").write_bytes(pack(kernel, root))
        stage2 = self.shared / "stage2"
        stage2.write_text(self._stage2(command, cwd, env))
        stage2.chmod(0o755)

    def __enter__(self) -> "Self":
        if self._interactive:
            self._qemu = subprocess.Popen([*self._words(), "-serial", "mon:stdio"])
            return self
        words = [*self._words(), "-serial", f"file:{self._home}/console.log", "-device", "virtio-serial-pci"]
        sockets = [self._pump(out) for out in self._outs]
        for number, qemus in enumerate(sockets, start=1):
            words += ["-chardev", f"socket,id=out{number},fd={qemus.fileno()}"]
            words += ["-device", f"virtserialport,chardev=out{number},nr={number}"]
        with (self._home / "qemu.log").open("wb") as log:
            self._qemu = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[qemus.fileno() for qemus in sockets],
            )
        for qemus in sockets:
            qemus.close()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        self._qemu.wait()
        self._join_pumps()
        shutil.rmtree(self._home)

    def kill(self) -> None:
        """End the guest now; nothing happens if it has ended."""
        self._qemu.kill()

    def ended(self, seconds: float) -> bool:
        """Whether the guest has powered off, waiting for that at most `seconds`."""
        try:
            self._qemu.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._join_pumps()
        return True

    def status(self) -> int:
        """The command's exit status, once the guest has ended. Raises GuestDied when it has left none."""
        try:
            return int((self.shared / "status").read_text())
        except FileNotFoundError:
            raise GuestDied(f"the guest ended before its command did\n{self.console_tail()}") from None

    def console(self) -> str:
        """All that QEMU and the guest's kernel have said so far."""
        logs = (self._home / name for name in ("qemu.log", "console.log"))
        return "".join(log.read_text(errors="replace") for log in logs if log.exists())

    def console_tail(self) -> str:
        lines = self.console().splitlines()[-TAIL:]
        return "\n".join([f"--- end of the console of {self.kernel.release} ---", *lines])

    def _stage2(self, command: list[str], cwd: Path, env: dict[str, str]) -> str:
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
        if self._interactive:
            size = shutil.get_terminal_size()
            console = f"/dev/{self._machine.console}"
            prepare = f"stty -F {console} rows {size.lines} cols {size.columns}\n"
            start, ends = "setsid -c ", f"<{console} >{console} 2>&1"
        else:
            prepare, start = "", ""
            ends = "</dev/null >$(echo /dev/vport*p1) 2>$(echo /dev/vport*p2)"
        return (
            "#!/bin/sh\n"
            "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8\n"
            "ip link set lo up\n"
            f"hostname linux-{self.kernel.label.replace('.', '-')}\n"
            f"{prepare}{exports}"
            f"cd {shlex.quote(str(cwd))} && {start}{shlex.join(command)} {ends}\n"
            "echo $? >/run/lab/status.partial && mv /run/lab/status.partial /run/lab/status\n"
            "exec busybox poweroff -f\n"
        )

    def _words(self) -> list[str]:
        # norandmaps: QEMU translates a program anew for each address that it runs at; a small one takes a third
        # rcu_expedited: taking off a probe waits for two grace periods, and a trace has 150 probes
        append = (
            f"console={self._machine.console} panic=-1 quiet loglevel=5 mitigations=off norandmaps"
            f" rcupdate.rcu_expedited=1 {self._machine.parameters}"
        )
        return [
            *("setpriv", "--pdeathsig", "KILL"),
            *(self._machine.qemu + QEMU).split(),
            *("-smp", str(self._cpus), "-m", MEMORY, "-kernel", str(self.kernel.vmlinuz)),
            *("-initrd", str(self._home / "initramfs"), "-append", append),
            *("-fsdev", f"local,id=lab,path={self.shared},security_model=none"),
            *("-device", "virtio-9p-pci,fsdev=lab,mount_tag=lab"),
        ]

    def _pump(self, to: BinaryIO) -> socket.socket:
        """A socket for QEMU to write to: what it writes goes on to `to`, into nothing once nobody reads that."""
        ours, qemus = socket.socketpair()

        def pump() -> None:
            with ours:
                while chunk := ours.recv(1 << 16):
                    with suppress(BrokenPipeError):
                        to.write(chunk)
                        to.flush()

        thread = threading.Thread(target=pump, name=f"output of {self.kernel.label}", daemon=True)
        thread.start()
        self._pumps.append(thread)
        return qemus

    def _join_pumps(self) -> None:
        for thread in self._pumps:
            thread.join()
