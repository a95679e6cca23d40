"""Every drop is reported with place, layer and the kernel's own reason; what is healthy is not."""

import json
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from scenarios import esp, traffic
from scenarios.blame import deaths
from scenarios.firewalls import nft
from scenarios.namespaces import Lab, Namespace
from scenarios.roads import bridge
from scenarios.waiting import eventually
from scenarios.whydrop_process import KPROBE_EVENTS, Line, Whydrop, programs_are_gone

BURST, LOOKED_AT = 10_000, 100  # the ring has room for 8,700 without more than their DROP record
PAUSE, ETH_P_PAUSE = b"\x01\x80\xc2\x00\x00\x01", 0x8808  # linux/if_ether.h


def in_namespace(end: Namespace, line: Line) -> bool:
    return line.get("type") == "drop" and (line.get("netns") or {}).get("name") == end.name


def kernel_gives_reasons() -> bool:
    return "reason" in Path("/sys/kernel/tracing/events/skb/kfree_skb/format").read_text()


def snmp(end: Namespace, group: str, name: str) -> int:
    lines = [line.split() for line in end.run("cat /proc/net/snmp").stdout.splitlines()]
    names, values = (line for line in lines if line[0] == f"{group}:")
    return int(values[names.index(name)])


@pytest.mark.parametrize("family", [4, 6])
def test_nobody_listens(lab: Lab, whydrop: Whydrop, family: int) -> None:
    address = lab.b.v4 if family == 4 else lab.b.v6
    esp.send(lab.a, address, 3, port=9)
    found = whydrop.wait_for(lambda line: in_namespace(lab.b, line) and line["packet"]["dport"] == 9, 3)
    assert len(found) == 3
    for line in found:
        assert line["match"] == "direct"
        assert (line["packet"]["family"], line["packet"]["proto"]) == (family, "udp")
        assert line["packet"]["daddr"] == address
        assert line["iface"]["name"] == lab.b.iface
        assert line["netns"] == {"inode": lab.b.inode, "name": lab.b.name}
        assert (line["where"]["layer"], line["where"]["direction"]) == ("udp", "in")
        assert line["where"]["offset"] > 0
        assert line["process"] is None, (
            "the process that was running has nothing to do with a packet that came in"
        )
        assert line["reason"] == ("NO_SOCKET" if kernel_gives_reasons() else None)
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("socket.udp-no-listener", "certain")
    if family == 4:
        assert snmp(lab.b, "Udp", "NoPorts") == 3


@pytest.mark.parametrize("family", [4, 6])
def test_tcp_names_the_interface_that_the_packet_came_in_through(
    lab: Lab, whydrop: Whydrop, family: int
) -> None:
    """TCP takes the device out of the packet, and the route of what is for this host leads to the loopback."""
    here, there = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    with lab.b.entered():
        server = socket.create_server((there, 5001), family=traffic.family_of(there))
    with server:  # which refuses an acknowledgement of nothing
        traffic.segments(lab.a, (here, there), (4001, 5001), traffic.ACK, count=3)
        for line in deaths(whydrop, lab.b, 3, 5001):
            assert line["packet"]["tcp_flags"] == "A", line
            assert line["iface"]["name"] == lab.b.iface, line
            assert line["where"]["layer"] == "tcp", line


def test_a_report_of_group_membership_has_no_mark_but_the_one_that_was_set(
    lab: Lab, whydrop: Whydrop
) -> None:
    """The kernel keeps something else in that place of the reports that it makes (skb->reserved_tailroom)."""
    groups = {"ff02::16": "ip6", "224.0.0.22": "ip"}
    chain = "type filter hook output priority {}; policy accept;"
    dropping = " ".join(f"{kind} daddr {group} drop;" for group, kind in groups.items())
    nft(lab.a, f"table inet t {{ chain c {{ {chain.format(0)} {dropping} }} }}")

    def reported(group: str, mark: int) -> Callable[[Line], bool]:
        return lambda line: (
            in_namespace(lab.a, line) and (line["packet"]["daddr"], line["packet"]["mark"]) == (group, mark)
        )

    _join(lab.a, 1)
    for group in groups:
        whydrop.wait_for(reported(group, 0))
    nft(lab.a, f"table inet m {{ chain c {{ {chain.format(-9)} meta mark set 0x4d; }} }}")
    _join(lab.a, 2)
    for group in groups:
        whydrop.wait_for(reported(group, 0x4D))
    found = [line["packet"] for line in whydrop.lines() if in_namespace(lab.a, line)]
    assert {packet["mark"] for packet in found if packet["daddr"] in groups} == {0, 0x4D}, found


