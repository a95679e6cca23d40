"""The recorder as a service: systemd starts it with the unit that is shipped, and it sees as much as without it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenarios.firewalls import load_modules, nft
from scenarios.namespaces import Lab
from scenarios.test_watch import CLOSED, REFUSED, by_port, last
from scenarios.traffic import datagrams
from scenarios.waiting import eventually
from scenarios.whydrop_process import WHYDROP

UNIT = Path(__file__).parents[3] / "packaging" / "systemd" / "whydrop.service"
UNITS = Path("/run/systemd/system")
STORE = Path("/var/lib/whydrop/drops.sqlite")
CGROUP = Path("/sys/fs/cgroup/booted")
Systemctl = Callable[..., str]
# The first process of a PID namespace, with control groups of its own; what is mounted here later it sees as well.
BOOT = f"""
echo $$ >{CGROUP}/cgroup.procs
exec unshare --cgroup --pid --fork --kill-child --mount --propagation slave sh -c '
mount --make-rshared /
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env container=lab /lib/systemd/systemd --system --unit=lab.target --log-target=console --show-status=no'
"""


@contextmanager
def booted(log: Path) -> Iterator[Systemctl]:
    """systemd, with nothing to start but what it is told to."""
    UNITS.mkdir(parents=True, exist_ok=True)
    (UNITS / "lab.target").write_text("[Unit]\nDescription=nothing\nDefaultDependencies=no\n")
    alone = UNITS / f"{UNIT.name}.d"  # nothing that a host starts at its boot: it would clean up /tmp
    alone.mkdir()
    (alone / "alone.conf").write_text("[Unit]\nDefaultDependencies=no\n")
    CGROUP.mkdir()
    with log.open("wb") as out:
        outer = subprocess.Popen(["sh", "-c", BOOT], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")

    def systemctl(*words: str) -> str:
        inside = ["nsenter", "--target", children.read_text().split()[0], "--pid", "--mount", "--cgroup"]
        ran = subprocess.run([*inside, "systemctl", *words], capture_output=True, text=True, check=False)
        return ran.stdout.strip() or ran.stderr.strip()

    try:
        eventually(
            lambda: bool(children.read_text()) and systemctl("is-system-running") in ("running", "degraded"),
            "systemd runs",
        )
        yield systemctl
    finally:
        outer.send_signal(signal.SIGKILL)
        outer.wait()
        eventually(lambda: "populated 0" in (CGROUP / "cgroup.events").read_text(), "all of it has ended")
        for directory, _, _ in os.walk(CGROUP, topdown=False):
            Path(directory).rmdir()
        shutil.rmtree(UNITS)


@pytest.mark.once
def test_systemd_runs_it(lab: Lab, tmp_path: Path) -> None:
    load_modules()
    rule = f"udp dport {REFUSED} counter drop"
    nft(lab.b, f"table inet t {{ chain c {{ type filter hook input priority 0;\n{rule}\n}} }}")
    with booted(tmp_path / "systemd") as systemctl:
        shipped = UNIT.read_text()
        assert "ExecStart=/usr/bin/whydrop watch" in shipped
        (UNITS / UNIT.name).write_text(
            shipped.replace("=/usr/bin/whydrop", f"={WHYDROP}").replace("$WHYDROP_OPTIONS", "--no-light")
        )
        assert systemctl("start", UNIT.name) == "", systemctl("status", UNIT.name)
        assert systemctl("is-active", UNIT.name) == "active"
        datagrams(lab.a, lab.b.v4, [*[REFUSED] * 3, *[CLOSED] * 5])
        eventually(lambda: by_port(last(STORE, lab.b.name)) == {REFUSED: 3, CLOSED: 5}, "all are recorded")
        found = [line["finding"] for line in last(STORE, lab.b.name) if line["type"] == "died"]
        causes = {one["packet"]["dport"]: (one["cause"]["id"], one["cause"]["confidence"]) for one in found}
        assert causes[REFUSED] == ("netfilter.nft-rule", "certain")
        assert causes[CLOSED] == ("socket.udp-no-listener", "certain")
        assert all(one["where"]["function"] for one in found), "it may read the names of functions"
        assert systemctl("stop", UNIT.name) == ""
        assert (
            systemctl("show", UNIT.name, "-p", "ActiveState,Result") == "Result=success\nActiveState=inactive"
        )
