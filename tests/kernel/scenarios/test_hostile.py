"""What any user may do to the whydrop of root: names that are no text, and a configuration that is slow to judge."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.waiting import eventually
from scenarios.whydrop_process import WHYDROP, Whydrop

NETNS = b"pid 1 (\xff;$(reboot)\n"
IFACE = b"\xff'\x1b[m\xc2\x85{$}"
COMM = b"\xfe\ndo: x\x9b2J"
CHAIN = "c\ncurl x|sh\n#"
PORT, SENT = 5970, 5
USER = "65534"
AS_A_USER = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "unshare", "-Urn"]
SENDS = f"""import socket, sys
from pathlib import Path
Path("/proc/self/comm").write_bytes({COMM!r})
for _ in range({SENT}):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("10.77.0.1", {PORT}))
    except PermissionError:  # the rule's
        pass
"""
RULES = [
    {"add": {"table": {"family": "inet", "name": "t"}}},
    {"add": {"chain": {"family": "inet", "table": "t", "name": CHAIN}}},
    {
        "add": {
            "rule": {
                "family": "inet",
                "table": "t",
                "chain": CHAIN,
                "comment": "a\u202e\\",
                "expr": [
                    {
                        "match": {
                            "op": "==",
                            "left": {"payload": {"protocol": "udp", "field": "dport"}},
                            "right": PORT,
                        }
                    },
                    {"drop": None},
                ],
            }
        }
    },
    {
        "add": {
            "chain": {
                "family": "inet",
                "table": "t",
                "name": "in",
                "type": "filter",
                "hook": "output",
                "prio": 0,
                "policy": "accept",
            }
        }
    },
    {"add": {"rule": {"family": "inet", "table": "t", "chain": "in", "expr": [{"jump": {"target": CHAIN}}]}}},
]


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[list[bytes]]:
    """A namespace with a rule, an interface and a process whose names are anything; what runs a command there."""
    ip = [b"ip", b"-n", NETNS]
    subprocess.run([b"ip", b"netns", b"add", NETNS], check=True)
    try:
        subprocess.run([*ip, b"link", b"add", b"name", IFACE, b"type", b"dummy"], check=True)
        subprocess.run([*ip, b"address", b"add", b"10.77.0.1/24", b"dev", IFACE], check=True)
        for device in (b"lo", IFACE):
            subprocess.run([*ip, b"link", b"set", b"dev", device, b"up"], check=True)
        enter = [b"ip", b"netns", b"exec", NETNS]
        rules = tmp_path / "rules.json"
        rules.write_text(json.dumps({"nftables": RULES}))
        subprocess.run([*enter, b"nft", b"-j", b"-f", bytes(rules)], check=True)
        yield enter
    finally:
        subprocess.run([b"ip", b"netns", b"delete", NETNS], check=True)


def printed(*words: str) -> str:
    done = subprocess.run([WHYDROP, *words], capture_output=True, check=True, stdin=subprocess.DEVNULL)
    return done.stdout.decode() + done.stderr.decode()


@pytest.mark.once
def test_names_that_are_no_text(odd: list[bytes], tmp_path: Path) -> None:
    """Through every output: none has a line or a character more, and a command is one line that a shell reads."""
    recording, capture, other = (str(tmp_path / name) for name in ("x.whydrop", "x.pcapng", "y.whydrop"))
    with Whydrop("--dport", str(PORT), "--write", recording) as running:
        subprocess.run([*odd, sys.executable.encode(), b"-c", SENDS.encode()], check=True)
        told = running.wait_for(lambda line: line["type"] == "drop", SENT)
        done = running.finish()
    assert (done.status, done.refused) == (0, []), done.stderr
    for line in told:
        assert line["cause"]["id"] == "netfilter.nft-rule", line
        assert line["netns"]["name"] == "pid\\x201 (\\xff;$(reboot)\\x0a"
        assert line["object"]["chain"] == "c\\x0acurl x|sh\\x0a#"
        assert line["process"]["comm"] == "\\xfe\\x0ado: x\\x9b2J"
        for fix in line["fix"]:
            if fix["command"] is not None:
                in_it = subprocess.run(
                    ["bash", "-c", f"printf '%s\\0' {fix['command']}"], capture_output=True, check=True
                ).stdout.split(b"\0")
                assert in_it[:4] == [b"ip", b"netns", b"exec", NETNS]
                assert fix["command"].isprintable()
                shown = subprocess.run(["bash", "-c", fix["command"]], capture_output=True)
                assert shown.returncode == 0, (fix, shown.stderr)
    texts = [
        printed("replay", recording),
        printed("replay", recording, "--stack"),
        printed("replay", recording, "--json"),
        printed("replay", recording, "--write", capture),
        printed("replay", recording, "--write", other, "--anonymize"),
        printed("replay", other),
    ]
    for text in texts:
        assert all(line.isprintable() for line in text.split("\n"))
        assert not re.search(r"(?m)^\s*(curl|do: x|#(?! (handle|rule) [0-9]))", text)


DIAMOND = "\n".join(
    [
        "*filter",
        *(f":C{n} - [0:0]" for n in range(60)),
        ":LAST - [0:0]",
        ":GOAL - [0:0]",
        "-A OUTPUT -p tcp -g C0",
        "-A OUTPUT -p udp -j GOAL",
        *(f"-A C{n} -p {proto} -g C{n + 1}" for n in range(59) for proto in ("tcp", "icmp")),
        "-A C59 -g LAST",
        "-A LAST -j GOAL",
        "-A GOAL -p udp --dport 9 -j DROP",
        "COMMIT",
        "",
    ]
)
ELEMENTS = ", ".join(f"10.{n >> 8}.{n & 255}.1" for n in range(1_500))
SLOW = f"""
set -e
ip link set lo up
nft add table ip t
nft add chain ip t c '{{ type filter hook input priority 0; }}'
nft "add rule ip t c udp dport 10 ip daddr {{ 127.0.0.1, {ELEMENTS} }} drop"
printf '%s' '{DIAMOND}' | XTABLES_LOCKFILE=$2 iptables-legacy-restore
touch $1
exec {sys.executable} -c 'import socket, time
s = socket.socket(2, 2)
while True:
    for port in (9, 10):
        for host in range(1, 9):
            try:
                s.sendto(b"x", ("127.0.0.%d" % (1 if port == 10 else host), port))
            except OSError:
                pass
    time.sleep(0.5)'
