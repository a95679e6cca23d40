"""The command after `--`: started once whydrop is ready, watched, and not left behind."""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from dropwatch.errors import WrongUsage
from dropwatch.privilege.caller import environment_of_caller

_GRACE_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def refuse_missing(argv: tuple[str, ...]) -> None:
    """Raise WrongUsage when there is no such program to start."""
    if not argv[0] or shutil.which(argv[0]) is None:
        raise WrongUsage(
            f"the command after `--` cannot be run: there is no program {argv[0]!r}",
            "write what you would type in a shell; for several commands: -- sh -c 'one; two'",
        )


class Command:
    """One run of the user's command.

    Its standard output goes to our standard error: our standard output carries findings only. In the
    foreground of a terminal it shares our process group, so that Ctrl-C and Ctrl-Z reach both, as with `time`
    or `strace`, and what it leaves in the background stays. Otherwise it gets a group of its own, which ends with the
    run: what it left in the background, too, unless that made itself a group. When whydrop is killed (SIGKILL), the
    kernel ends the command, but not what that had started.
    """

    def __init__(self, argv: tuple[str, ...]) -> None:
        self._argv = argv
        self._own_group = not _in_foreground()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_by_us = False

    def start(self) -> None:
        """Raises WrongUsage when the system cannot execute it."""
        prctl, own_group = ctypes.CDLL(None).prctl, self._own_group  # before the fork

        def in_child() -> None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if own_group:
                os.setpgid(0, 0)

        try:
            self._process = subprocess.Popen(
                self._argv,
                stdout=2,
                env=environment_of_caller(),
                preexec_fn=in_child,
            )
        except OSError as error:
            raise WrongUsage(
                f"the command after `--` cannot be run: {self._argv[0]}: {error.strerror}",
                "it must be a program that this host can execute",
            ) from error

    def ended(self) -> bool:
        """Its number, and its group's, stay taken until stop()."""
        return self._process is not None and (
            self._process.returncode is not None or not _runs(self._process.pid)
        )

    def stop(self, impatient: Callable[[], bool]) -> None:
        """End what still runs: SIGTERM, then SIGKILL after a grace that `impatient` can cut short."""
        if self._process is None or self._process.returncode is not None:
            return
        self._ended_by_us = not self.ended()
        if self._is_left(self._process.pid):
            self._signal(self._process, signal.SIGTERM)
            until = time.monotonic() + _GRACE_SECONDS
            while self._is_left(self._process.pid) and time.monotonic() < until and not impatient():
                time.sleep(_LOOK_EVERY_SECONDS)
            self._signal(self._process, signal.SIGKILL)
        self._process.wait()

    def _is_left(self, pid: int) -> bool:
        return _runs(pid) or (self._own_group and _group_runs(pid))

    def _signal(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Not after it was waited for: until then its number, and its group's, belong to nobody else."""
        if self._own_group:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)

    def failure(self) -> str | None:
        """How it failed, in words; None when it ended well, was ended by us or was never started."""
        status = self._process.returncode if self._process is not None else None
        if status is None or status == 0 or self._ended_by_us:
            return None
        if status < 0:
            return f"the command {self._argv[0]!r} was ended by {_signal_name(-status)}"
        return f"the command {self._argv[0]!r} ended with exit code {status}"


def _runs(pid: int) -> bool:
    """Looks without waiting for it, so that the number stays taken."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _group_runs(group: int) -> bool:
    """Whether any process of the group has not ended: proc_pid_stat(5), after the name its state, parent and group."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_bytes().rpartition(b")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # gone meanwhile
        if int(its_group) == group and state not in (b"Z", b"X"):
            return True
    return False


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _in_foreground() -> bool:
    """True when a terminal sends its Ctrl-C to our process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
