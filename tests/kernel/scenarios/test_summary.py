"""`whydrop summary` under a flood: what it sums up to is what the kernel counted, for each cause."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from scenarios.firewalls import legacy, legacy_rules, load_modules, nft, nft_rules, the_rule
from scenarios.floods import flood, flood_command, no_ports
from scenarios.namespaces import Lab, Namespace
from scenarios.whydrop_process import WHYDROP, Line, Whydrop, keep, replayed

CLOSED, FIRST, SECOND, THIRD, FOURTH, BY_POLICY = 7000, 7001, 7002, 7003, 7004, 7005
DATAGRAMS = {CLOSED: 30_011, FIRST: 15_013, SECOND: 5_003, THIRD: 2_503, FOURTH: 1_499, BY_POLICY: 1_009}
LEGACY = f"""
*filter
-A INPUT -p udp -m udp --dport {THIRD} -j DROP
-A INPUT -p udp -m udp --dport {FOURTH} -j DROP
*mangle
:INPUT DROP
-A INPUT -p udp -m udp ! --dport {BY_POLICY} -j ACCEPT
-A INPUT ! -p udp -j ACCEPT
"""
RULES = """
table inet gate {
    chain input {
        type filter hook input priority 0;
        udp dport 7001 counter drop
        udp dport 7002 counter drop
    }
}
"""
FEW = 10  # packets that come in the middle of a probe, when the kernel runs no other
UDP_RECEIVERS = ("__udp4_lib_rcv", "udp_rcv", "udp_v4_rcv")
MADE_UP = """
import socket, struct, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
    sender.bind(("lo", 0))
    for kind in range(0x9100, 0x9100 + int(sys.argv[1])):
        sender.send(bytes(12) + struct.pack("!H", kind) + bytes(46))
"""
HAMMER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    while True:
        try:
            sender.sendto(b"datagram", (sys.argv[1], 9))
        except PermissionError:
            pass
"""


def policy_packets(end: Namespace, table: str) -> int:
    saved = end.run(f"iptables-legacy-save -c -t {table}").stdout
    (packets,) = re.findall(r"(?m)^:INPUT DROP \[(\d+):", saved)
    return int(packets)


def consistent(line: Line) -> None:
    packets = sum(row["packets"] for row in line["rows"])
    assert packets + sum(line["suppressed"].values()) + line["not_matched"] == line["counted"], line


def packets_of(rows: list[Line]) -> int:
    return sum(row["packets"] for row in rows)


def in_the_firewall(line: Line) -> bool:
    return (line["where"]["function"] or "").startswith(("nft_do_chain", "nf_hook_slow"))


