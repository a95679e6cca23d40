"""An ordinary hour on a network where nothing is lost: whydrop says nothing. With one loss in it, exactly that one."""

import errno
import json
import select
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from scenarios.firewalls import load_modules, nft
from scenarios.namespaces import Namespace
from scenarios.traffic import datagrams, family_of, open_socket
from scenarios.waiting import eventually
from scenarios.whydrop_process import Finished, Line, Whydrop

LOST = 5999
UPLOAD = 3 << 20
UDP_PORTS = 20
DHCP = """
interface br0
start 10.77.10.100
end 10.77.10.120
lease_file {home}/leases
pidfile {home}/pid
option subnet 255.255.255.0
"""
MDNS_4, MDNS_6, MDNS_PORT = "224.0.0.251", "ff02::fb", 5353


class Office:
    """A host with a VLAN bridge of four ports, br0, and a host at each port: h1 to h3 in VLAN 10, h4 in VLAN 20."""

    def __init__(self, stack: ExitStack, home: Path) -> None:
        self.home = home
        self.switch = _namespace(stack, "sw", "br0", "10.77.10.1", "fd77:10::1")
        self.hosts = [
            _namespace(stack, f"h{n}", "eth0", f"10.77.10.{10 + n}", f"fd77:10::1{n}") for n in range(1, 5)
        ]
        sw = self.switch
        sw.run("ip link set lo up")
        # Its address would be the lowest of its ports', which come and go: who knows the old one asks in vain.
        sw.run("ip link add br0 address 02:00:00:00:77:01 type bridge vlan_filtering 1 vlan_default_pvid 10")
        sw.run("ip link set br0 up")
        sw.run(f"ip address add {sw.v4}/24 dev br0")
        sw.run(f"ip address add {sw.v6}/64 dev br0")
        for n, host in enumerate(self.hosts, start=1):
            self.plug(host, f"p{n}", vlan=20 if n == 4 else 10)
        for host in self.hosts[1:]:
            host.run(f"ip address add {host.v4}/24 dev eth0")
        for host in self.hosts:
            host.run(f"ip address add {host.v6}/64 dev eth0")

    def plug(self, host: Namespace, port: str, vlan: int = 10) -> None:
        self.switch.run(f"ip link add {port} type veth peer name eth0 netns {host.name}")
        self.switch.run(f"ip link set {port} master br0")
        if vlan != 10:
            self.switch.run(f"bridge vlan add dev {port} vid {vlan} pvid untagged")
            self.switch.run(f"bridge vlan del dev {port} vid 10")
        self.switch.run(f"ip link set {port} up")
        host.run("ip link set lo up")
        host.run("ip link set eth0 up")


@contextmanager
def office(home: Path) -> Iterator[Office]:
    with ExitStack() as stack:
        yield Office(stack, home)


def _namespace(stack: ExitStack, name: str, iface: str, v4: str, v6: str) -> Namespace:
    made = Namespace(name, iface, v4, v6)
    subprocess.run(["ip", "netns", "add", name], check=True)
    stack.callback(made.delete)
    return made


def has_address(host: Namespace, address: str) -> bool:
    shown = host.run("ip -o address show scope global").stdout
    return any(f" {address}" in line and "tentative" not in line for line in shown.splitlines())


def succeeds(host: Namespace, command: str) -> bool:
    return host.run(command, check=False).returncode == 0


def starts_up(lan: Office) -> None:
    """DHCP for the first, the automatic addresses of IPv6 for all."""
    (lan.home / "udhcpd.conf").write_text(DHCP.format(home=lan.home))
    (lan.home / "leases").touch()
    lan.switch.start(f"busybox udhcpd -f {lan.home}/udhcpd.conf")
    eventually(lambda: bool(lan.switch.run("ss -Hlun sport = :67").stdout), "the DHCP server listens")
    first = lan.hosts[0]
    script = lan.home / "bound"
    script.write_text('#!/bin/sh\ntest "$1" != bound || ip address add $ip/24 dev $interface\n')
    script.chmod(0o755)
    first.run(f"busybox udhcpc -i eth0 -n -q -t 20 -T 5 -s {script}")
    for host in lan.hosts:
        eventually(partial(has_address, host, host.v6), f"{host.name} has its IPv6 address")
    eventually(lambda: has_address(lan.switch, lan.switch.v6), "the bridge has its IPv6 address")


def pings(lan: Office) -> None:
    first, second = lan.hosts[:2]
    for target in (second.v4, second.v6, lan.switch.v4, lan.switch.v6):
        first.run(f"ping -c 3 -i 0.3 -W 60 {target}")
    first.run(f"ping -c 2 -i 0.3 -W 60 {first.v6}")


