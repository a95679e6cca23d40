"""Five hosts as they are in use, each with three losses in much traffic that arrives: those are told, nothing else."""

import json
import socket
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from scenarios import bpf_links, traffic
from scenarios.firewalls import load_modules, nft
from scenarios.namespaces import NUMBERS, Namespace
from scenarios.test_silent_hour import is_retransmission, shown
from scenarios.test_wireguard import own_key
from scenarios.traffic import open_socket
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

MODULES = "8021q vxlan wireguard ip_vs ip_vs_rr sch_ingress cls_flower act_gact act_mirred act_pedit"
UDP, TCP = 4000, 4001  # what is served
REFUSED, EMPTY, CLOSED, ASTRAY = 5999, 4002, 4003, 4004
MARK = 4999  # the last datagram of each host
RULE = f"table inet fw {{ chain f {{ type filter hook forward priority 0; udp dport {REFUSED} counter drop; }} }}"
VIP = "10.80.9.9"


class Loss(NamedTuple):
    """So many packets die in the namespace `at`; `object` are keys of what is blamed for it."""

    at: Namespace
    cause: str
    packets: int
    object: dict[str, Any]


class Star(NamedTuple):
    """A host, and others that each have a cable to it: its end is p1, p2, ..., theirs eth0."""

    hub: Namespace
    others: list[Namespace]


@contextmanager
def star(size: int, *, routed: bool = True) -> Iterator[Star]:
    """The hub is 10.80.N.1, the others 10.80.N.2 and know each other through it. There is no IPv6."""
    number = next(NUMBERS)
    hub = Namespace(f"hub{number}", "p1", "10.80.1.1", "")
    others = [Namespace(f"o{number}-{n}", "eth0", f"10.80.{n}.2", "") for n in range(1, size + 1)]
    made: list[Namespace] = []
    try:
        for end in (hub, *others):
            subprocess.run(["ip", "netns", "add", end.name], check=True)
            made.append(end)
            for name in ("all", "default"):
                end.set(f"net/ipv6/conf/{name}/disable_ipv6", 1)
                end.set(f"net/ipv4/conf/{name}/send_redirects", 0)
            end.configure("link set lo up")
        for n, other in enumerate(others, start=1):
            hub.configure(f"link add p{n} type veth peer name eth0 netns {other.name}", f"link set p{n} up")
            other.configure("link set eth0 up")
            if routed:
                hub.configure(f"address add 10.80.{n}.1/24 dev p{n}")
                other.configure(f"address add {other.v4}/24 dev eth0", f"route add default via 10.80.{n}.1")
        hub.set("net/ipv4/ip_forward", 1)
        yield Star(hub, others)
    finally:
        for end in made:
            end.delete()


@pytest.fixture(scope="module")
def watching() -> Iterator[Whydrop]:
    load_modules()
    subprocess.run(["modprobe", "-a", *MODULES.split()], check=True)
    with Whydrop() as running:
        yield running