@pytest.mark.parametrize(
    "part", [pytest.param(1, marks=pytest.mark.once), pytest.param(5, marks=pytest.mark.twice)]
)
def test_under_a_flood_each_cause_has_exactly_what_the_kernel_counted(
    lab: Lab, tmp_path: Path, part: int
) -> None:
    """The whole flood, or the fifth part of it."""
    datagrams = {port: count // part for port, count in DATAGRAMS.items()}
    load_modules()
    nft(lab.b, RULES)
    legacy(lab.b, LEGACY)
    recording = tmp_path / "summary.whydrop"
    options = ("--netns", lab.b.name, "--interval", "3", "--write", str(recording))
    with Whydrop("summary", *options) as whydrop:
        before = no_ports(lab.b)
        flood(lab.a, lab.b.v4, datagrams)
        refused = no_ports(lab.b) - before
        whydrop.wait_for(lambda line: line["counted"] >= sum(datagrams.values()))
        done = whydrop.finish()
    assert (done.status, done.refused) == (0, []), done.stderr
    last = done.lines[-1]
    assert [line["type"] for line in done.lines] == ["summary"] * len(done.lines)
    assert [line["complete"] for line in done.lines[-2:]] == [False, True]
    for line in done.lines:
        consistent(line)

    rules = nft_rules(lab.b)
    short = 0
    for port in (FIRST, SECOND):
        rule = the_rule(rules, f"dport {port}")
        rows = [row for row in last["rows"] if row["object"] and row["object"].get("handle") == rule.handle]
        assert rule.packets == datagrams[port]
        short += datagrams[port] - packets_of(rows)
        assert {(row["cause"]["confidence"], row["object"]["kind"]) for row in rows} == {
            ("certain", "nft-rule")
        }
        assert all(not row["also"] and 0 < row["samples"] < 100 for row in rows)
    by_legacy = {the_rule(legacy_rules(lab.b), f"--dport {port}") for port in (THIRD, FOURTH)}
    counted = {rule.text: rule.packets or 0 for rule in by_legacy} | {
        "-P INPUT DROP": policy_packets(lab.b, "mangle")
    }
    assert Counter(counted.values()) == Counter(datagrams[port] for port in (BY_POLICY, FOURTH, THIRD))
    for text, packets in counted.items():
        rows = [row for row in last["rows"] if row["object"] and row["object"]["text"].endswith(text)]
        short += packets - packets_of(rows)
        assert {row["cause"]["confidence"] for row in rows} == {"certain"}
        assert all(not row["also"] and 0 < row["samples"] < 100 for row in rows)
    refused_unseen = [row for row in last["rows"] if in_the_firewall(row) and row["object"] is None]
    assert {row["cause"]["confidence"] for row in refused_unseen} <= {"unknown"}, last["rows"]
    assert packets_of(refused_unseen) == short <= FEW, last["rows"]
    closed = [row for row in last["rows"] if (row["where"]["function"] or "").startswith(UDP_RECEIVERS)]
    assert packets_of(closed) == refused == datagrams[CLOSED], closed
    assert all(row["netns"]["name"] == lab.b.name and row["iface"]["name"] == lab.b.iface for row in closed)

    flows = {flow["dport"]: flow["packets"] for flow in last["top_flows"] if flow["saddr"] == lab.a.v4}
    assert {port: flows.get(port) for port in datagrams} == datagrams
    (found,) = [
        one
        for one in last["outside"]
        if one["counter"] == "UdpNoPorts" and one["netns"]["name"] == lab.b.name
    ]
    assert (found["count"], found["also_in_rows"]) == (refused, True)

    assert done.end is not None
    assert done.end["events_lost"] == 0, done.end
    assert done.end["drops_matched"] == sum(row["packets"] for row in last["rows"])
    assert done.end["drops_seen"] >= last["counted"]
    keep(recording, done)
    assert replayed(recording) == [*done.lines, done.end]
    table = subprocess.run(
        [str(WHYDROP), "replay", str(recording)], capture_output=True, text=True, check=True
    ).stdout
    assert table.count(" dropped in ") == len(done.lines), table
    assert "udp dport 7002" in " ".join(table.split())
    assert max(map(len, table.splitlines())) <= 80
    *samples, _ = replayed(recording, "--findings")
    unseen = [line for line in samples if line["object"] is None and in_the_firewall(line)]
    assert all("current_kprobe" in line["evidence"][1]["source"] for line in unseen), unseen
    of_second = [line for line in samples if line["packet"]["dport"] == SECOND and line not in unseen]
    assert {line["object"]["handle"] for line in of_second} == {the_rule(rules, f"dport {SECOND}").handle}


@pytest.mark.twice
def test_what_dies_while_a_probe_is_interrupted_is_counted(lab: Lab) -> None:
    """The kernel runs a program on one packet at a time on a CPU: who comes in between is seen by another one."""
    load_modules()
    nft(lab.b, RULES)
    nft(lab.a, "table inet own { chain out { type filter hook output priority 0; udp dport 9 drop; } }")
    sent = {FIRST: 4_000, SECOND: 4_000}
    hammer = ["ip", "netns", "exec", lab.a.name, sys.executable, "-c", HAMMER, lab.b.v4]
    with Whydrop("summary", "--dport", f"{FIRST}-{SECOND}", "--interval", "3") as whydrop:
        busy = subprocess.Popen(hammer)
        flood(lab.a, lab.b.v4, sent)
        busy.kill()
        busy.wait()
        whydrop.wait_for(lambda line: line["counted"] >= sum(sent.values()) * 0.999)
        done = whydrop.finish()
    assert (done.status, done.refused) == (0, []), done.stderr
    rows = [row for row in done.lines[-1]["rows"] if in_the_firewall(row)]
    assert done.end is not None
    lost = done.end["events_lost"]
    assert packets_of(rows) + lost >= sum(sent.values()), done.lines[-1]
    assert lost <= sum(sent.values()) // 1000, done.end
    for rule in nft_rules(lab.b):
        named = [row for row in rows if row["object"] and row["object"].get("handle") == rule.handle]
        assert rule.packets is not None
        assert rule.packets - FEW <= packets_of(named) <= rule.packets, rows
    assert {row["cause"]["confidence"] for row in rows} <= {"certain", "unknown"}


@pytest.mark.once
def test_one_namespace_cannot_take_the_room_of_all(lab: Lab) -> None:
    """More made-up ethertypes than there are rows; what dies elsewhere is counted by sort as before."""
    frames, datagrams = 5003, {7001: 7, 7002: 9}
    with Whydrop("summary", "--interval", "3") as whydrop:
        subprocess.run(
            ["ip", "netns", "exec", lab.b.name, sys.executable, "-c", MADE_UP, str(frames)], check=True
        )
        before = no_ports(lab.a)
        flood(lab.b, lab.a.v4, datagrams)
        refused = no_ports(lab.a) - before
        whydrop.wait_for(lambda line: line["counted"] >= frames + refused)
        done = whydrop.finish()
    assert (done.status, done.refused) == (0, []), done.stderr
    assert done.end is not None
    assert done.end["events_lost"] == 0, done.end
    rows = done.lines[-1]["rows"]
    unhandled = [row for row in rows if (row["netns"] or {}).get("name") == lab.b.name]
    assert packets_of(unhandled) == frames
    closed = [row for row in rows if (row["where"]["function"] or "").startswith(UDP_RECEIVERS)]
    assert packets_of(closed) == refused == sum(datagrams.values()), closed


@pytest.mark.once
def test_one_user_cannot_take_the_room_of_all(lab: Lab) -> None:
    """Nor with ten namespaces, each of which has as many sorts as one may have."""
    namespaces, frames, datagrams = 10, 600, {7003: 7, 7004: 9}
    command = f"ip link set lo up; exec {sys.executable} -c '{MADE_UP}' {frames}"
    user = [
        "setpriv",
        "--reuid=4321",
        "--regid=4321",
        "--clear-groups",
        "unshare",
        "-Urn",
        "sh",
        "-c",
        command,
    ]
    with Whydrop("summary", "--interval", "3") as whydrop:
        for _ in range(namespaces):
            subprocess.run(user, check=True)
        before = no_ports(lab.a)
        flood(lab.b, lab.a.v4, datagrams)
        refused = no_ports(lab.a) - before
        whydrop.wait_for(lambda line: line["counted"] >= namespaces * frames + refused)
        done = whydrop.finish()
    assert (done.status, done.refused) == (0, []), done.stderr
    assert done.end is not None
    assert done.end["events_lost"] == 0, done.end
    rows = done.lines[-1]["rows"]
    closed = [row for row in rows if (row["where"]["function"] or "").startswith(UDP_RECEIVERS)]
    assert packets_of(closed) == refused == sum(datagrams.values()), closed


@pytest.mark.once
def test_a_cause_of_the_filter_and_a_table_for_people(lab: Lab) -> None:
    load_modules()
    nft(lab.b, RULES)
    command = [str(WHYDROP), "summary", "--dport", str(FIRST), "--netns", lab.b.name, "--"]
    command += flood_command(lab.a, lab.b.v4, {FIRST: 107, CLOSED: 11})
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert " 107 dropped in " in text, done.stdout
    assert f"udp dport {FIRST}" in text
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "107 dropped packets matched" in " ".join(done.stderr.split())
