"""The kernel's own selftests of networking with whydrop beside them: of all that dies in them, what is not known?

    make selftests [KERNEL=6.12] [TESTS='net/fib_tests.sh netfilter/nft_nat.sh']

`prepare` on this machine: they come from Debian's linux-source package, and what they need in C is compiled. `run` in
a guest: one whydrop beside all of them, and a table of what it told. They are made for a fast machine: that some of
them fail under emulation says nothing of whydrop.
"""

import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lab.fetch import CACHE, say
from scenarios.firewalls import load_modules
from scenarios.whydrop_process import Line, Whydrop
from tabulate import tabulate

HOME = CACHE.parent / "selftests"
SOURCE = "linux-source-6.1"
IN_C = ("nettest", "ip_defrag", "udpgso", "udpgso_bench_tx", "udpgso_bench_rx", "cmsg_sender", "gro")
CHOICE = (
    *("net/arp_ndisc_evict_nocarrier", "net/bareudp", "net/fib_rule_tests", "net/fib_tests", "net/gre_gso"),
    *("net/icmp", "net/icmp_redirect", "net/ip6_gre_headroom", "net/ip_defrag", "net/l2_tos_ttl_inherit"),
    *("net/l2tp", "net/ndisc_unsolicited_na_test", "net/pmtu", "net/route_localnet", "net/rtnetlink"),
    *("net/srv6_end_dt46_l3vpn_test", "net/test_vxlan_fdb_changelink", "net/test_vxlan_under_vrf"),
    *(
        "net/test_vxlan_vnifiltering",
        "net/traceroute",
        "net/udpgro_fwd",
        "net/veth",
    ),
    *("net/vrf-xfrm-tests", "net/vrf_route_leaking", "net/vrf_strict_mode_test", "net/xfrm_policy"),
    *("netfilter/bridge_brouter", "netfilter/conntrack_icmp_related", "netfilter/conntrack_tcp_unreplied"),
    *("netfilter/conntrack_vrf", "netfilter/ipip-conntrack-mtu", "netfilter/ipvs", "netfilter/nf_nat_edemux"),
    *("netfilter/nft_conntrack_helper", "netfilter/nft_fib", "netfilter/nft_flowtable", "netfilter/nft_meta"),
    *("netfilter/nft_nat", "netfilter/nft_queue", "netfilter/nft_synproxy", "netfilter/rpath"),
)
LIMIT = 300  # seconds for each


@dataclass(frozen=True)
class Ran:
    """One of them, and what whydrop told while it ran."""

    name: str
    status: int
    seconds: float
    lines: list[Line]


def prepare() -> Path:
    """The directory of the selftests, unpacked and compiled once."""
    if not HOME.is_dir():
        partial = HOME.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        say(f"fetching {SOURCE}")
        subprocess.run(["apt-get", "download", "-q=2", SOURCE], cwd=partial, check=True)
        (package,) = partial.glob("*.deb")
        subprocess.run(["dpkg", "-x", package, partial], check=True)
        (archive,) = partial.rglob("*.tar.*")
        wanted = ("*/tools/testing/selftests/net/*", "*/tools/testing/selftests/netfilter/*")
        subprocess.run(
            ["tar", "-xf", archive, "--wildcards", "--strip-components=4", *wanted], cwd=partial, check=True
        )
        for name in IN_C:
            compiled = [
                "gcc",
                "-w",
                "-O1",
                "-o",
                partial / "net" / name,
                partial / "net" / f"{name}.c",
                "-lpthread",
            ]
            if subprocess.run(compiled, capture_output=True).returncode:
                say(f"{name}.c does not compile here")
        partial.rename(HOME)
    return HOME


def run(names: tuple[str, ...]) -> list[Ran]:
    load_modules()
    found = []
    with Whydrop() as whydrop:
        for name in names:
            before, began = len(whydrop.lines()), time.monotonic()
            path = HOME / name
            words = ["timeout", "-k", "5", str(LIMIT), "bash", path.name]
            done = subprocess.run(words, cwd=path.parent, stdin=subprocess.DEVNULL, capture_output=True)
            lines = whydrop.lines()[before:]
            found.append(Ran(name, done.returncode, time.monotonic() - began, lines))
            print(f"{name}: exit {done.returncode}, {len(lines)} findings", file=sys.stderr, flush=True)
        done_at_last = whydrop.finish()
    if done_at_last.end is None:  # some end whoever is in their namespace at that moment
        print(f"whydrop was killed (exit {done_at_last.status}): what came after it had nobody beside it")
        return found
    print(
        {key: done_at_last.end[key] for key in ("drops_seen", "drops_matched", "events_lost", "suppressed")}
    )
    return found


def place(line: Line) -> str:
    return f"{line['where']['function'] or line['where']['address']} {line['reason'] or '(no reason)'}"


def report(found: list[Ran]) -> None:
    rows = [
        (one.name, one.status, f"{one.seconds:.0f} s", drops(one.lines), drops(unknown(one.lines)))
        for one in found
    ]
    print(tabulate(rows, ("test", "exit", "took", "drops", "unknown")))
    told = [line for one in found for line in one.lines]
    print(f"\n{drops(unknown(told)):,} of {drops(told):,} drops are unknown; they died in")
    counted = Counter[str]()
    where: dict[str, set[str]] = {}
    for one in found:
        for line in unknown(one.lines):
            counted[place(line)] += line["count"]
            where.setdefault(place(line), set()).add(Path(one.name).stem)
    print(tabulate([(n, at, " ".join(sorted(where[at])[:3])) for at, n in counted.most_common()]))
    causes = Counter[tuple[str, str, bool]]()
    for line in told:
        causes[line["cause"]["id"], line["cause"]["confidence"], line["object"] is not None] += line["count"]
    print(
        tabulate(
            [(n, *which) for which, n in causes.most_common()], ("drops", "cause", "confidence", "object")
        )
    )


def unknown(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line["type"] == "drop" and line["cause"]["id"] == "unknown"]


def drops(lines: list[Line]) -> int:
    return sum(line["count"] for line in lines if line["type"] == "drop")


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare()
    else:
        report(run(tuple(sys.argv[2:]) or tuple(f"{name}.sh" for name in CHOICE)))
