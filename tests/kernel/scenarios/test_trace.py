"""`whydrop trace`: one packet's way through namespaces, NAT, IPsec and rules, to its end."""

import json
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from scenarios.esp import OTHER_KEY, aead
from scenarios.firewalls import legacy, load_modules, nft
from scenarios.namespaces import Lab, Namespace, joined_pair
from scenarios.roads import bridge, through_the_bridge
from scenarios.whydrop_process import PATIENCE, WHYDROP, Line, Whydrop, as_promised, keep, replayed

DNAT_PORT, INNER_PORT, DROPPED_PORT, TCP_PORT, LARGE_PORT = 5000, 6000, 6001, 6002, 6003
PASSED_PORT, NFT_PORT, EBT_PORT, UNHEARD_PORT = 6004, 6005, 6006, 6007
OWN_PORT, MANY = 4321, 40
RULES = """
table ip gate {
    chain pre {
        type nat hook prerouting priority -100;
        udp dport 5000 dnat to %s:6000
    }
    chain post {
        type nat hook postrouting priority 100;
        oif "vout" masquerade
    }
    chain forward {
        type filter hook forward priority 0;
        udp dport 6001 counter drop
    }
}
"""
FRAME_RULES = "table bridge frames { chain c { type filter hook forward priority 0; udp dport 6005 drop; } }"


@dataclass(frozen=True)
class Road:
    """a, b and c in a row; b forwards. `near` and `far` are the ends of the second link, in b and in c."""

    a: Namespace
    b: Namespace
    c: Namespace
    near: str
    far: str


@contextmanager
def three() -> Iterator[Road]:
    with joined_pair() as lab:
        number = lab.a.name.removeprefix("a")
        c = Namespace(f"c{number}", "vin", f"10.78.{number}.2", f"fd78:{number}::2")
        subprocess.run(["ip", "netns", "add", c.name], check=True)
        try:
            near = f"10.78.{number}.1"
            lab.b.run("sysctl -qw net.ipv4.ip_forward=1")
            lab.b.run(f"ip link add vout type veth peer name vin netns {c.name}")
            for end, link, address in ((lab.b, "vout", near), (c, "vin", c.v4)):
                end.run(f"ip address add {address}/24 dev {link}")
                end.run(f"ip link set {link} up")
                end.run("ip link set lo up")
            lab.a.run(f"ip route add default via {lab.b.v4}")
            c.run(f"ip route add default via {near}")
            yield Road(lab.a, lab.b, c, near, c.v4)
        finally:
            c.delete()


def protect(road: Road) -> None:
    """A tunnel from b to c for what goes from b itself to c: that is what is left of a packet after b's NAT."""
    state = f"src {road.near} dst {road.far} proto esp spi 0x4242 reqid 7 mode tunnel {aead(OTHER_KEY)}"
    template = f"tmpl src {road.near} dst {road.far} proto esp reqid 7 mode tunnel"
    for end, direction in ((road.b, "out"), (road.c, "in")):
        end.run(f"ip xfrm state add {state}")
        end.run(
            f"ip xfrm policy add src {road.near} dst {road.far} proto udp dport {INNER_PORT} dir {direction} {template}"
        )


@pytest.fixture(scope="module")
def road() -> Iterator[Road]:
    load_modules()
    with three() as made:
        nft(made.b, RULES % made.far)
        legacy(made.c, f"*mangle\n-A INPUT -p udp --dport {INNER_PORT} -j ACCEPT")
        protect(made)
        yield made


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trace") / "trace.whydrop"


@pytest.fixture(scope="module")
def trace(road: Road, recording: Path) -> Iterator[Whydrop]:
    with Whydrop("trace", "--fields", "len,gso_size,pkt_type", "--write", str(recording)) as running:
        yield running


def send(end: Namespace, address: str, port: int, data: bytes = b"datagram") -> None:
    with end.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        sender.sendto(data, (address, port))


