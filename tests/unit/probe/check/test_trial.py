"""The trials ask the running kernel: their answers are compared with another witness where there is one."""

import errno
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf
from dropwatch.probe.check import trial


def test_without_rights_the_kernel_refuses_and_nothing_breaks() -> None:
    """Dropping the capabilities of a child is the witness: it must be refused whoever runs the tests."""
    script = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.capset(ctypes.create_string_buffer(bytes.fromhex('2205082000000000')),\n"
        "            ctypes.create_string_buffer(24))\n"
        "from dropwatch.probe.check import trial\n"
        "sys.exit(trial.program(reading=True).worked)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_tracepoint_that_is_not_there_cannot_be_watched() -> None:
    missing = trial.raw_tracepoint("no_such_tracepoint")
    if trial.program(reading=False).worked:
        assert missing.error == errno.ENOENT
        assert trial.raw_tracepoint("kfree_skb").worked
    else:
        assert not missing.worked


def test_kprobes_are_there_exactly_when_the_kernel_has_their_pmu() -> None:
    has = Path("/sys/bus/event_source/devices/kprobe").is_dir()
    assert trial.has_kprobes() is has
    if not has:
        assert trial.kprobe("xfrm_input").error == errno.ENODEV


TRY_ALL = """
from pathlib import Path
from dropwatch.probe.check import trial

def open_files():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())

before = open_files()
for _ in range(3):
    trial.program(reading=True)
    trial.ring_buffer()
    trial.raw_tracepoint("kfree_skb")
    trial.raw_tracepoint("no_such_tracepoint")
    trial.kprobe("kfree_skb_reason")
assert open_files() == before
"""


def test_nothing_stays_open() -> None:
    """In a process of its own: in this one threads open files of theirs while kernels are being tested."""
    subprocess.run([sys.executable, "-c", TRY_ALL], check=True)


def test_without_btf_a_trampoline_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> btf.Btf:
        raise CannotRunHere("this kernel carries no BTF", "bring it")

    monkeypatch.setattr(btf, "vmlinux", none)
    assert trial.trampoline("udp_sendmsg") == trial.Outcome(errno.ENOENT, "this kernel carries no BTF")


def test_what_the_kernel_calls_by_a_number_of_its_own_has_words() -> None:
    assert trial.Outcome(trial.ENOTSUPP).words == "this kernel has none"


def test_an_unknown_machine_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    assert trial.program(reading=False) == trial.Outcome(None)
    assert trial.ring_buffer() == trial.Outcome(None)


def test_outcomes_speak() -> None:
    assert trial.Outcome(errno.EACCES).refused
    assert not trial.Outcome(errno.EINVAL).refused
    assert trial.Outcome(errno.EPERM).words == "Operation not permitted"
    assert trial.Outcome(0).words == ""
