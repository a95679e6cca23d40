"""Who reads recordings is nobody, and the files are where they were asked for."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dropwatch.privilege.capabilities import CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN
from dropwatch.resources import resource_dir

EXAMPLE = resource_dir("bpf").parent / "docs" / "example.whydrop"
GIVES_UP = """
import json, os
from dropwatch.privilege.caller import isolate
from dropwatch.privilege import root
isolate()
{before}
root.give_up()
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
found = {{name: value.split() for name, value in lines.items()}}
print(json.dumps({{**found, "shadow": os.access("/etc/shadow", os.R_OK)}}))
"""
NONE = "0000000000000000"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")


def given_up(environment: Mapping[str, str], before: str = "") -> dict[str, Any]:
    words = [sys.executable, "-I", "-c", GIVES_UP.format(before=before)]
    done = subprocess.run(words, env=environment, cwd="/", capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["NoNewPrivs"] == ["1"]
    assert [found[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")] == [[NONE]] * 4
    return found


def reached_by(uid: int) -> bool:
    """Whether that user can read this checkout, and the Python that runs this."""
    words = [sys.executable, "-I", "-c", "import dropwatch.privilege.root, click"]
    try:
        subprocess.run(words, user=uid, group=uid, extra_groups=[], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@as_root
@pytest.mark.parametrize(
    ("environment", "uid", "gid"),
    [
        ({}, 65534, 65534),
        ({"SUDO_UID": "1234", "SUDO_GID": "1235"}, 1234, 1235),
        ({"SUDO_UID": "0", "SUDO_GID": "0"}, 65534, 65534),
        ({"SUDO_UID": "1234", "SUDO_GID": "0"}, 65534, 65534),
        ({"SUDO_UID": "-1", "SUDO_GID": "1"}, 65534, 65534),
        ({"SUDO_UID": "4294967295", "SUDO_GID": "1"}, 65534, 65534),
        ({"SUDO_UID": "nobody"}, 65534, 65534),
    ],
)
def test_root_is_given_up_for_good(environment: dict[str, str], uid: int, gid: int) -> None:
    found = given_up(environment)
    if reached_by(uid):
        assert (found["Uid"], found["Gid"], found["Groups"]) == ([str(uid)] * 4, [str(gid)] * 4, [])
        assert not found["shadow"]


@as_root
def test_who_could_not_read_the_program_does_not_run_it() -> None:
    """Then root stays, with no capability: not even that of reading what belongs to others."""
    found = given_up({}, before="root.resource_dir = lambda name: '/proc/1/root/nowhere'")
    assert found["Uid"] == ["0"] * 4
    assert found["Gid"] == [str(os.getgid())] * 4


@as_root
def test_who_has_capabilities_only_gives_them_up() -> None:
    words = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "--inh-caps=+net_admin",
        "--ambient-caps=+net_admin",
    ]
    program = GIVES_UP.format(before="assert root._has_capabilities()")
    if not reached_by(65534):
        pytest.skip("nobody cannot read this checkout")
    done = subprocess.run(
        [*words, sys.executable, "-I", "-c", program], cwd="/", capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert (found["CapPrm"], found["CapAmb"], found["NoNewPrivs"]) == ([NONE], [NONE], ["1"])


KEEPS = """
import json, subprocess
from dropwatch.privilege.caller import isolate
from dropwatch.privilege.root import keep_only
isolate()
keep_only(frozenset({{{kept}}}))
show = lambda path: dict(line.split(":", 1) for line in open(path))
started = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
print(json.dumps([show("/proc/self/status"), dict(line.split(":", 1) for line in started.splitlines())]))
"""


@as_root
def test_what_is_kept_is_all_that_is_left_also_to_what_is_started() -> None:
    words = [sys.executable, "-I", "-c", KEEPS.format(kept=f"{CAP_NET_ADMIN}, {CAP_SYS_ADMIN}, {CAP_BPF}")]
    done = subprocess.run(words, env={}, capture_output=True, text=True, check=True)
    wanted = 1 << CAP_NET_ADMIN | 1 << CAP_SYS_ADMIN | 1 << CAP_BPF
    for status in json.loads(done.stdout):
        left = {name: int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")}
        assert set(left.values()) <= {wanted, wanted & ~(1 << CAP_BPF)}, left  # a host may lack the last
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Uid"].split() == ["0"] * 4


@as_root
def test_who_has_fewer_gets_none_that_he_had_not() -> None:
    program = KEEPS.format(kept=f"{CAP_NET_ADMIN}, {CAP_SYS_ADMIN}")
    ambient = ["--inh-caps=+net_admin,+kill", "--ambient-caps=+net_admin,+kill"]
    words = ["setpriv", "--reuid=65534", "--clear-groups", *ambient, sys.executable, "-I", "-c", program]
    if not reached_by(65534):
        pytest.skip("nobody cannot read this checkout")
    done = subprocess.run(words, cwd="/", capture_output=True, text=True, check=True)
    for status in json.loads(done.stdout):
        left = {name: int(status[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")}
        assert set(left.values()) == {1 << CAP_NET_ADMIN}, left


@as_root
def test_another_program_that_imports_it_keeps_what_it_has() -> None:
    script = "import os; from dropwatch.privilege.root import give_up; give_up(); print(os.geteuid())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A directory that nobody else may enter, with a recording that nobody else may read."""
    directory = tmp_path / "closed"
    directory.mkdir(0o700)
    shutil.copy(EXAMPLE, directory / "x.whydrop")
    (directory / "x.whydrop").chmod(0o600)
    return directory