@contextmanager
def reader(end: Namespace, port: int) -> Iterator[socket.socket]:
    with end.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with made:
        made.settimeout(PATIENCE)
        made.bind(("0.0.0.0", port))
        yield made


def journeys_to(trace: Whydrop, port: int, count: int) -> list[Line]:
    found = trace.wait_for(lambda line: line["type"] == "journey" and line["packet"]["dport"] == port, count)
    assert len(found) == count, found
    return found


def journey_to(trace: Whydrop, port: int) -> Line:
    (found,) = journeys_to(trace, port, 1)
    return found


def test_through_three_namespaces_nat_and_a_tunnel(road: Road, trace: Whydrop) -> None:
    with reader(road.c, INNER_PORT) as at:
        send(road.a, road.near, DNAT_PORT)
        assert at.recv(100) == b"datagram"
    found = journey_to(trace, DNAT_PORT)
    steps = found["steps"]
    names = [step["netns"]["name"] for step in steps if step["netns"]]
    order = list(dict.fromkeys(names))
    assert order == [road.a.name, road.b.name, road.c.name], steps

    taps = [(step["netns"]["name"], step["iface"]["name"], step["kind"]) for step in steps if step["tap"]]
    way = [
        (road.a.name, road.a.iface, "transmit"),
        (road.b.name, road.b.iface, "receive"),
        (road.b.name, "vout", "transmit"),
        (road.c.name, "vin", "receive"),
    ]
    assert taps[:4] == way, taps
    answers = [
        (one["engine"], one["table"], one["chain"], one["verdict"])
        for step in steps
        if (one := step["netfilter"]) is not None
    ]
    assert [one for one in answers if one[0] == "nftables"][:3] == [
        ("nftables", "gate", "pre", "accept"),
        ("nftables", "gate", "forward", "accept"),
        ("nftables", "gate", "post", "accept"),
    ], answers
    assert ("iptables", "mangle", "INPUT", "accept") in answers, answers
    changed = [step["changed"] for step in steps if step["changed"]]
    assert any(f"> {road.far}:{INNER_PORT}" in text for text in changed), changed
    assert any("IPsec applied" in text and "0x00004242" in text for text in changed), changed
    assert any("IPsec removed" in text for text in changed), changed
    assert found["end"] == "delivered", found["end_text"]
    assert found["process"]["comm"].startswith("pytest") or found["process"]["comm"].startswith("python"), (
        found
    )
    assert [step["seconds"] for step in steps] == sorted(step["seconds"] for step in steps)
    assert all(list(step["fields"]) == ["len", "gso_size", "pkt_type"] for step in steps)
    first = steps[0]["fields"]
    assert first["len"] == 20 + 8 + len("datagram"), first
    assert first["gso_size"] == 0


def test_what_dies_on_the_way_has_its_finding(road: Road, trace: Whydrop) -> None:
    send(road.a, road.far, DROPPED_PORT)
    found = journey_to(trace, DROPPED_PORT)
    assert found["end"] == "dropped"
    cause = found["finding"]["cause"]
    assert (cause["id"], cause["confidence"]) == ("netfilter.nft-rule", "certain")
    assert found["finding"]["object"]["text"].startswith(f"udp dport {DROPPED_PORT}")
    assert next(step["netns"]["name"] for step in found["steps"] if step["netns"]) == road.a.name


def test_ping_there_and_back(road: Road, trace: Whydrop) -> None:
    road.a.run(f"ping -c 1 -W 60 {road.far}")

    def echo(kind: int) -> Callable[[Line], bool]:
        return lambda line: line["type"] == "journey" and line["packet"]["icmp_type"] == kind

    (request,) = [one for one in trace.wait_for(echo(8)) if one["packet"]["daddr"] == road.far]
    (reply,) = [one for one in trace.wait_for(echo(0)) if one["packet"]["saddr"] == road.far]
    for journey, order in (
        (request, [road.a.name, road.b.name, road.c.name]),
        (reply, [road.c.name, road.b.name, road.a.name]),
    ):
        names = [step["netns"]["name"] for step in journey["steps"] if step["netns"]]
        assert list(dict.fromkeys(names)) == order, journey["steps"]
    assert request["end"] == "consumed", request["end_text"]
    assert "icmp" in request["end_text"]
    assert reply["end"] == "delivered", reply["end_text"]