def healthy(client: Namespace, server: Namespace, address: str, own: str | None = None) -> None:
    """Pings, datagrams that are answered, and a connection that carries something both ways.

    `own` is the address that the server itself has, where it is another.
    """
    client.run(f"ping -c 3 -i 0.2 -W 60 {address}")
    with (
        open_socket(server, socket.AF_INET, socket.SOCK_DGRAM) as served,
        open_socket(client, socket.AF_INET, socket.SOCK_DGRAM) as asking,
    ):
        served.bind((own or address, UDP))
        asking.settimeout(60)
        served.settimeout(60)
        asking.connect((address, UDP))
        for size in range(1, 1300, 60):
            asking.send(bytes(size))
            question, who = served.recvfrom(2000)
            served.sendto(question, who)
            assert len(asking.recv(2000)) == size
    with open_socket(server, socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((own or address, TCP))
        listening.listen()
        with open_socket(client, socket.AF_INET, socket.SOCK_STREAM) as made:
            made.connect((address, TCP))
            other, _ = listening.accept()
            with other:
                for sender, reader in ((made, other), (other, made)):
                    sender.sendall(bytes(20_000))
                    left = 20_000
                    while left:
                        left -= len(reader.recv(left))
                made.shutdown(socket.SHUT_WR)
                assert other.recv(1) == b""


def only_these(watching: Whydrop, net: Star, losses: list[Loss]) -> None:
    """A last datagram, which the hub has no socket for: what died before is told by then."""
    names = {end.name for end in (net.hub, *net.others)}
    traffic.datagrams(net.others[-1], net.hub.v4, [MARK])
    here: list[Line] = []

    def marked() -> bool:
        here[:] = [
            line
            for line in watching.lines()
            if line["type"] == "drop" and (line["netns"] or {}).get("name") in names
        ]
        return any(line["packet"]["dport"] == MARK for line in here)

    eventually(marked, "the last datagram is told")
    rest = [line for line in here if line["packet"]["dport"] != MARK and not is_retransmission(line)]
    every = Counter(f"{shown(line)}, object {(line['object'] or {}).get('text')}" for line in rest)
    for loss in losses:
        its = [line for line in rest if _is_of(loss, line)]
        rest = [line for line in rest if line not in its]
        assert sum(int(line["count"]) for line in its) == loss.packets, (
            f"{loss}\n{json.dumps(every, indent=1)}"
        )
    assert rest == [], json.dumps(every, indent=1)


def _is_of(loss: Loss, line: Line) -> bool:
    blamed = line["object"] or {}
    return bool(
        line["netns"]["name"] == loss.at.name
        and line["cause"]["id"] == loss.cause
        and loss.object == {key: blamed.get(key) for key in loss.object}
    )


def by_the_rule(at: Namespace, count: int) -> Loss:
    return Loss(at, "netfilter.nft-rule", count, {"kind": "nft-rule", "table": "fw", "chain": "f"})


def test_a_bridge_with_vlans_and_containers(watching: Whydrop) -> None:
    """Two VLANs, between which the host routes; two of the containers are kept apart."""
    with star(4, routed=False) as net:
        hub, (c1, c2, c3, c4) = net
        vlans = {1: 10, 2: 10, 3: 20, 4: 10}
        hub.configure(
            "link add br0 type bridge vlan_filtering 1 vlan_default_pvid 0 forward_delay 0 mcast_snooping 0"
        )
        for n, vid in vlans.items():
            hub.configure(f"link set p{n} master br0")
            hub.run(f"bridge vlan add dev p{n} vid {vid} pvid untagged")
        for n, vid in enumerate((10, 20), start=1):
            hub.run(f"bridge vlan add dev br0 vid {vid} self")
            gateway = (f"link add link br0 name br0.{vid} type vlan id {vid}", f"link set br0.{vid} up")
            hub.configure("link set br0 up", *gateway, f"address add 10.80.{n}.1/24 dev br0.{vid}")
        addresses = ("10.80.1.11", "10.80.1.12", "10.80.2.13", "10.80.1.14")
        for end, address in zip((c1, c2, c3, c4), addresses, strict=True):
            gateway4 = address.rpartition(".")[0] + ".1"
            end.configure(f"address add {address}/24 dev eth0", f"route add default via {gateway4}")
        for port in ("p2", "p4"):
            hub.run(f"bridge link set dev {port} isolated on")
        nft(hub, RULE)
        healthy(c1, c2, "10.80.1.12")
        healthy(c1, c3, "10.80.2.13")
        healthy(c4, c1, "10.80.1.11")

        hopping = struct.pack("!HH", 10, traffic.ETH_P_IP) + traffic.udp_packet(
            "10.80.1.99", "10.80.1.11", UDP
        )
        frame_to = traffic.hardware_address(c1, "eth0")
        traffic.frames(c3, "eth0", to=frame_to, kind=0x8100, body=hopping, count=3)
        traffic.datagrams(c1, "10.80.2.13", [REFUSED] * 4)
        behind = traffic.hardware_address(c2, "eth0").hex(":")
        c4.configure(f"neigh replace 10.80.1.12 lladdr {behind} dev eth0 nud permanent")
        traffic.datagrams(c4, "10.80.1.12", [UDP] * 2)

        healthy(c3, c1, "10.80.1.11")
        only_these(
            watching,
            net,
            [
                Loss(
                    hub, "device.bridge-vlan-filter", 3, {"interface": "p3", "setting": "VLANs 20, PVID 20"}
                ),
                by_the_rule(hub, 4),
                Loss(hub, "device.bridge-isolated", 2, {"interface": "p2", "setting": "isolated on"}),
            ],
        )


def test_a_vxlan_overlay(watching: Whydrop) -> None:
    """Two hosts behind a router, whose stations are entered by hand, as a network plugin does it."""
    with star(2) as net:
        _, (h1, h2) = net
        for own, end, other in ((1, h1, h2), (2, h2, h1)):
            end.configure(
                f"link add vx0 address 02:00:00:00:55:0{own} type vxlan id 7 dstport 4789 local {end.v4} nolearning",
                "link set vx0 mtu 1450 up",
                f"address add 10.55.0.{own}/24 dev vx0",
                f"neigh add 10.55.0.{3 - own} lladdr 02:00:00:00:55:0{3 - own} dev vx0 nud permanent",
            )
            end.run(f"bridge fdb append 02:00:00:00:55:0{3 - own} dev vx0 dst {other.v4}")
        h1.configure(
            "neigh add 10.55.0.3 lladdr 02:00:00:00:55:03 dev vx0 nud permanent",
            f"link add vx9 type vxlan id 9 dstport 4789 local {h1.v4} remote {h2.v4}",
            "link set vx9 up",
            "address add 10.56.0.1/24 dev vx9",
            "neigh add 10.56.0.2 lladdr 02:00:00:00:56:02 dev vx9 nud permanent",
        )
        nft(h2, RULE.replace("hook forward", "hook input"))
        healthy(h1, h2, "10.55.0.2")
        healthy(h2, h1, h1.v4)

        traffic.datagrams(h1, "10.56.0.2", [UDP] * 3)
        traffic.datagrams(h1, "10.55.0.3", [UDP] * 2)
        traffic.datagrams(h1, "10.55.0.2", [REFUSED] * 4)

        healthy(h2, h1, "10.55.0.1")
        only_these(
            watching,
            net,
            [
                Loss(h2, "tunnel.vxlan-unknown-vni", 3, {"interface": "vx0", "setting": "id 7"}),
                Loss(h1, "tunnel.no-remote", 2, {"interface": "vx0", "type": "vxlan"}),
                by_the_rule(h2, 4),
            ],
        )


def test_a_wireguard_hub(watching: Whydrop) -> None:
    with star(2) as net:
        hub, spokes = net
        ends = (hub, *spokes)
        public = {}
        for end in ends:
            end.configure("link add wg0 type wireguard")
            key = own_key(end, "listen-port 51820")
            public[end.name] = end.run("wg pubkey", stdin=key).stdout.strip()
        for n, spoke in enumerate(spokes, start=1):
            more = ",10.57.8.0/24" if n == 1 else ""
            hub.run(f"wg set wg0 peer {public[spoke.name]} allowed-ips 10.57.0.{n}/32{more}")
            endpoint = f"endpoint 10.80.{n}.1:51820"
            spoke.run(f"wg set wg0 peer {public[hub.name]} allowed-ips 10.57.0.0/16 {endpoint}")
        for n, end in enumerate(ends):
            end.configure(f"address add 10.57.0.{n or 254}/16 dev wg0", "link set wg0 up")
        hub.set("net/ipv4/conf/wg0/send_redirects", 0)
        nft(hub, RULE)
        s1, s2 = spokes
        for spoke in spokes:
            spoke.run("ping -c 1 -W 60 10.57.0.254")
        healthy(s1, s2, "10.57.0.2")
        healthy(s2, hub, "10.57.0.254")

        traffic.datagrams(s1, "10.57.9.9", [UDP] * 3)
        s2.configure("address add 10.57.7.7/32 dev lo")
        traffic.datagrams(s2, "10.57.0.254", [UDP] * 2, source="10.57.7.7")
        traffic.datagrams(s1, "10.57.0.2", [REFUSED] * 4)

        healthy(s2, s1, "10.57.0.1")
        peer = {"kind": "wireguard-peer", "interface": "wg0", "public_key": public[s1.name]}
        only_these(
            watching,
            net,
            [
                Loss(hub, "tunnel.wireguard-allowed-ips", 3, peer),
                Loss(
                    hub, "tunnel.wireguard-allowed-ips", 2, {"kind": None}
                ),  # which of the peers sent it, nobody knows
                by_the_rule(hub, 4),
            ],
        )


def test_a_director_of_ipvs(watching: Whydrop) -> None:
    with star(3) as net:
        hub, (client, server, other) = net
        services = [
            (f"-{kind}", port) for kind, port in (("u", UDP), ("t", TCP), ("u", EMPTY), ("u", CLOSED))
        ]
        for kind, port in services:
            hub.run(f"ipvsadm -A {kind} {hub.v4}:{port} -s rr")
            if port != EMPTY:
                real = other if port == CLOSED else server
                hub.run(f"ipvsadm -a {kind} {hub.v4}:{port} -r {real.v4}:{port} -m")
        nft(hub, RULE.replace("hook forward", "hook input"))
        healthy(client, server, hub.v4, own=server.v4)
        healthy(client, other, other.v4)

        traffic.datagrams(client, hub.v4, [EMPTY] * 3)
        traffic.datagrams(client, hub.v4, [CLOSED] * 2)
        traffic.datagrams(client, hub.v4, [REFUSED] * 4)

        healthy(client, server, hub.v4, own=server.v4)
        only_these(
            watching,
            net,
            [
                Loss(hub, "ipvs.no-server", 3, {"kind": "ipvs-service", "address": hub.v4, "port": EMPTY}),
                Loss(other, "socket.udp-no-listener", 2, {}),
                by_the_rule(hub, 4),
            ],
        )


def test_a_load_balancer_of_tc_and_xdp(watching: Whydrop) -> None:
    """What is for the service goes straight to the server, which has its address too and answers by itself."""
    with star(3) as net:
        hub, (client, server, other) = net
        server.configure(f"address add {VIP}/32 dev lo")
        hub.configure(f"route add {VIP}/32 via {server.v4}")
        to = {end.name: traffic.hardware_address(end, "eth0").hex(":") for end in (server, other)}
        hub.configure(f"neigh replace {other.v4} lladdr {to[other.name]} dev p3 nud permanent")
        onward = (
            f"action pedit ex munge eth dst set {to[server.name]} pipe action mirred egress redirect dev p2"
        )
        other.configure(
            f"neigh replace 10.80.3.1 lladdr {traffic.hardware_address(hub, 'p3').hex(':')} dev eth0 nud permanent"
        )
        for port in ("p1", "p2", "p3"):
            hub.run(f"tc qdisc add dev {port} clsact")
        for pref, (kind, number) in enumerate((("udp", UDP), ("tcp", TCP)), start=1):
            match = f"flower ip_proto {kind} dst_ip {VIP} dst_port {number}"
            hub.run(f"tc filter add dev p1 ingress protocol ip pref {pref} {match} {onward}")
        for port, way, number in (("p3", "ingress", EMPTY), ("p2", "egress", ASTRAY)):
            match = f"flower ip_proto udp dst_port {number}"
            hub.run(f"tc filter add dev {port} {way} protocol ip pref 7 {match} action drop")
        healthy(client, server, VIP)
        other.run("ping -c 1 -W 60 10.80.3.1")
        traffic.datagrams(other, server.v4, [EMPTY] * 3)
        number = bpf_links.drop_by_xdp(other)
        traffic.datagrams(client, other.v4, [UDP] * 2)
        traffic.datagrams(client, server.v4, [ASTRAY] * 4)

        healthy(client, server, VIP)
        a_filter = {"kind": "tc-filter", "classifier": "flower", "pref": 7, "action": "drop"}
        only_these(
            watching,
            net._replace(others=[other, server, client]),
            [
                Loss(hub, "queueing.tc-ingress", 3, {**a_filter, "interface": "p3"}),
                Loss(other, "bpf.xdp-generic", 2, {"kind": "bpf-program", "id": number}),
                Loss(hub, "queueing.tc-egress", 4, {**a_filter, "interface": "p2"}),
            ],
        )