def ran(installed: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(installed), *words], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_what_was_asked_for_is_written_and_belongs_to_who_asked(installed: Path, closed: Path) -> None:
    recording = str(closed / "x.whydrop")
    shown = ran(installed, "replay", recording, "--json").stdout
    for name in ("y.whydrop", "y.pcapng", "y.html"):
        ran(installed, "replay", recording, "--write", str(closed / name))
    ran(installed, "report", recording)
    ran(installed, "report", recording, "-o", str(closed / "z.html"))
    names = ("x.html", "x.whydrop", "y.html", "y.pcapng", "y.whydrop", "z.html")
    assert sorted(path.name for path in closed.iterdir()) == sorted(names)
    for path in closed.iterdir():
        found = path.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.geteuid(), 0o600), path
        assert found.st_size > 1000
    assert ran(installed, "replay", str(closed / "y.whydrop"), "--json").stdout == shown
    assert ran(installed, "diff", recording, recording).stdout.endswith(
        "\n0 new, 0 gone, 0 more, 0 fewer, 8 as before\n"
    )


def test_what_goes_wrong_is_told_as_before(installed: Path, closed: Path) -> None:
    recording, mine = closed / "x.whydrop", closed / "mine.html"
    mine.write_text("my diary")
    assert "holds something else" in ran(installed, "report", str(recording), "-o", str(mine), code=2).stderr
    assert "there is no file" in ran(installed, "replay", str(closed / "no"), code=2).stderr
    again = ran(installed, "replay", str(recording), "--write", str(recording), code=2).stderr
    assert "would replace the recording that is read" in again
    assert "is a directory" in ran(installed, "replay", str(closed), code=2).stderr
    (closed / "cut.whydrop").write_bytes(EXAMPLE.read_bytes()[:2000])
    ran(installed, "report", str(closed / "cut.whydrop"), code=1)
    assert (closed / "cut.html").exists()
    assert sorted(path.name for path in closed.iterdir()) == [
        "cut.html",
        "cut.whydrop",
        "mine.html",
        "x.whydrop",
    ]


@as_root
def test_the_pager_is_nobodys(installed: Path) -> None:
    """The caller chooses it, and his environment."""
    words = ["script", "-qec", f"{installed} explain auth-failed", "/dev/null"]
    environment = {"PAGER": "cat >/dev/null; id -u", "TERM": "xterm", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert done.stdout.split() == ["65534" if reached_by(65534) else "0"]