def test_tcp_arrives(road: Road, trace: Whydrop) -> None:
    with road.c.entered():
        server = socket.create_server(("0.0.0.0", TCP_PORT))
    with server:
        server.settimeout(PATIENCE)
        with road.a.entered():
            client = socket.create_connection((road.far, TCP_PORT), PATIENCE)
        with client:
            peer, _ = server.accept()
            with peer:
                client.sendall(b"x" * 100)
                assert peer.recv(1000) == b"x" * 100
    data = trace.wait_for(
        lambda line: (
            line["type"] == "journey"
            and line["packet"]["dport"] == TCP_PORT
            and (line["packet"]["length"] or 0) > 100
        )
    )
    assert {one["end"] for one in data} == {"delivered"}, data


def test_fragments_are_one_packet(road: Road, trace: Whydrop) -> None:
    """Cut in a, put together for b's connection tracking, cut again, and put together in c."""
    data = bytes(4000)
    with reader(road.c, LARGE_PORT) as at:
        send(road.a, road.far, LARGE_PORT, data)
        assert at.recv(5000) == data
    found = journey_to(trace, LARGE_PORT)
    assert found["end"] == "delivered", found["end_text"]
    assert len({step["copy"] for step in found["steps"]}) >= 3, found["steps"]
    names = {step["netns"]["name"] for step in found["steps"] if step["netns"]}
    assert names == {road.a.name, road.b.name, road.c.name}


@pytest.mark.once
def test_many_at_once_have_each_their_own_journey(road: Road, trace: Whydrop) -> None:
    """More than whydrop reads of the ring at once; buffers are used again before their deaths are read."""
    ends = {DNAT_PORT: "delivered", DROPPED_PORT: "dropped", UNHEARD_PORT: "dropped"}
    functions = {DNAT_PORT: "xfrm_output", DROPPED_PORT: "nft_do_chain", UNHEARD_PORT: "udp_rcv"}
    with road.a.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender, reader(road.c, INNER_PORT) as at:
        sender.bind(("", OWN_PORT))
        for _ in range(MANY):
            for port in ends:
                sender.sendto(b"datagram", (road.near if port == DNAT_PORT else road.far, port))
        for _ in range(MANY):
            assert at.recv(100) == b"datagram"
    own = lambda line: line["type"] == "journey" and line["packet"]["sport"] == OWN_PORT  # noqa: E731
    found = trace.wait_for(own, MANY * len(ends))
    assert len(found) == MANY * len(ends)
    for port, end in ends.items():
        there = [one for one in found if one["packet"]["dport"] == port]
        assert len(there) == MANY, Counter((one["packet"]["dport"], one["end"]) for one in found)
        order = (
            [road.a.name, road.b.name] if port == DROPPED_PORT else [road.a.name, road.b.name, road.c.name]
        )
        for one in there:
            assert one["end"] == end, one
            names = [step["netns"]["name"] for step in one["steps"] if step["netns"]]
            assert list(dict.fromkeys(names)) == order, one["steps"]
            assert functions[port] in [step["function"] for step in one["steps"]], one["steps"]
            if port == DROPPED_PORT:
                assert one["finding"]["cause"]["id"] == "netfilter.nft-rule", one["finding"]
            elif end == "dropped":
                assert one["finding"]["packet"]["dport"] == port, one["finding"]


