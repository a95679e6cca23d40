"""Whose a packet is: the unit, the container and the pod of the cgroup in which its socket was made."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.firewalls import nft
from scenarios.namespaces import Lab, Namespace
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, told

pytestmark = pytest.mark.twice
PORT = 5870
MOUNT = Path("/sys/fs/cgroup")
ID = "3f" * 32
UID = "0b5e8f3c-91d2-4c7b-8d4e-6a2f1c9b7e55"
POD = f"kubepods-burstable-pod{UID.replace('-', '_')}.slice"
HOMES = {
    "a unit": ("system.slice/nginx.service", {"unit": "nginx.service"}),
    "a container of Docker": (f"docker/{ID}", {"container": ID}),
    "a pod": (
        f"kubepods.slice/kubepods-burstable.slice/{POD}/cri-containerd-{ID}.scope",
        {"unit": f"cri-containerd-{ID}.scope", "container": ID, "pod": UID},
    ),
}
# Makes a socket in the cgroup, and goes back to where it came from: the socket stays.
SENDER = """import os, socket, sys
home, before, address, port, count = sys.argv[1:]
open(home, "w").write(str(os.getpid()))
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
open(before, "w").write(str(os.getpid()))
for _ in range(int(count)):
    try:
        made.sendto(b"datagram", (address, int(port)))
    except PermissionError:
        pass
"""
READER = """import os, socket, sys, time
home, kind, address, port = sys.argv[1:]
open(home, "w").write(str(os.getpid()))
made = socket.socket(socket.AF_INET, getattr(socket, kind))
made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
made.bind((address, int(port)))
if kind == "SOCK_STREAM":
    made.listen(0)
print(os.getpid(), flush=True)
time.sleep(600)
"""


@contextmanager
def cgroup(path: str) -> Iterator[Path]:
    """The file that takes processes of a new one."""
    made = MOUNT / path
    made.mkdir(parents=True)
    yield made / "cgroup.procs"


def is_told(line: Line, home: str) -> None:
    wanted = {"unit": None, "container": None, "pod": None} | HOMES[home][1]
    assert line["process"] is not None, told(line)
    assert {key: line["process"][key] for key in wanted} == wanted, told(line)


def run(end: Namespace, script: str, *words: str) -> None:
    with end.entered():
        subprocess.run([sys.executable, "-c", script, *words], check=True)


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def reader(end: Namespace, home: str, kind: str) -> Iterator[int]:
    """A process in a cgroup with a socket that nobody reads; its pid."""
    with cgroup(f"{end.name}/{HOMES[home][0]}") as procs, end.entered():
        words = [sys.executable, "-c", READER, str(procs), kind, end.v4, str(PORT)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_who_sent_it(lab: Lab, whydrop: Whydrop, home: str) -> None:
    """Its process is in another cgroup by then."""
    nft(lab.a, f"table inet t {{ chain c {{ type filter hook output priority 0; udp dport {PORT} drop }} }}")
    with cgroup(f"{lab.a.name}/{HOMES[home][0]}") as procs:
        run(lab.a, SENDER, str(procs), str(MOUNT / "cgroup.procs"), lab.b.v4, str(PORT), "5")
        found = deaths(whydrop, lab.a, 5, PORT)
    for line in found:
        is_told(line, home)
        assert line["process"]["comm"].startswith("python"), told(line)


def test_whose_buffer_is_full(lab: Lab, whydrop: Whydrop, home: str) -> None:
    with reader(lab.b, home, "SOCK_DGRAM") as pid:
        traffic.datagrams(lab.a, lab.b.v4, [PORT] * 31)
        lost = int(re.findall(r",d(\d+)\)", lab.b.run(f"ss -uamnH 'sport = :{PORT}'").stdout)[0])
        found = deaths(whydrop, lab.b, lost, PORT)
    assert lost
    for line in found:
        assert line["cause"]["id"] == "socket.udp-buffer-full", told(line)
        is_told(line, home)
        assert line["process"]["pid"] == pid, told(line)


def test_whose_accept_queue_is_full(lab: Lab, whydrop: Whydrop, home: str) -> None:
    with (
        reader(lab.b, home, "SOCK_STREAM") as pid,
        traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as one,
    ):
        one.connect((lab.b.v4, PORT))
        traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (20000, PORT), count=3)
        found = deaths(whydrop, lab.b, 3, PORT)
    for line in found:
        assert line["cause"]["id"] == "socket.accept-queue-full", told(line)
        is_told(line, home)
        assert line["process"]["pid"] == pid, told(line)


def test_whose_packet_waited(lab: Lab, whydrop: Whydrop, home: str) -> None:
    """It dies when nobody has answered, in no system call: the cgroup of its socket is all that is known."""
    nobody = f"{lab.b.v4.rpartition('.')[0]}.77"
    with cgroup(f"{lab.a.name}/{HOMES[home][0]}") as procs:
        run(lab.a, SENDER, str(procs), str(MOUNT / "cgroup.procs"), nobody, str(PORT), "3")
        found = deaths(whydrop, lab.a, 3, PORT)
    for line in found:
        assert line["cause"]["id"] == "neighbour.unresolved", told(line)
        is_told(line, home)


@pytest.mark.once
def test_what_the_containers_are_called(lab: Lab, whydrop: Whydrop) -> None:
    """By Docker's own file, and whose namespace it is where nobody listens: that is looked for now and then only, and
    in vain until a process is in it.
    """
    file = Path("/var/lib/docker/containers") / ID / "config.v2.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        json.dumps({"ID": ID, "Name": "/shop-web-1", "Config": {"Image": "nginx"}}), encoding="utf-8"
    )

    def tenants() -> list[Line]:
        traffic.datagrams(lab.a, lab.b.v4, [PORT + 1])
        told = [line for line in whydrop.lines() if line["type"] == "drop"]
        return [
            line
            for line in told
            if line["packet"]["dport"] == PORT + 1 and (line["netns"] or {}).get("tenant")
        ]

    with reader(lab.b, "a container of Docker", "SOCK_DGRAM"):
        eventually(lambda: bool(tenants()), "the namespace is told with its container")
        traffic.datagrams(lab.a, lab.b.v4, [PORT] * 31)
        lost = int(re.findall(r",d(\d+)\)", lab.b.run(f"ss -uamnH 'sport = :{PORT}'").stdout)[0])
        unread = deaths(whydrop, lab.b, lost, PORT)
    assert lost
    for line in tenants():
        assert line["process"] is None, told(line)
        assert line["netns"]["name"] == lab.b.name, told(line)
        assert line["netns"]["tenant"] == {"container": ID, "container_name": "shop-web-1"}, told(line)
    for line in unread:
        assert line["process"]["container_name"] == "shop-web-1", told(line)
