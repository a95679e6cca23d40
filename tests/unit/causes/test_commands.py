"""Every command of every page is one that its tool understands: it is tried, in a network namespace of its own."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dropwatch.causes import CATALOGUE
from dropwatch.causes.advice import UNKNOWN
from dropwatch.causes.placeholders import MEANINGS
from dropwatch.host.commands import of_the_first
from tests.unit.causes.throwaway import DEVICES, namespace

# What stands for each placeholder when a command is tried.
SAMPLES = {
    "SADDR": "10.9.0.2",
    "DADDR": "10.9.0.1",
    "SPORT": "40000",
    "DPORT": "5000",
    "PROTO": "udp",
    "PACKETMARK": "0x2a",
    "DEV": "va",
    "ETHERTYPE": "0x88cc",
    "PID": str(os.getpid()),
    "BRIDGE": "br0",
    "CHAIN": "INPUT",
    "TABLE": "filter",
    "CHILD": "net-net",
    "CONNECTION": "gw-gw",
    "CONTAINER": "web",
    "ENDPOINT": "10.9.0.2:51820",
    "GATEWAY": "10.9.0.254",
    "GROUP": "web",
    "GUEST": "vm1",
    "IFID": "42",
    "INDEX": "8",
    "KEY": "7",
    "MAC": "02:00:00:00:00:07",
    "MACVLAN": "mv9",
    "MARKVALUE": "0x7",
    "MTU": "1500",
    "NETWORK": "web",
    "PORT": "pa",
    "PREFIXLEN": "24",
    "SELF": "10.9.0.1",
    "PEERKEY": "WsiPiLs7nD3AUbO5ET0QQxrCj1LxTHt0T8ZuYtGLTkI=",
    "PREFIXES": "10.7.0.0/16,10.8.0.0/16",
    "PROGRAM": "true",
    "REMOTE": "10.9.0.2",
    "REQID": "7",
    "SECRET": "secret",
    "TUNNEL": "gre9",
    "UNIT": "a.service",
    "UPLINK": "va",
    "VID": "7",
    "VNI": "7",
    "VRF": "red",
}
IN_IPV6 = {"SADDR": "fd09::2", "DADDR": "fd09::1"}
CAPITALS = re.compile(r"\b[A-Z]{2,}\b")
# Capitals that are words of the commands themselves.
OWN_WORDS = {
    *("ACCEPT", "ALL", "DNAT", "DOCKER", "FORWARD", "MARK", "MASQUERADE", "NFQUEUE", "PREROUTING", "REJECT"),
    *("RST", "SNAT", "SYN", "TCPMSS", "USER"),
}
# Kernels that came after the one that these tests may run on, or whose module it may lack.
ONLY_SOME_KERNELS_HAVE = {"net.core.qdisc_max_burst"}
# They show what comes until they are stopped, or act on more than the namespace: their words are not tried.
NOT_TRIED = {"echo", "modprobe", "perf", "setenforce", "systemctl", "top", "watch", "whydrop"}
WATCH = {"arping", "cilium-dbg", "dmesg", "mpstat", "ping", "systemd-cgtop", "traceroute"}
# With what a tool ends when it does not understand its words; other failures are those of this kernel.
MISUNDERSTOOD = {
    "arping": {64},
    "arptables": {2},
    "arptables-legacy": {2},
    "bpftool": {255},
    "bridge": {255},
    "conntrack": {2},
    "ethtool": {1},
    "ip": {255},
    "ip6tables-legacy-save": {1, 2},
    "iptables": {2},
    "iptables-legacy": {2},
    "iptables-legacy-save": {1, 2},
    "iptables-save": {1, 2},
    "ping": {64},
    "swanctl": {1},
    "tc": {1, 255},
    "traceroute": {2},
}
# What a tool says of words that it does not understand, where the number with which it ends does not tell.
NOT_UNDERSTOOD = re.compile(
    r"usage:|unrecognized option|invalid option|unknown option|bad command|what is \"|garbage|syntax error",
    re.IGNORECASE,
)
NEEDS_MORE_THAN_THIS_KERNEL = re.compile(
    r"Protocol not available|not supported|No such file|Unknown device type|Module \S+ not found|Invalid VRF"
)


def commands() -> Iterator[tuple[str, str]]:
    """Each that stands on a page, once, and the first cause on whose page it does."""
    found: dict[str, str] = {}
    for cause in CATALOGUE:
        shown = [line[2:] for line in cause.confirm.split("\n") if line.startswith("$ ")]
        for command in (*shown, *(fix.command for fix in cause.fix if fix.command is not None)):
            found.setdefault(command, cause.id)
    return ((command, cause_id) for command, cause_id in found.items())


COMMANDS = sorted(commands())
each = pytest.mark.parametrize(
    "command", [command for command, _ in COMMANDS], ids=[f"{cause_id}: {one}" for one, cause_id in COMMANDS]
)


def filled(command: str) -> str:
    samples = SAMPLES | IN_IPV6 if re.search(r"\b(?:ip6|icmp6)\b", command) else SAMPLES
    return CAPITALS.sub(lambda found: samples.get(found[0], found[0]), command)


def simple(command: str) -> list[list[str]]:
    """The words of each of the commands that a shell would start; what is behind `-all netns exec` is one as well."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|;")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|;"):
            found.append([])
        else:
            found[-1].append(word)
    inner = [words[4:] for words in found if words[:4] == ["ip", "-all", "netns", "exec"]]
    return [*found, *inner]