"""


@contextmanager
def slow_to_judge(home: Path) -> Iterator[None]:
    """A user who is not root, in namespaces of his own, where packets die in a table that is slow to look through."""
    home.chmod(0o777)
    script, ready = home / "slow.sh", home / "slow.ready"
    script.write_text(SLOW)
    process = subprocess.Popen(
        [*AS_A_USER, "sh", str(script), str(ready), str(home / "lock")], stdin=subprocess.DEVNULL
    )
    try:
        eventually(lambda: process.poll() is not None or ready.exists(), "it is set up")
        assert process.poll() is None
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.once
def test_nobody_waits_for_a_configuration_that_is_slow_to_judge(lab: Lab, tmp_path: Path) -> None:
    subprocess.run(["modprobe", "iptable_filter"], check=True)
    tmp_path.parent.chmod(0o755)
    tmp_path.parents[1].chmod(0o755)
    with slow_to_judge(tmp_path), Whydrop() as running:
        for _ in range(5):
            traffic.datagrams(lab.a, lab.b.v4, [PORT] * 7)
            time.sleep(0.5)
        deaths(running, lab.b, 35, PORT)
        done = running.finish()
    assert (done.status, done.refused) == (0, []), done.stderr


STORM = """
import ctypes, socket, subprocess, time
libc, made = ctypes.CDLL(None), []
for _ in range(150):
    assert libc.unshare(0x40000000) == 0
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    made.append(socket.socket(2, 2))
while True:
    for one in made:
        try:
            one.sendto(b"x", ("127.0.0.1", 9))
        except OSError:
            pass
        subprocess.run(["/bin/true"])
"""


@pytest.mark.once
def test_a_storm_of_namespaces_and_processes(lab: Lab) -> None:
    """By one user who is not root."""
    with Whydrop() as running:
        storm = subprocess.Popen([*AS_A_USER, sys.executable, "-c", STORM])
        try:
            running.wait_for(lambda line: line.get("packet", {}).get("dport") == 9, 20)
            for _ in range(5):
                traffic.datagrams(lab.a, lab.b.v4, [PORT + 1] * 7)
                time.sleep(0.5)
            deaths(running, lab.b, 35, PORT + 1)
            done = running.finish()
        finally:
            storm.kill()
            storm.wait()
    assert (done.status, done.refused) == (0, []), done.stderr
