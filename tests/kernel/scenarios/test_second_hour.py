"""Another ordinary hour: services restart, programs are killed, networks are in networks, and nothing is lost."""

import socket
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from scenarios.firewalls import nft
from scenarios.namespaces import Namespace
from scenarios.test_silent_hour import (
    Office,
    an_hour,
    has_address,
    is_retransmission,
    listens,
    starts_up,
    succeeds,
    tells_only_the_loss,
)
from scenarios.traffic import frames, open_socket
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line

KILLED = "import socket, time; s = socket.create_connection(({address!r}, 2222)); s.send(b'hello'); time.sleep(600)"
NAT = """table ip nat {
    chain p { type nat hook postrouting priority 100; ip saddr 172.17.0.0/16 oifname eth0 masquerade }
}"""
VRRP = 112
GUEST6 = "fd77:10::61"


def spanning_tree(lan: Office) -> None:
    """The bridge says hello to every host, and LLDP as well; no host takes part."""
    lan.switch.run("ip link set br0 type bridge forward_delay 200 hello_time 100 stp_state 1")
    with open_socket(lan.hosts[0], socket.AF_PACKET, socket.SOCK_RAW) as tap:
        tap.bind(("eth0", 4))  # ETH_P_802_2
        tap.settimeout(60)
        for _ in range(3):
            tap.recv(100)
    lan.switch.run("ip link set br0 type bridge stp_state 0")
    for kind, last in ((0x88CC, b"\x0e"), (0x8809, b"\x02")):
        frames(lan.switch, "p1", to=b"\x01\x80\xc2\0\0" + last, kind=kind, body=bytes(60), count=3)
    first, second = lan.hosts[:2]
    eventually(partial(succeeds, first, f"ping -c 1 -W 1 {second.v4}"), "the ports forward again")


def web_server_restarts(lan: Office) -> None:
    """For both families at once; a connection is open meanwhile."""
    client, server = lan.hosts[:2]
    (lan.home / "page").write_bytes(bytes(3000))
    for _ in range(2):
        daemon = server.start(f"busybox httpd -f -p [::]:8088 -h {lan.home}")
        eventually(partial(listens, server, "[::]:8088"), "the server listens")
        for address in (server.v4, f"[{server.v6}]"):
            client.run(f"busybox wget -q -O /dev/null http://{address}:8088/page")
        with open_socket(client, socket.AF_INET, socket.SOCK_STREAM) as kept:
            kept.connect((server.v4, 8088))
            daemon.terminate()
            daemon.wait()


def session_is_killed(lan: Office) -> None:
    client, server = lan.hosts[:2]
    with open_socket(server, socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind((server.v4, 2222))
        listening.listen()
        session = client.start(f'{sys.executable} -c "{KILLED.format(address=server.v4)}"')
        other, _ = listening.accept()
        with other:
            assert other.recv(100) == b"hello"
            session.kill()
            session.wait()
            assert other.recv(100) == b""


def guests_of_an_interface(lan: Office) -> None:
    host = lan.hosts[1]
    for kind, mode in (("macvlan", "bridge"), ("ipvlan", "l2")):
        with ExitStack() as stack:
            guest = Namespace(f"g{kind}", "eth1", "10.77.10.61", GUEST6)
            subprocess.run(["ip", "netns", "add", guest.name], check=True)
            stack.callback(guest.delete)
            host.run(f"ip link add link eth0 name eth1 netns {guest.name} type {kind} mode {mode}")
            guest.configure("link set lo up", "link set eth1 up")
            guest.configure(f"address add {guest.v4}/24 dev eth1", f"address add {guest.v6}/64 dev eth1")
            eventually(partial(has_address, guest, guest.v6), "the guest has its address")
            for target in (lan.switch.v4, lan.switch.v6):
                guest.run(f"ping -c 2 -i 0.3 -W 60 {target}")


def routers_tell_one_another(lan: Office) -> None:
    speaker = lan.hosts[1]
    with open_socket(speaker, socket.AF_INET, socket.SOCK_RAW, VRRP) as four:
        four.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        four.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(speaker.v4))
        for _ in range(3):
            four.sendto(bytes(20), ("224.0.0.18", 0))
    with open_socket(speaker, socket.AF_INET6, socket.SOCK_RAW, VRRP) as six, speaker.entered():
        for _ in range(3):
            six.sendto(bytes(20), ("ff02::12", 0, 0, socket.if_nametoindex("eth0")))


