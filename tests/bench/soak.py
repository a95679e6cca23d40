"""Drops at the highest rate for a long time, while all that whydrop reads changes under it: is it flat, is it exact?

    PYTHONPATH=tests:tests/kernel .venv/bin/python -m bench.soak [MINUTES [watch]]

As root. With `watch` it is the recorder that is soaked, and what it told is read from its store. Rules, namespaces,
SAs, processes and modules come and go. Each ten seconds its memory and its descriptors are looked at. At the end every
packet must be in exactly one count, by the kernel's own; exit 1 where one is not, where something was lost, or where
memory or descriptors have grown.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from scenarios.firewalls import legacy, load_modules, nft, nft_rules, the_rule
from scenarios.floods import flood
from scenarios.namespaces import Lab, Namespace, joined_pair
from scenarios.traffic import datagrams, open_socket
from scenarios.waiting import eventually
from tabulate import tabulate

from bench.watchers import WHYDROP

CLOSED, BY_NFT, BY_IPTABLES, FULL, BY_CHURN = 9, 7400, 7401, 7402, 7403
SENT = {CLOSED: 3_000, BY_NFT: 5_000, BY_IPTABLES: 500, FULL: 3_000}
MODULES = ("arptable_filter", "ebtable_filter", "nft_synproxy", "xt_u32")
LAZY = """
import socket, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lazy:
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.bind(("", {port}))
    time.sleep(100000)
"""
LOOK_SECONDS = 10
SETTLED_MINUTES = 1.0  # until then caches fill
MORE_KIB, MORE_DESCRIPTORS = 3072, 4


class Look(NamedTuple):
    """At whydrop, at one moment."""

    seconds: float
    rss_kib: int
    descriptors: int
    told: int  # packets, so far


class Told:
    """How many packets whydrop's lines stand for, by namespace, protocol and port; the closing line."""

    def __init__(self) -> None:
        self.packets: Counter[tuple[int, str | None, int | None]] = Counter()
        self.end: dict[str, Any] = {}

    def of(self, end: Namespace, *ports: int) -> int:
        return sum(self.packets[end.inode, "udp", port] for port in ports)

    def take(self, output: Iterable[str]) -> None:
        for text in output:
            line = json.loads(text)
            if line["type"] in ("end", "window"):
                self.end = line
            else:
                finding, count = (
                    (line["finding"], line["packets"]) if "finding" in line else (line, line["count"])
                )
                packet, netns = finding["packet"], finding["netns"] or {"inode": 0}
                self.packets[netns["inode"], packet["proto"], packet["dport"]] += count