def names(lan: Office) -> None:
    """Questions to a name server over both families, as a resolver asks them."""
    client, server = lan.hosts[:2]
    for family, address in ((socket.AF_INET, server.v4), (socket.AF_INET6, server.v6)):
        with (
            open_socket(server, family, socket.SOCK_DGRAM) as served,
            open_socket(client, family, socket.SOCK_DGRAM) as asking,
        ):
            served.bind((address, 53))
            asking.settimeout(60)
            asking.connect((address, 53))
            for _ in range(3):
                asking.send(b"question")
                question, who = served.recvfrom(100)
                served.sendto(question, who)
                assert asking.recv(100) == question


def mdns(lan: Office) -> None:
    """One asks all, one has joined and answers to the group."""
    asking, answering = lan.hosts[:2]
    for family, group in ((socket.AF_INET, MDNS_4), (socket.AF_INET6, MDNS_6)):
        with ExitStack() as stack:
            ends = []
            for host in (asking, answering):
                made = stack.enter_context(open_socket(host, family, socket.SOCK_DGRAM))
                made.settimeout(60)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind(("", MDNS_PORT))
                with host.entered():
                    index = socket.if_nametoindex("eth0")
                    if family == socket.AF_INET:
                        member = socket.inet_aton(group) + bytes(4) + index.to_bytes(4, "little")
                        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
                        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + member[8:])
                    else:
                        member = socket.inet_pton(family, group) + index.to_bytes(4, "little")
                        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
                        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                ends.append(made)
            for one, other in (ends, ends[::-1]):
                one.sendto(b"who has it", (group, MDNS_PORT))
                assert other.recv(100) == one.recv(100) == b"who has it"


def listens(end: Namespace, address: str) -> bool:
    """Who asks earlier is refused, and that is told."""
    return bool(end.run(f"ss -Hltn src = {address}").stdout)


def web(lan: Office) -> None:
    client, server = lan.hosts[:2]
    (lan.home / "page").write_bytes(bytes(300_000))
    for address in (server.v4, f"[{server.v6}]"):
        server.start(f"busybox httpd -f -p {address}:80 -h {lan.home}")
        eventually(partial(listens, server, f"{address}:80"), "the server listens")
        eventually(
            partial(succeeds, client, f"busybox wget -q -O {lan.home}/got http://{address}/page"),
            "the page comes",
        )


def conversation(lan: Office) -> None:
    """Short messages to and fro, as of a remote shell, with keepalives."""
    client, server = lan.hosts[:2]
    for family, address in ((socket.AF_INET, server.v4), (socket.AF_INET6, server.v6)):
        with open_socket(server, family, socket.SOCK_STREAM) as listening:
            listening.bind((address, 22))
            listening.listen()
            with open_socket(client, family, socket.SOCK_STREAM) as made:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
                made.connect((address, 22))
                other, _ = listening.accept()
                with other:
                    for _ in range(20):
                        made.sendall(b"key")
                        other.sendall(other.recv(100) + b" echoed")
                        made.recv(100)
                    eventually(
                        lambda: "keepalive" in client.run("ss -Hto state established dport = :22").stdout,
                        "keepalives",
                    )
                    client.run("sleep 3")
                    made.shutdown(socket.SHUT_WR)
                    assert other.recv(100) == b""


def uploads(lan: Office) -> None:
    """Who reads has closed his half at once; then it is the other way round."""
    client, server = lan.hosts[:2]
    for family, address in ((socket.AF_INET, server.v4), (socket.AF_INET6, server.v6)):
        with open_socket(server, family, socket.SOCK_STREAM) as listening:
            listening.bind((address, 8080))
            listening.listen()
            for client_sends in (True, False):
                with open_socket(client, family, socket.SOCK_STREAM) as made:
                    made.connect((address, 8080))
                    other, _ = listening.accept()
                    with other:
                        sender, reader = (made, other) if client_sends else (other, made)
                        reader.shutdown(socket.SHUT_WR)
                        assert sender.recv(1) == b""
                        sending = threading.Thread(target=_send_all, args=(sender,))
                        sending.start()
                        assert _all_of(reader) == UPLOAD
                        sending.join()


def _send_all(sender: socket.socket) -> None:
    sender.sendall(bytes(UPLOAD))
    sender.shutdown(socket.SHUT_WR)


def _all_of(reader: socket.socket) -> int:
    total = 0
    while piece := reader.recv(1 << 16):
        total += len(piece)
    return total


def containers(lan: Office) -> None:
    """Each comes, gets an address, pings, and goes."""
    for n in range(3):
        with ExitStack() as stack:
            guest = _namespace(stack, f"c{n}", "eth0", f"10.77.10.{50 + n}", f"fd77:10::5{n}")
            lan.plug(guest, f"pc{n}")
            guest.run(f"ip address add {guest.v4}/24 dev eth0")
            guest.run(f"ip address add {guest.v6}/64 dev eth0")
            eventually(partial(has_address, guest, guest.v6), "the container has its address")
            for target in (lan.switch.v4, lan.switch.v6):
                guest.run(f"ping -c 1 -W 60 {target}")