@pytest.mark.twice
def test_over_a_bridge_with_rules_for_frames(lab: Lab, trace: Whydrop) -> None:
    """Packets that die one after the other, so that a struct sk_buff is used again at once: each has its own end."""
    bridge(lab)
    nft(lab.b, FRAME_RULES)
    has_ebtables = subprocess.run(["modprobe", "-q", "ebtable_filter"], check=False).returncode == 0
    guilty = {
        PASSED_PORT: None,  # for nobody's MAC address: IP behind the other port lets it go
        NFT_PORT: ("netfilter.nft-rule", f"udp dport {NFT_PORT}"),
    }
    if has_ebtables:
        rule = f"-A FORWARD -p IPv4 --ip-protocol udp --ip-destination-port {EBT_PORT} -j DROP"
        lab.b.run(f"ebtables-legacy --concurrent {rule}")
        listed = f"-A FORWARD -p IPv4 --ip-proto udp --ip-dport {EBT_PORT}"
        guilty[EBT_PORT] = ("netfilter.ebtables-rule", listed)
    for _ in range(5):
        for port in guilty:
            through_the_bridge(lab, port, 1)

    for port, wanted in guilty.items():
        for found in journeys_to(trace, port, 5):
            assert found["end"] == "dropped", found
            finding = found["finding"]
            if wanted is None:
                assert finding["where"]["function"].startswith("ip_rcv"), finding
            else:
                cause, rule = wanted
                assert (finding["cause"]["id"], finding["cause"]["confidence"]) == (cause, "certain"), finding
                assert finding["object"]["text"].startswith(rule), finding
            functions = [step["function"] for step in found["steps"]]
            assert {"br_handle_frame_finish", "br_flood"} <= set(functions), found["steps"]
            assert ("br_dev_queue_push_xmit" in functions) == (port == PASSED_PORT)
            answers = {
                (one["family"], one["table"], one["chain"]): one["verdict"]
                for step in found["steps"]
                if (one := step["netfilter"]) is not None
            }
            of_nft = {PASSED_PORT: "accept", NFT_PORT: "drop"}.get(port)
            of_ebtables = "drop" if port == EBT_PORT else "accept" if has_ebtables else None
            assert answers.get(("bridge", "frames", "c")) == of_nft, answers
            assert answers.get(("bridge", "filter", "FORWARD")) == of_ebtables, answers


@pytest.mark.once
def test_the_run_ends_with_what_it_followed(trace: Whydrop, recording: Path) -> None:
    done = trace.finish()
    keep(recording, done)
    assert (done.status, done.refused) == (0, []), done.stderr
    assert done.end is not None
    assert done.end["events_lost"] == 0
    told = [line for line in done.lines if line["type"] == "journey"]
    assert sum(done.end["journeys"].values()) == len(told)
    assert [line["number"] for line in told] == list(range(1, len(told) + 1))
    assert "unknown" not in {line["end"] for line in told}
    assert replayed(recording) == [*done.lines, done.end]


@pytest.mark.once
def test_the_tree_for_people(road: Road) -> None:
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"s.sendto(b'datagram', ('{road.far}', {DROPPED_PORT}))\n"
    )
    command = [
        str(WHYDROP),
        "trace",
        "--tree",
        "--dport",
        str(DROPPED_PORT),
        "--functions",
        "^ip_(rcv|forward)",
    ]
    command += ["--", "ip", "netns", "exec", road.a.name, sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("    ip netns exec")]
    assert max(map(len, lines)) <= 80
    assert re.search(r"us\s*\|.*\bip_rcv\b", done.stdout), done.stdout
    assert "ip_forward" in done.stdout
    assert "netfilter.nft-rule" in done.stdout
    assert "1 packet followed" in " ".join(done.stderr.split())


@pytest.mark.once
def test_functions_are_listed() -> None:
    done = subprocess.run(
        [str(WHYDROP), "trace", "--list-functions", "--functions", "^(udp|tcp)_", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line["name"] for line in as_promised(list(map(json.loads, done.stdout.splitlines())))}
    assert "tcp_v4_rcv" in names
    assert len([name for name in names if name.startswith(("udp_", "tcp_"))]) > 20