@contextmanager
def soaked(what: str) -> Iterator[tuple[subprocess.Popen[str], Told]]:
    """whydrop, ready; told to stop at the end, and waited for. The store of the recorder is read then."""
    with tempfile.TemporaryDirectory(prefix="soak-") as home:
        ready, store = Path(home, "ready"), Path(home, "store", "drops.sqlite")
        words = ["watch", "--store", str(store)] if what == "watch" else ["--json"]
        with Path(home, "stderr").open("w") as errors:
            process = subprocess.Popen(
                [str(WHYDROP), *words, "--ready-file", str(ready)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout is not None
        told = Told()
        reader = threading.Thread(target=told.take, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            eventually(lambda: ready.exists() or process.poll() is not None, "whydrop is ready")
            yield process, told
            process.send_signal(2)
            process.wait()
            reader.join()
            print(Path(home, "stderr").read_text())
            if what == "watch":
                told.take(_kept(store))
        finally:
            process.kill()
            process.wait()


def _kept(store: Path) -> list[str]:
    words = [str(WHYDROP), "last", "24h", "--store", str(store), "--json"]
    begun = time.monotonic()
    kept = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    print(f"{store.stat().st_size // 1024} KiB; read in {time.monotonic() - begun:.1f} s\n")
    return kept


def changes(lab: Lab) -> Iterator[Callable[[], None]]:
    """What comes and goes, in turns."""
    lazy: list[subprocess.Popen[str]] = []

    def restart() -> None:
        for process in lazy:
            process.kill()
            process.wait()
        lazy[:] = [lab.b.start(f'{sys.executable} -c "{LAZY.format(port=FULL)}"')]

    def rules() -> None:
        nft(
            lab.b,
            f"table ip churn {{ chain c {{ type filter hook input priority 5;\nudp dport {BY_CHURN} drop\n}} }}",
        )
        datagrams(lab.a, lab.b.v4, [BY_CHURN] * 20)
        lab.b.run("nft delete table ip churn")

    def namespace() -> None:
        subprocess.run(["ip", "netns", "add", "churn"], check=True)
        churned = Namespace("churn", "lo", "127.0.0.1", "::1")
        churned.configure("link set lo up")
        datagrams(churned, "127.0.0.1", [CLOSED] * 5)
        churned.delete()

    def states() -> None:
        ends = f"src {lab.a.v4} dst {lab.b.v4}"
        keys = "auth-trunc hmac(sha256) 0x" + "11" * 32 + " 128 enc cbc(aes) 0x" + "22" * 16
        lab.b.configure(f"xfrm state add {ends} proto esp spi 0x2001 mode transport {keys}")
        for spi in (0x2001, 0x2002):  # spoilt, and of nobody
            _esp(lab, spi)
        lab.b.configure(f"xfrm state delete {ends} proto esp spi 0x2001")
        _esp(lab, 0x2001)

    def modules() -> None:
        for name in MODULES:
            subprocess.run(["modprobe", "-q", name], check=False)
        for name in MODULES:
            subprocess.run(["modprobe", "-qr", name], check=False)

    yield from cycle((restart, rules, namespace, states, modules))


def _esp(lab: Lab, spi: int) -> None:
    with open_socket(lab.a, 2, 3, 50) as sender:
        sender.sendto(spi.to_bytes(4, "big") + bytes(60), (lab.b.v4, 0))


def look(process: subprocess.Popen[str], told: Told, begun: float) -> Look:
    status = Path(f"/proc/{process.pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    descriptors = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    return Look(time.monotonic() - begun, rss, descriptors, sum(told.packets.values()))


def soak(lab: Lab, minutes: float, what: str) -> tuple[list[Look], Told]:
    change = changes(lab)
    with soaked(what) as (process, told):
        begun = time.monotonic()
        looks: list[Look] = []
        while time.monotonic() - begun < minutes * 60:
            next(change)()
            flood(lab.a, lab.b.v4, SENT)
            if not looks or time.monotonic() - begun >= looks[-1].seconds + LOOK_SECONDS:
                looks.append(look(process, told, begun))
        lab.b.end_processes()
    return looks, told


def udp_counters(end: Namespace) -> int:
    """Datagrams that no socket took, or whose socket was full."""
    shown = json.loads(end.run("nstat -asz --json UdpNoPorts UdpRcvbufErrors").stdout)["kernel"]
    return int(shown["UdpNoPorts"]) + int(shown["UdpRcvbufErrors"])


def legacy_counter(end: Namespace) -> int:
    for line in end.run("iptables-legacy -nvxL INPUT").stdout.splitlines():
        if f"dpt:{BY_IPTABLES}" in line:
            return int(line.split()[0])
    raise AssertionError("the rule is gone")


def ipsec_counters(end: Namespace) -> int:
    with end.entered():
        lines = Path("/proc/net/xfrm_stat").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines)


def compared(lab: Lab, told: Told) -> list[tuple[str, int, int]]:
    """What, how often the kernel counted it, how many packets whydrop told."""
    b = lab.b
    return [
        ("no socket, or a full one", udp_counters(b), told.of(b, CLOSED, FULL)),
        ("rule of nft", the_rule(nft_rules(b), f"udp dport {BY_NFT}").packets or 0, told.of(b, BY_NFT)),
        # what of it did not fit into the ring has no port: it is in the row of all others
        ("rule of iptables", legacy_counter(b), told.of(b, BY_IPTABLES) + told.packets[b.inode, None, None]),
        ("IPsec", ipsec_counters(b), told.packets[b.inode, "esp", None]),
    ]


def grown(looks: list[Look]) -> list[str]:
    """What is more in the last third than in the first third after everything has settled, in words."""
    settled = [one for one in looks if one.seconds > SETTLED_MINUTES * 60]
    third = len(settled) // 3
    if not third:
        return []
    first, last = settled[:third], settled[-third:]
    found = []
    if (more := max(one.rss_kib for one in last) - max(one.rss_kib for one in first)) > MORE_KIB:
        found.append(f"memory has grown by {more} KiB")
    if max(one.descriptors for one in last) > max(one.descriptors for one in first) + MORE_DESCRIPTORS:
        found.append("descriptors have grown")
    return found


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    load_modules()
    with joined_pair() as lab:
        nft(
            lab.b,
            f"table inet t {{ chain c {{ type filter hook input priority 1;\nudp dport {BY_NFT} counter drop\n}} }}",
        )
        legacy(lab.b, f"*filter\n-A INPUT -p udp --dport {BY_IPTABLES} -j DROP")
        looks, told = soak(lab, minutes, sys.argv[2] if len(sys.argv) > 2 else "")
        counts = compared(lab, told)
    every = max(1, len(looks) // 20)
    rows = [(f"{one.seconds / 60:.1f}", one.rss_kib, one.descriptors, one.told) for one in looks[::every]]
    print(tabulate(rows, ["minute", "RSS, KiB", "descriptors", "packets told"], tablefmt="github"))
    print()
    print(tabulate(counts, ["what", "the kernel counted", "whydrop told"], tablefmt="github"))
    print()
    print(json.dumps({key: value for key, value in told.end.items() if value}))
    wrong = [
        f"{what}: {kernel} by the kernel, {said} told" for what, kernel, said in counts if kernel != said
    ]
    if told.end.get("events_lost") != 0:
        wrong.append(f"lost: {told.end.get('lost_by')}")
    wrong += grown(looks)
    print("\n".join(wrong) or "flat, and exact")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