def containers_behind_nat(lan: Office) -> None:
    """One fetches a page, and ends."""
    host, outside = lan.hosts[2], lan.hosts[1]
    container = Namespace("ct1", "eth0", "172.17.0.2", "fd17::2")
    subprocess.run(["ip", "netns", "add", container.name], check=True)
    try:
        host.run("sysctl -qw net.ipv4.ip_forward=1")
        host.configure(
            "link add docker0 type bridge",
            "link set docker0 up",
            "address add 172.17.0.1/16 dev docker0",
            f"link add vc type veth peer name eth0 netns {container.name}",
            "link set vc master docker0",
            "link set vc up",
        )
        nft(host, NAT)
        container.configure("link set lo up", "link set eth0 up", f"address add {container.v4}/16 dev eth0")
        container.configure("route add default via 172.17.0.1")
        eventually(partial(succeeds, container, f"ping -c 1 -W 1 {outside.v4}"), "the container is connected")
        outside.start(f"busybox httpd -f -p {outside.v4}:8090 -h {lan.home}")
        eventually(partial(listens, outside, f"{outside.v4}:8090"), "the server listens")
        container.run(f"busybox wget -q -O /dev/null http://{outside.v4}:8090/page")
    finally:
        container.delete()


def temporary_addresses(lan: Office) -> None:
    host = lan.hosts[1]
    host.run("sysctl -qw net.ipv6.conf.eth0.use_tempaddr=2")
    host.configure("link set eth0 down", "link set eth0 up", f"address add {host.v6}/64 dev eth0")
    eventually(partial(has_address, host, host.v6), "the host has its address again")
    eventually(partial(succeeds, lan.hosts[0], f"ping -6 -c 1 -W 1 {host.v6}"), "it answers")


def a_tunnel_is_made(lan: Office) -> None:
    """Devices with a receive queue of their own come and go."""
    for number in range(3):
        lan.hosts[0].run(f"ip link add gre{number + 5} type gre remote 10.77.10.99 local {lan.hosts[0].v4}")
        lan.hosts[0].run(f"ip link delete gre{number + 5}")


def is_for_an_end_that_goes_down(line: Line) -> bool:
    """Between `link set eth0 down` and the loss of the carrier the other end still sends to all: lost, rightly told."""
    function, daddr = line["where"]["function"] or "", line["packet"]["daddr"] or ""
    return function.startswith("__dev_forward_skb") and daddr.startswith("ff02:")


def is_for_a_guest_that_went(line: Line) -> bool:
    """The bridge asks whether a guest's address is still there, at the MAC address that it had: lost, rightly told."""
    packet, cause = line["packet"], line["cause"]["id"]
    is_probe = packet["icmp_type"] == 135 and packet["daddr"] == GUEST6
    return bool(cause == "routing.not-for-us" and is_probe and packet["saddr"] != GUEST6)


def is_for_a_port_that_does_not_forward(line: Line) -> bool:
    """A host that starts speaks before the bridge has heard that its cable is in: lost, rightly told."""
    return line["cause"]["id"] == "device.bridge-stp" and (line["packet"]["daddr"] or "").startswith("ff02:")


PARTS = (
    *(starts_up, spanning_tree, web_server_restarts, session_is_killed, guests_of_an_interface),
    *(routers_tell_one_another, containers_behind_nat, temporary_addresses, a_tunnel_is_made),
)


def test_another_ordinary_hour_is_silent_and_one_loss_in_it_is_told(tmp_path: Path) -> None:
    done = an_hour(tmp_path, PARTS)
    rightly = (is_for_an_end_that_goes_down, is_for_a_port_that_does_not_forward, is_for_a_guest_that_went)
    tells_only_the_loss(done, is_retransmission, *rightly)
