"""Is whydrop as quick on a host where much is configured? What it takes to be ready, and for the first three findings.

    PYTHONPATH=tests:tests/kernel .venv/bin/python -m bench.growth

As root, in a guest. Each kind twice: with little of it and with very much. Prints a table for docs/cost.md, in
milliseconds of CPU, which are millions of instructions where the guest's clock counts those (`make growth`).
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scenarios import traffic
from scenarios.firewalls import legacy, load_modules, nft
from scenarios.namespaces import Lab, joined_pair
from scenarios.whydrop_process import Whydrop
from tabulate import tabulate

PORT = 5000
FINDINGS = 3
A_TICK = 10**3 / os.sysconf("SC_CLK_TCK")  # in millions of nanoseconds
LOOK = 0.3  # seconds
IDLE = 3.0  # millions in that time, by which it only looks whether there is something


@dataclass(frozen=True)
class Kind:
    """What there may be much of: how it is made, and the packet that dies by it."""

    name: str
    little: int
    much: int
    make: Callable[[Lab, int], None]
    die: Callable[[Lab], None]


@dataclass(frozen=True)
class Taken:
    """Millions, of the process and those that it started: until it was ready, and for each finding."""

    ready: float
    findings: tuple[float, ...]
    named: str  # what the last finding named


def datagram(lab: Lab) -> None:
    traffic.datagrams(lab.a, lab.b.v4, [PORT])


def esp_without_sa(lab: Lab) -> None:
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ESP) as sender:
        sender.sendto(bytes.fromhex("0badcafe00000001") + bytes(64), (lab.b.v4, 0))


def nothing(lab: Lab, count: int) -> None:
    """What every host has."""


def sas(lab: Lab, count: int) -> None:
    lines = [
        f"xfrm state add src {lab.a.v4} dst {lab.b.v4} proto esp spi {0x10000 + at:#x} reqid 1 mode transport "
        "aead 'rfc4106(gcm(aes))' 0x" + "00" * 20 + " 128"
        for at in range(count)
    ]
    lab.b.run("ip -batch -", stdin="\n".join(lines).replace("'", ""))


def nft_rules(lab: Lab, count: int) -> None:
    others = "\n".join(f"ip saddr 10.{100 + at // 250}.{at % 250}.1 drop" for at in range(count - 1))
    hook = "type filter hook input priority 0;"
    nft(lab.b, f"table inet filter {{ chain input {{ {hook}\n{others}\nudp dport {PORT} drop }} }}")


def legacy_rules(lab: Lab, count: int) -> None:
    others = "\n".join(f"-A INPUT -s 10.{100 + at // 250}.{at % 250}.1/32 -j DROP" for at in range(count - 1))
    legacy(lab.b, f"*filter\n{others}\n-A INPUT -p udp --dport {PORT} -j DROP\n")


def namespaces(lab: Lab, count: int) -> None:
    lines = "\n".join(f"netns add many{at}" for at in range(count))
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True, capture_output=True)


def interfaces(lab: Lab, count: int) -> None:
    lines = "\n".join(f"link add many{at} type dummy" for at in range(count))
    lab.b.run("ip -batch -", stdin=lines)


def connections(lab: Lab, count: int) -> None:
    """Each from a port of its own."""
    nft(lab.b, "table ip t { chain c { type filter hook input priority 0; ct state invalid drop } }")
    lab.b.run(f"sysctl -qw net.netfilter.nf_conntrack_max={count * 2}", check=False)
    targets = [f"127.0.{at // 250}.{at % 250 + 1}" for at in range(max(count // 1000, 1))]
    with lab.b.entered():
        for port in range(20_000, 20_000 + min(count, 1000)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind(("0.0.0.0", port))
                for target in targets:
                    sender.sendto(b"", (target, 9))


KINDS = (
    Kind("SAs, ESP without one", 1, 5_000, sas, esp_without_sa),
    Kind("rules of nftables, the last drops", 20, 20_000, nft_rules, datagram),
    Kind("rules of iptables-legacy, the last drops", 20, 20_000, legacy_rules, datagram),
    Kind("network namespaces, no socket", 1, 1_000, namespaces, datagram),
    Kind("interfaces, no socket", 1, 800, interfaces, datagram),
    Kind("conntrack entries, no socket", 100, 100_000, connections, datagram),
)


def used(pid: int) -> float:
    """Millions of the clock's nanoseconds that a process had a CPU, with its children that have ended."""
    process = Path(f"/proc/{pid}")
    children = map(int, (process / "stat").read_text().rpartition(")")[2].split()[13:15])
    return int((process / "schedstat").read_text().split()[0]) / 10**6 + sum(children) * A_TICK


def settled(pid: int) -> float:
    """The same, when it has no more work."""
    before, now = 0.0, used(pid)
    while now - before > IDLE:
        time.sleep(LOOK)
        before, now = now, used(pid)
    return now


def measured(lab: Lab, kind: Kind) -> Taken:
    with Whydrop("--netns", lab.b.name, "--every-packet") as running:
        ready = used(running.pid)
        taken, last = [], settled(running.pid)
        for number in range(FINDINGS):
            kind.die(lab)
            found = running.wait_for(lambda line: line["type"] == "drop", number + 1)
            now = settled(running.pid)
            taken.append(now - last)
            last = now
    named = found[-1]["object"] or {}
    place = named.get("number") or named.get("handle")
    return Taken(ready, tuple(taken), found[-1]["cause"]["id"] + (f", {place}" if place else ""))


@contextmanager
def made(kind: Kind, count: int) -> Iterator[Lab]:
    with joined_pair() as lab:
        kind.make(lab, count)
        yield lab
    if kind.make is namespaces:
        lines = "\n".join(f"netns del many{at}" for at in range(count))
        subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True, capture_output=True)


def main() -> None:
    load_modules()
    heads = ["of", "how many", "ready", "1st finding", "2nd", "3rd", "what it says"]
    rows = []
    for kind in KINDS:
        if sys.argv[1:] and not any(word in kind.name for word in sys.argv[1:]):
            continue
        for count in (kind.little, kind.much):
            begun = time.monotonic()
            with made(kind, count) as lab:
                found = measured(lab, kind)
            taken = (f"{one:.0f}" for one in (found.ready, *found.findings))
            rows.append([kind.name, f"{count:,}", *taken, found.named])
            print(rows[-1], f"{time.monotonic() - begun:.0f} s", flush=True)
    print(tabulate(rows, heads, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
