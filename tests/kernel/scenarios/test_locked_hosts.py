"""Hosts on which little can be read: whydrop says what is missing, and tells the rest as it is."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenarios import traffic
from scenarios.firewalls import nft
from scenarios.namespaces import Lab
from scenarios.whydrop_process import WHYDROP, Finished, Line, Whydrop

PORT, COUNT = 5061, 7
BTF = Path("/sys/kernel/btf")
RESTRICT = Path("/proc/sys/kernel/kptr_restrict")
LOCKDOWN = Path("/sys/kernel/security/lockdown")  # there is no way back
# What hides something from whydrop only; then it is started.
HIDDEN = ("unshare", "--mount", "--propagation", "private", "sh", "-ec")
NO_TRACEFS = (
    "umount /sys/kernel/debug; umount /sys/kernel/tracing; ! ls -d /sys/kernel/tracing/events 2>/dev/null;"
)
CGROUPS_OF_OLD = """
umount -l /sys/fs/cgroup
mount -t tmpfs cgroup /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
mkdir -p /sys/fs/cgroup/systemd/system.slice/old.service
echo $$ >/sys/fs/cgroup/systemd/system.slice/old.service/cgroup.procs
"""
NOT_WRITABLE = "mount -o remount,bind,ro /; ! touch /written 2>/dev/null;"
WITHOUT_BTF = f"cp {BTF}/vmlinux $TMPDIR/btf; mount -t tmpfs none {BTF};"


def elsewhere(prepare: str) -> tuple[str, ...]:
    return (*HIDDEN, prepare + ' exec "$@"', "sh")


def told_by_rule(lab: Lab, *options: str, before: tuple[str, ...] = ()) -> Finished:
    """Of packets that a rule of nft drops in another namespace."""
    nft(lab.b, f"table inet t {{ chain c {{ type filter hook input priority 0; udp dport {PORT} drop }} }}")
    return told(lab, *options, before=before)


def told(lab: Lab, *options: str, before: tuple[str, ...] = ()) -> Finished:
    """Of packets that die in another namespace; it ends by itself."""
    words = ("--dport", str(PORT), "--every-packet", "--count", str(COUNT), *options)
    with Whydrop(*words, before=before) as whydrop:
        traffic.datagrams(lab.a, lab.b.v4, [PORT] * COUNT)
        done = whydrop.finish(with_signal=None)
    assert (done.status, len(done.lines), "Traceback" in done.stderr) == (0, COUNT, False), done.stderr
    return done


def rules(done: Finished) -> set[str]:
    return {line["object"]["kind"] for line in done.lines if line["cause"]["confidence"] == "certain"}


def spots(done: Finished) -> list[str]:
    assert done.end is not None
    return list(done.end["blind_spots"])


def refused(before: tuple[str, ...], *words: str) -> str:
    """What it says, in words, where it cannot run."""
    done = subprocess.run([*before, str(WHYDROP), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


@pytest.mark.once
def test_nothing_is_lost_where_it_can_neither_write_nor_trace(lab: Lab) -> None:
    """No tracefs, a root file system that cannot be written, control groups of the first version."""
    bare = told_by_rule(lab)
    locked = told_by_rule(lab, before=elsewhere(NO_TRACEFS + CGROUPS_OF_OLD + NOT_WRITABLE))
    assert rules(locked) == {"nft-rule"}
    assert spots(locked) == spots(bare)


@contextmanager
def restricted() -> Iterator[None]:
    before = RESTRICT.read_text()
    RESTRICT.write_text("2")
    try:
        yield
    finally:
        RESTRICT.write_text(before)


@pytest.mark.once
def test_addresses_that_not_even_root_sees_are_a_blind_spot(lab: Lab) -> None:
    """kernel.kptr_restrict=2: functions have no names, and nothing that goes by them is told."""
    with restricted():
        done = told_by_rule(lab)
    (spot,) = (spot for spot in spots(done) if "kptr_restrict" in spot)
    assert spot.startswith("names of functions: ")
    assert rules(done) <= {"nft-rule"}
    assert {line["cause"]["id"] for line in done.lines} <= {"netfilter.nft-rule", "unknown"}


@pytest.mark.once
def test_a_container_without_the_hosts_processes(lab: Lab) -> None:
    """A rule in a namespace that only a process outside is in: who cannot see it says so, and names no other rule."""
    done = told_by_rule(lab, before=("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"))
    (spot,) = (spot for spot in spots(done) if spot.startswith("processes: "))
    assert "container" in spot
    assert {line["cause"]["id"] for line in done.lines} == {"netfilter.nft-rule"}


@pytest.mark.alone
def test_under_lockdown(lab: Lab) -> None:
    """With integrity (Secure Boot) nothing is lost, with confidentiality it says what stands in the way."""
    subprocess.run(["mount", "-t", "securityfs", "none", "/sys/kernel/security"], check=True)
    bare = told_by_rule(lab)
    LOCKDOWN.write_text("integrity")
    locked = told_by_rule(lab)
    assert rules(locked) == {"nft-rule"}
    assert spots(locked) == spots(bare)
    LOCKDOWN.write_text("confidentiality")
    said = refused((), "--duration", "1")
    assert "lockdown is confidentiality" in said, said
    assert "boot without lockdown=confidentiality" in said, said


@pytest.mark.once
def test_without_proc_it_says_so() -> None:
    said = refused(elsewhere("mount -t tmpfs none /proc;"), "--duration", "1")
    assert "/proc/self is not there" in said, said


@pytest.mark.once
def test_a_kernel_without_btf_is_told_what_to_bring(lab: Lab, tmp_path: Path) -> None:
    """And what the kernel itself tells is certain with the file; modules have none, which is said."""
    os.environ["TMPDIR"] = str(tmp_path)
    try:
        hidden = elsewhere(WITHOUT_BTF)
        said = refused(hidden, "--duration", "1")
        assert "carries no BTF" in said
        assert "--btf FILE" in said
        assert "linux-image-$(uname -r)-dbg" in said
        facts: list[Line] = json.loads(
            subprocess.run(
                [*hidden, str(WHYDROP), "check", "--json"], capture_output=True, text=True, check=False
            ).stdout
        )["facts"]
        assert next(fact["name"] for fact in facts if fact["works"] is False) == "BTF"
        spoilt = tmp_path / "spoilt"
        spoilt.write_bytes(b"\x7fELF" + bytes(100))
        assert "is not BTF" in refused(hidden, "--btf", str(spoilt), "--duration", "1")
        done = told(lab, "--btf", str(tmp_path / "btf"), before=hidden)
    finally:
        del os.environ["TMPDIR"]
    causes = {(line["cause"]["id"], line["cause"]["confidence"]) for line in done.lines}
    assert causes == {("socket.udp-no-listener", "certain")}
    assert len([spot for spot in spots(done) if "--btf" in spot]) == 2


@pytest.mark.once
def test_btf_of_another_kernel_is_refused(tmp_path: Path) -> None:
    """One in which the members of a task and of a namespace have other places."""
    raw = bytearray((BTF / "vmlinux").read_bytes())
    places = [raw.find(name) for name in (b"\0comm\0", b"\0prio\0")]
    for at, name in zip(places, (b"\0prio\0", b"\0comm\0"), strict=True):
        assert at > 0
        raw[at : at + len(name)] = name
    other_kernel = tmp_path / "other"
    other_kernel.write_bytes(raw)
    said = refused(elsewhere(f"mount -t tmpfs none {BTF};"), "--btf", str(other_kernel), "--duration", "1")
    assert "by this file the " in said, said