def _join(end: Namespace, number: int) -> None:
    """And leave: each of them is told to the routers."""
    with traffic.open_socket(end, socket.AF_INET6, socket.SOCK_DGRAM) as six, end.entered():
        group = socket.inet_pton(socket.AF_INET6, f"ff15::{number}")
        member = group + struct.pack("=I", socket.if_nametoindex(end.iface))
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    with traffic.open_socket(end, socket.AF_INET, socket.SOCK_DGRAM) as four:
        member = socket.inet_aton(f"239.1.1.{number}") + socket.inet_aton(end.v4)
        four.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)


def test_reverse_path_filter(lab: Lab, whydrop: Whydrop) -> None:
    lab.b.run("sysctl -qw net.ipv4.conf.all.rp_filter=1")
    lab.a.run("ip address add 172.16.9.9/32 dev lo")
    lab.a.run(
        "sysctl -qw net.ipv4.conf.all.arp_announce=2"
    )  # or ARP itself would ask from the refused address
    esp.send(lab.a, lab.b.v4, 5, port=9, source="172.16.9.9")
    found = whydrop.wait_for(
        lambda line: in_namespace(lab.b, line) and line["packet"]["saddr"] == "172.16.9.9", 5
    )
    assert {line["where"]["layer"] for line in found} == {"routing"}
    if kernel_gives_reasons():
        assert {(line["reason"], line["cause"]["id"]) for line in found} == {
            ("IP_RPFILTER", "routing.reverse-path")
        }
    assert "IPReversePathFilter" in lab.b.run("cat /proc/net/netstat").stdout


def test_a_bridge_forwards_no_pause_frames(lab: Lab, whydrop: Whydrop) -> None:
    """The address of the frame tells, where the kernel gives no reason."""
    bridge(lab)
    traffic.frames(lab.a, lab.a.iface, to=PAUSE, kind=ETH_P_PAUSE, body=bytes(46), count=3)
    found = whydrop.wait_for(
        lambda line: (
            in_namespace(lab.b, line)
            and line["packet"]["family"] is None  # IPv6 says its own words on a port that has just come
            and "br_handle_frame" in str(line["where"])
        ),
        3,
    )
    assert len(found) == 3
    for line in found:
        assert line["iface"]["name"] == lab.b.iface, line
        judged = line["cause"]["id"], line["cause"]["confidence"]
        assert judged == ("device.bridge-pause-frame", "certain"), line


def test_healthy_traffic_is_no_finding(lab: Lab, whydrop: Whydrop) -> None:
    """UDP that is read, also in fragments, and TCP connections closed from either side."""
    for end in (lab.a, lab.b):
        never_retransmit(end)
    for family, address in ((socket.AF_INET, lab.b.v4), (socket.AF_INET6, lab.b.v6)):
        udp_conversation(lab, family, address)
        for closes_first in ("client", "server"):
            tcp_conversation(lab, family, address, closes_first)
    esp.send(lab.a, lab.b.v4, 1, port=9)
    whydrop.wait_for(lambda line: in_namespace(lab.b, line) and line["packet"]["dport"] == 9)
    ours = {lab.a.name, lab.b.name}
    found = [line for line in whydrop.lines() if (line.get("netns") or {}).get("name") in ours]
    others = [line for line in found if line["packet"]["dport"] != 9 and not quotes_port_9(line)]
    assert not others, json.dumps(others[0])
    everywhere = [
        line for line in whydrop.lines() if 5000 in (line["packet"]["sport"], line["packet"]["dport"])
    ]
    assert not everywhere, json.dumps(everywhere[0])


def never_retransmit(end: Namespace) -> None:
    """A guest that stands still for a moment sends again what is not lost, and the copy is then really dropped."""
    end.run("sysctl -qw net.ipv4.tcp_early_retrans=0")
    for network in (f"{end.v4.rpartition('.')[0]}.0/24", f"{end.v6.rpartition('::')[0]}::/64 metric 256"):
        end.run(f"ip route replace {network} dev {end.iface} rto_min 60s")


