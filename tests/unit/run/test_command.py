"""The command after `--`: started, told apart when it fails, ended with everything that it started."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dropwatch.errors import WrongUsage
from dropwatch.run.command import Command, refuse_missing


def patient() -> bool:
    return False


def started(*argv: str) -> Command:
    command = Command(argv)
    command.start()
    return command


def wait(command: Command) -> Command:
    assert command._process is not None
    command._process.wait()
    return command


def has_ended(pid: int) -> bool:
    """Waits for the end of a process that is not our child: its pidfd becomes readable."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor):
        return bool(select.select([descriptor], [], [], 10)[0])


def has_ended_now(pid: int) -> bool:
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_missing_program_is_refused_before_anything_starts(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    for argv in (
        ("no-such-program-anywhere",),
        (str(tmp_path / "nothing"),),
        (str(plain),),
        ("",),
        (str(tmp_path),),
    ):
        with pytest.raises(WrongUsage, match="cannot be run"):
            refuse_missing(argv)
    refuse_missing(("sh", "-c", "true"))


def test_what_cannot_be_executed_is_wrong_usage(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x00\x01\x02")
    broken.chmod(0o755)
    with pytest.raises(WrongUsage, match="Exec format error"):
        started(str(broken))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", None),
        ("exit 7", "the command 'sh' ended with exit code 7"),
        ("kill -SEGV $$", "the command 'sh' was ended by SIGSEGV"),
    ],
)
def test_a_failure_is_told_in_words(script: str, words: str) -> None:
    assert wait(started("sh", "-c", script)).failure() == words


def test_its_output_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    wait(started("sh", "-c", "echo out; echo err >&2"))
    told = capfd.readouterr()
    assert (told.out, sorted(told.err.split())) == ("", ["err", "out"])


def test_a_command_that_is_ended_by_us_did_not_fail() -> None:
    command = started("sleep", "60")
    command.stop(patient)
    assert command.ended()
    assert command.failure() is None


def test_one_that_refuses_to_end_is_killed_and_impatience_shortens_the_wait(
    capfd: pytest.CaptureFixture[str],
) -> None:
    # It says when it ignores SIGTERM, through a pipe of ours: nobody sleeps in a test.
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    script = (
        f"import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write({writing}, b'x')"
    )
    command = Command((sys.executable, "-c", f"{script}; time.sleep(60)"))
    command._process = subprocess.Popen(command._argv, pass_fds=(writing,), start_new_session=True)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    command._own_group = True
    command.stop(lambda: True)
    assert command._process.returncode == -signal.SIGKILL


def test_it_ends_when_whydrop_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    script = (
        "import time; from dropwatch.run.command import Command; "
        f"Command(('sh', '-c', 'echo $$ > {pid_file}; exec sleep 60')).start(); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as whydrop:
        command = int(pid_file.read_text())
        whydrop.kill()
    assert has_ended(command)


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    command = Command(("sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"))
    command._own_group = True
    command.start()
    grandchild = int(pid_file.read_text())
    command.stop(patient)
    assert has_ended(grandchild)


def test_what_it_left_in_the_background_ends_with_the_run(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    command = Command(("sh", "-c", f"sleep 60 & echo $! > {pid_file}; exit 7"))
    command._own_group = True
    command.start()
    left = int(pid_file.read_text())
    assert command._process is not None
    os.waitid(os.P_PID, command._process.pid, os.WEXITED | os.WNOWAIT)
    assert command.ended()
    assert not has_ended_now(left)
    command.stop(patient)
    assert has_ended(left)
    assert command.failure() == "the command 'sh' ended with exit code 7"


def test_nothing_to_stop_is_fine() -> None:
    Command(("true",)).stop(patient)
    wait(started("true")).stop(patient)