def broadcasts(lan: Office) -> None:
    """Each host announces itself to all; everybody listens, the sender too."""
    with ExitStack() as stack:
        ends = []
        for host in lan.hosts[:3]:
            made = stack.enter_context(open_socket(host, socket.AF_INET, socket.SOCK_DGRAM))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            made.bind(("", 1900))
            ends.append(made)
        switch = stack.enter_context(open_socket(lan.switch, socket.AF_INET, socket.SOCK_DGRAM))
        switch.bind(("", 1900))
        for made in ends:
            made.sendto(b"here", ("10.77.10.255", 1900))


def routes_asked(lan: Office) -> None:
    first, second = lan.hosts[:2]
    first.run(f"ip route get {second.v4}")
    first.run(f"ip -6 route get {second.v6}")
    second.run(f"ip route get {second.v4} from {lan.switch.v4} iif eth0")
    second.run(f"ip -6 route get {second.v6} from {lan.switch.v6} iif eth0")


def port_scan(lan: Office) -> None:
    """Of a host where nobody listens at any of these ports: all tried at once, as scanners do."""
    scanner, target = lan.hosts[:2]
    for address in (target.v4, target.v6):
        with ExitStack() as stack:
            attempts = [
                stack.enter_context(open_socket(scanner, family_of(address), socket.SOCK_STREAM))
                for _ in range(40)
            ]
            for port, attempt in enumerate(attempts, start=7000):
                attempt.setblocking(False)
                assert attempt.connect_ex((address, port)) == errno.EINPROGRESS
            for attempt in attempts:
                select.select([], [attempt], [])
                assert attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def udp_scan(lan: Office) -> None:
    """The same of UDP. The kernel limits how many errors it sends, and what gets none is told: not here."""
    scanner, target = lan.hosts[:2]
    target.run("sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0")
    for address in (target.v4, target.v6):
        with open_socket(scanner, family_of(address), socket.SOCK_DGRAM) as scanning:
            for port in range(7100, 7100 + UDP_PORTS):
                scanning.sendto(b"?", (address, port))


PARTS = (
    *(starts_up, pings, names, mdns, web, conversation, uploads),
    *(broadcasts, routes_asked, containers, port_scan, udp_scan),
)


def is_retransmission(line: Line) -> bool:
    """Under emulation an acknowledgement can be so late that TCP sends again: what comes twice is freed, rightly."""
    return bool(line["cause"]["id"] == "tcp.old-data" and line["cause"]["confidence"] == "certain")


def shown(line: Line) -> str:
    packet, place = line["packet"], line["where"]["function"]
    what = f"{packet['proto']} {packet['saddr']} > {packet['daddr']} {packet['dport'] or packet['icmp_type']}"
    end = (line["iface"] or {}).get("name"), (line["netns"] or {}).get("name")
    return f"{line['cause']['id']} in {place} ({line['reason']}): {what} {packet['tcp_flags'] or ''} at {end}"


def an_hour(home: Path, parts: Iterable[Callable[[Office], None]]) -> Finished:
    """What whydrop says of an hour with these parts in an office, and of the one loss at its end."""
    load_modules()
    rule = f"table inet t {{ chain i {{ type filter hook input priority 0; udp dport {LOST} drop; }} }}"
    with Whydrop() as whydrop, office(home) as lan:
        for part in parts:
            part(lan)
        nft(lan.hosts[1], rule)
        datagrams(lan.hosts[0], lan.hosts[1].v4, [LOST])
        whydrop.wait_for(lambda line: line["type"] == "drop" and line["packet"]["dport"] == LOST)
        done = whydrop.finish()
    assert done.refused == [], done.end
    return done


def tells_only_the_loss(done: Finished, *rightly: Callable[[Line], bool]) -> None:
    """But for what died `rightly`."""
    found = [line for line in done.lines if line["type"] == "drop" and not any(it(line) for it in rightly)]
    told = Counter(map(shown, found))
    (only,) = told if len(told) == 1 else [json.dumps([told.most_common(), done.end], indent=1)]
    assert only.startswith("netfilter.nft-rule"), only
    assert f" {LOST} " in only, only


def test_an_ordinary_hour_is_silent_and_one_loss_in_it_is_told(tmp_path: Path) -> None:
    done = an_hour(tmp_path, PARTS)
    assert done.end is not None
    assert done.end["suppressed"]["benign.port-scan"] == 80 + 2 * UDP_PORTS, done.end
    tells_only_the_loss(done, is_retransmission)