def quotes_port_9(line: Line) -> bool:
    """The ICMP error about the datagram that this very scenario sends to a closed port."""
    return line["packet"]["icmp_type"] is not None


def udp_conversation(lab: Lab, family: int, address: str) -> None:
    with lab.b.entered():
        reader = socket.socket(family, socket.SOCK_DGRAM)
    with reader:
        reader.bind((address, 5000))
        reader.settimeout(60)
        with lab.a.entered():
            sender = socket.socket(family, socket.SOCK_DGRAM)
        with sender:
            for size in (10, 1000, 4000):
                sender.sendto(b"x" * size, (address, 5000))
                assert len(reader.recv(8000)) == size


def tcp_conversation(lab: Lab, family: int, address: str, closes_first: str) -> None:
    with lab.b.entered():
        listener = socket.socket(family, socket.SOCK_STREAM)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, 5000))
        listener.listen()
        with lab.a.entered():
            client = socket.socket(family, socket.SOCK_STREAM)
        client.connect((address, 5000))
        server, _ = listener.accept()
        sending = threading.Thread(target=client.sendall, args=(b"x" * 200_000,))
        sending.start()
        left = 200_000
        while left:
            left -= len(server.recv(left))
        sending.join()
        first, second = (client, server) if closes_first == "client" else (server, client)
        first.close()
        assert second.recv(1) == b""
        second.close()


@pytest.mark.twice
def test_a_burst_is_counted_exactly(lab: Lab) -> None:
    """What did not fit into the ring is in events_lost, what was not looked at is told; nothing is missing."""
    asked = ("--proto", "udp", "--dport", "9", "--netns", lab.b.name, "--count", str(LOOKED_AT))
    with Whydrop(*asked, "--every-packet") as running:
        os.kill(running.pid, signal.SIGSTOP)  # nobody empties the ring, so that it overflows
        esp.send(lab.a, lab.b.v4, BURST, port=9)
        eventually(lambda: snmp(lab.b, "Udp", "NoPorts") == BURST, f"{BURST} datagrams die")
        os.kill(running.pid, signal.SIGCONT)
        finished = running.finish(None)
    end = finished.end
    assert end is not None
    assert finished.status == 0
    assert end["drops_reported"] == end["drops_matched"] == len(finished.lines) == LOOKED_AT
    (unread,) = [spot for spot in end["blind_spots"] if "were not looked at" in spot]
    assert int(unread.split()[0]) + LOOKED_AT + end["events_lost"] == BURST, end
    assert end["events_lost"] > 0
    assert end["drops_seen"] >= BURST
    assert sum(end["seen_by"].values()) == end["drops_seen"]


@pytest.mark.once
def test_a_command_and_its_drops_on_an_interface_with_a_shortened_name(lab: Lab) -> None:
    """The kernel leaves the tail of the old name behind the new one's end."""
    kprobes = KPROBE_EVENTS.read_text()
    lab.b.run(f"ip link set {lab.b.iface} down")
    lab.b.run(f"ip link set {lab.b.iface} name a-longer-name")
    lab.b.run("ip link set a-longer-name name eth0")
    lab.b.run("ip link set eth0 up")
    program = f"import socket; s = socket.socket(2, 2); [s.sendto(b'x', ('{lab.b.v4}', 9)) for _ in range(5)]"
    command = ["ip", "netns", "exec", lab.a.name, "python3", "-c", program]
    asked = ("--iface", "eth0", "--netns", lab.b.name, "--dport", "9")
    with Whydrop(*asked, command=command) as running:
        finished = running.finish(None)
    assert finished.status == 0
    assert len(finished.lines) == 5
    assert finished.end is not None
    assert finished.end["drops_reported"] == 5
    programs_are_gone(kprobes)


def test_check_says_that_it_works_here() -> None:
    command = [str(Path(__file__).parents[3] / ".venv/bin/whydrop"), "check"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout
    assert "ipsec output" in shown.stdout
    without = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", *command], capture_output=True, text=True
    )
    assert without.returncode == 3, without.stdout