def _watches(words: list[str]) -> bool:
    """It understood its words if it does not end at once."""
    return words[0] in WATCH or "monitor" in words


@pytest.fixture(scope="module")
def inside() -> Iterator[Callable[[list[str]], subprocess.CompletedProcess[str]]]:
    with namespace() as enter:

        def run(words: list[str]) -> subprocess.CompletedProcess[str]:
            try:
                return subprocess.run(
                    [*enter, *words],
                    capture_output=True,
                    text=True,
                    timeout=0.4 if _watches(words) else 60,
                    stdin=subprocess.DEVNULL,
                )
            except subprocess.TimeoutExpired:
                assert _watches(words), "it does not end"
                return subprocess.CompletedProcess(words, 0, "", "")
            finally:
                if not {"del", "delete"}.isdisjoint(words):
                    subprocess.run([*enter, "sh", "-c", DEVICES], capture_output=True)

        yield run


def test_a_shell_understands_them() -> None:
    """Line by line, as the number in its message says."""
    text = "\n".join(filled(command) for command, _ in COMMANDS)
    checked = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_placeholder_has_a_meaning() -> None:
    found = {word for command, _ in COMMANDS for word in CAPITALS.findall(command)}
    assert found <= {*MEANINGS, *UNKNOWN, *OWN_WORDS}


def test_every_placeholder_can_be_tried() -> None:
    assert {*MEANINGS} <= {*SAMPLES}
    assert {*SAMPLES} <= {*MEANINGS, *UNKNOWN}


@each
def test_its_tool_understands_it(
    command: str, inside: Callable[[list[str]], subprocess.CompletedProcess[str]]
) -> None:
    if "$(" in command:
        if command.startswith("sysctl") and not of_the_first(command):
            settled = inside(["sh", "-c", filled(command)])
            assert (settled.returncode, settled.stderr) == (0, "")
        return  # what the others set is not of a namespace: test_every_setting_exists
    for words in simple(filled(command)):
        tool = words[0]
        if tool in NOT_TRIED or tool == "sysctl":
            continue
        if shutil.which(tool) is None:
            pytest.skip(f"feature {tool}: not installed")
        if tool == "tcpdump":  # compiles, and captures nothing
            words = [tool, "-d", *words[1:]]
        done = inside(words)
        if NEEDS_MORE_THAN_THIS_KERNEL.search(done.stderr):
            continue
        assert done.returncode not in MISUNDERSTOOD.get(tool, set()), done.stderr
        assert not NOT_UNDERSTOOD.search(done.stderr), done.stderr
        if tool in ("nft", "tcpdump", "nstat", "ss"):
            assert done.returncode == 0, done.stderr


NAMES = re.compile(r"\bnet\.[\w.-]+")
SETTINGS = sorted({name for one, _ in COMMANDS for name in NAMES.findall(one)} - ONLY_SOME_KERNELS_HAVE)
CHANGED = {name for one, _ in COMMANDS if one.startswith("sysctl -w") for name in NAMES.findall(one)}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_exists_where_the_command_looks_for_it(
    name: str, inside: Callable[[list[str]], subprocess.CompletedProcess[str]]
) -> None:
    """A namespace that is not the first can write it, unless whydrop sends its user to the first."""
    there = filled(name)
    if not Path("/proc/sys", *name.replace("DEV", "lo").split(".")).exists():
        pytest.skip(f"feature {name}: this kernel has no such setting, or not without its module")
    read = inside(["sysctl", "-n", there])
    if name not in CHANGED:
        assert (read.returncode != 0) <= of_the_first(f"sysctl {name}"), read.stderr
        return
    written = inside(["sysctl", "-w", f"{there}={read.stdout.strip()}"]) if read.returncode == 0 else read
    assert bool(written.stderr) == of_the_first(f"sysctl -w {name}=1"), written.stderr


COUNTERS = sorted({name for one, _ in COMMANDS if one.startswith("nstat") for name in one.split()[2:]})
LATER = {"TcpExtBeyondWindow", "TcpExtTSEcrRejected"}  # Linux 6.16, 6.15


@pytest.mark.parametrize("name", [one for one in COUNTERS if one not in LATER])
def test_every_counter_exists(
    name: str, inside: Callable[[list[str]], subprocess.CompletedProcess[str]]
) -> None:
    if name.startswith("TcpExtTCPAO") and "TcpExtTCPAO" not in inside(["nstat", "-az"]).stdout:
        pytest.skip("feature TCP_AO: this kernel has none")
    assert re.search(rf"^{name} ", inside(["nstat", "-az", name]).stdout, re.MULTILINE)
