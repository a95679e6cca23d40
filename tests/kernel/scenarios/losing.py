"""How packets are lost on purpose, in a way that one command ends: what is sent, and what is wrong before that."""

import contextlib
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenarios import bpf_links, roads, traffic
from scenarios.first_fix import PORT, Arrived, listening, read, seen, spoil, waiting
from scenarios.namespaces import Lab
from scenarios.test_discovery import IFF_NO_PI, IFF_TUN, REDIRECT, TUNSETIFF, link_local
from scenarios.test_discovery import send as send_discovery
from scenarios.test_ipsec_interfaces import OTHER, OWN, opened
from scenarios.tunnels import gcm, way
from scenarios.whydrop_process import Line

ELSEWHERE, GROUP = "172.16.9.9", "239.77.0.1"
BIG = bytes(1400)
NEW_NEIGHBOURS = range(110, 116)


def from_elsewhere(lab: Lab) -> None:
    traffic.datagrams(lab.a, lab.b.v4, [PORT] * 3, source=ELSEWHERE)


def to_b_in_ipv6(lab: Lab) -> None:
    traffic.datagrams(lab.a, lab.b.v6, [PORT] * 3)


def beyond(lab: Lab) -> None:
    traffic.datagrams(lab.a, roads.BEYOND4, [PORT] * 3)


def beyond_in_ipv6(lab: Lab) -> None:
    traffic.datagrams(lab.a, roads.BEYOND6, [PORT] * 3)


def to_a_group(lab: Lab) -> None:
    traffic.datagrams(lab.a, GROUP, [PORT] * 3)


def to_all_nodes(lab: Lab) -> None:
    with traffic.open_socket(lab.a, socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        with lab.a.entered():
            index = socket.if_nametoindex(lab.a.iface)
        sender.sendto(b"datagram", ("ff02::1", PORT, 0, index))


def in_frames(lab: Lab, source: str, target: str, to: bytes = b"") -> None:
    """What no socket of a would send, to b's hardware address if no other is given."""
    frame = to or traffic.hardware_address(lab.b, lab.b.iface)
    body = traffic.udp_packet(source, target, PORT)
    traffic.frames(lab.a, lab.a.iface, to=frame, kind=traffic.ETH_P_IP, body=body, count=3)


def to_b_in_frames(lab: Lab) -> None:
    in_frames(lab, lab.a.v4, lab.b.v4)


def to_b_in_broadcasts(lab: Lab) -> None:
    in_frames(lab, lab.a.v4, lab.b.v4, traffic.BROADCAST)


def from_loopback(lab: Lab) -> None:
    in_frames(lab, "127.0.0.1", lab.b.v4)


def to_loopback(lab: Lab) -> None:
    in_frames(lab, lab.a.v4, "127.0.0.1")


def over_the_bridge(lab: Lab) -> None:
    roads.through_the_bridge(lab, PORT, 3)


def ask_in_arp(lab: Lab) -> None:
    body = traffic.arp_request(lab.a.v4, lab.b.v4, traffic.hardware_address(lab.a, lab.a.iface))
    traffic.frames(lab.a, lab.a.iface, to=traffic.BROADCAST, kind=traffic.ETH_P_ARP, body=body, count=3)


def is_arp_reply(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x06" and frame[20:22] == b"\x00\x02"


def is_to_port(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x00" and frame[36:38] == struct.pack("!H", PORT)


def unknown_neighbours(lab: Lab) -> None:
    network = lab.b.v4.rpartition(".")[0]
    for host in NEW_NEIGHBOURS:
        traffic.datagrams(lab.a, f"{network}.{host}", [PORT])


def full_of_neighbours(lab: Lab) -> None:
    """The table of all namespaces has no room for one more, and room for as many again once it is twice as large."""
    network = lab.b.v4.rpartition(".")[0]
    known = range(101, 110)
    addresses = (f"address add {network}.{host}/32 dev {lab.b.iface}" for host in (*known, *NEW_NEIGHBOURS))
    lab.b.configure(*addresses)
    for host in known:
        traffic.datagrams(lab.a, f"{network}.{host}", [9])
    entries = Path("/proc/net/stat/arp_cache").read_text().splitlines()[1].split()[0]
    spoil(lab, f"first: net.ipv4.neigh.default.gc_thresh3 = {int(entries, 16)}")


def unanswered_for_a_while(lab: Lab) -> None:
    """Three datagrams, while the answer to the question for b's hardware address takes its time."""
    lab.a.configure(f"neigh flush dev {lab.a.iface}")
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(3):
            sender.sendto(BIG, (lab.b.v4, PORT))


def in_a_burst(lab: Lab) -> None:
    traffic.datagrams(lab.a, lab.b.v4, [PORT] * 12)


def full_of_connections(lab: Lab) -> None:
    """Four entries, and no more are allowed."""
    rules_in(lab, "ct state new accept;")
    for sport in range(40101, 40105):
        traffic.datagrams(lab.a, lab.b.v4, [9], sport=sport)
    spoil(lab, "first: net.netfilter.nf_conntrack_max = 4")


def rules_in(lab: Lab, rules: str) -> None:
    spoil(lab, nft(rules)[0])


def into_a_loose_cable(lab: Lab) -> None:
    """The other end of a pair is down."""
    pair = ("link add x0 type veth peer name x1", "link set x0 up")
    lab.a.configure(*pair, "route add 10.77.0.0/24 dev x0")
    lab.a.configure(f"neigh add {roads.BEYOND4} lladdr 02:00:00:00:00:07 dev x0 nud permanent")


def another_way_back(lab: Lab) -> None:
    lab.b.configure("link add other type dummy", "link set other up", "route add 172.16.9.0/24 dev other")


def in_a_vrf(lab: Lab) -> None:
    red = ("link add red type vrf table 77", "link set red up")
    lab.b.configure(*red, f"link set {lab.b.iface} master red")


def backup_of_a_bond(lab: Lab) -> None:
    bond = ("link add bond0 type bond mode active-backup", "link add first type dummy")
    ports = (f"link set {port} master bond0" for port in ("first", lab.b.iface))
    up = ("link set bond0 up", f"address add {lab.b.v4}/24 dev bond0")
    lab.b.configure(*bond, f"link set {lab.b.iface} down", *ports, *up)


def xdp(lab: Lab) -> None:
    bpf_links.drop_by_xdp(lab.b)


def route_for_redirects(lab: Lab) -> None:
    lab.b.set(f"net/ipv6/conf/{lab.b.iface}/accept_redirects", 0)
    lab.b.configure(f"route add fd0a::/64 via {link_local(lab.a)} dev {lab.b.iface}")


def redirect(lab: Lab) -> None:
    ends = (link_local(lab.a), link_local(lab.b))
    onward = socket.inet_pton(socket.AF_INET6, "fe80::77") + socket.inet_pton(socket.AF_INET6, "fd0a::7")
    send_discovery(lab, REDIRECT, ends, bytes(4) + onward, 3)


@contextmanager
def redirected(lab: Lab) -> Iterator[Arrived]:
    yield lambda: "fe80::77" in lab.b.run("ip -6 route get fd0a::7").stdout


class Untracked:
    """A connection that is older than conntrack here, which takes up nothing in the middle."""

    def prepare(self, lab: Lab) -> None:
        with (
            traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_STREAM) as server,
            traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as client,
        ):
            server.bind((lab.b.v4, PORT))
            server.listen()
            client.connect((lab.b.v4, PORT))
            self._taken, _ = server.accept()
            self._client = client.dup()
        rules_in(lab, "ct state invalid drop;")
        lab.b.set("net/netfilter/nf_conntrack_tcp_loose", 0)

    def send(self, lab: Lab) -> None:
        self._client.send(b"data")

    @contextmanager
    def witness(self, lab: Lab) -> Iterator[Arrived]:
        with self._taken, self._client:
            yield lambda: waiting(self._taken) > 0


class OldConnection:
    """The host at the other end has forgotten a connection, and begins anew with the same ports."""

    ports = 40333, PORT

    def prepare(self, lab: Lab) -> None:
        with lab.b.entered():
            self._server = socket.create_server((lab.b.v4, PORT))
        with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as client:
            client.bind((lab.a.v4, self.ports[0]))
            client.connect((lab.b.v4, PORT))
            self._client = client.dup()

    def send(self, lab: Lab) -> None:
        traffic.segments(lab.a, (lab.a.v4, lab.b.v4), self.ports)

    @contextmanager
    def witness(self, lab: Lab) -> Iterator[Arrived]:
        with self._server, self._client, seen("a", lab.a.iface, self._is_welcome)(lab) as arrived:
            yield arrived

    def _is_welcome(self, frame: bytes) -> bool:
        return frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP and frame[47] == 0x12


class Burst:
    """So many datagrams that the buffer holds some of them, and all of them when it is twice as large.

    The program opens its socket anew each time.
    """

    def send(self, lab: Lab) -> None:
        with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(12):
                sender.sendto(BIG, (lab.b.v4, PORT))

    @contextmanager
    def witness(self, lab: Lab) -> Iterator[Arrived]:
        traffic.datagrams(lab.a, lab.b.v4, [9])  # so that none of them waits for b's hardware address
        reader = self._opened(lab)

        def arrived() -> bool:
            nonlocal reader
            with reader:
                got = waiting(reader)
            reader = self._opened(lab)
            return got == 12

        yield arrived
        reader.close()

    def _opened(self, lab: Lab) -> socket.socket:
        with lab.b.entered():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((lab.b.v4, PORT))
        return made


class Tun:
    """A program with a tun device in b."""

    def prepare(self, lab: Lab) -> None:
        with lab.b.entered():
            self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self._fd, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
        lab.b.configure("address add 10.99.0.1/24 dev tun0")

    def write(self, lab: Lab) -> None:
        for _ in range(3):
            with contextlib.suppress(OSError):  # it is down
                os.write(self._fd, traffic.udp_packet("10.99.0.2", lab.b.v4, PORT))

    def send(self, lab: Lab) -> None:
        traffic.datagrams(lab.b, "10.99.0.2", [PORT] * 5)

    @contextmanager
    def reads(self, lab: Lab) -> Iterator[Arrived]:
        """All five of a send."""
        try:
            yield lambda: self._waiting() >= 5
        finally:
            os.close(self._fd)

    def _waiting(self) -> int:
        count = 0
        try:
            while packet := os.read(self._fd, 2000):
                count += packet[22:24] == struct.pack("!H", PORT)
        except BlockingIOError:
            return count
        return count

    @contextmanager
    def witness(self, lab: Lab) -> Iterator[Arrived]:
        try:
            with read(lab) as arrived:
                yield arrived
        finally:
            os.close(self._fd)


class Protected:
    """Datagrams from a to b by IPsec: what b has is wrong in the way that `how` names."""

    def __init__(self, how: str) -> None:
        self._how = how

    def prepare(self, lab: Lab) -> None:
        if self._how == "another interface":
            self._way = opened(lab, 4, "xfrm", policy=(OWN, OTHER))
            return
        one = self._way = way(lab, 4, "transport" if self._how == "clear text" else "tunnel")
        if self._how == "clear text":
            lab.b.configure(one.policy("in", "priority 71"))
            return
        algorithms = gcm()
        if self._how == "another reqid":
            lab.a.configure(one.but(reqid=one.reqid + 1).state(algorithms), one.policy("out"))
            lab.b.configure(one.state(algorithms), one.policy("in"))
            return
        one.lead_in(algorithms)
        if self._how == "no policy":
            lab.b.configure(one.state(algorithms), one.but(port=one.port + 1).policy("in"))
        else:
            lab.b.configure(one.state(algorithms, "mark 0x15 mask 0x3f"), one.policy("in"))

    def send(self, lab: Lab) -> None:
        self._way.send(3)

    @contextmanager
    def witness(self, lab: Lab) -> Iterator[Arrived]:
        with listening(lab, socket.AF_INET, self._way.inner[1], self._way.port) as arrived:
            yield arrived

    def is_ours(self, line: Line) -> bool:
        packet, one = line["packet"], self._way
        return bool(packet["dport"] == one.port or packet["spi"] == one.spi_text)


def nft(rules: str, hook: str = "input", priority: int = 0, policy: str = "") -> tuple[str, ...]:
    chain = f"type filter hook {hook} priority {priority}; {policy} {rules}"
    return (f"b: nft table inet t {{ chain c {{ {chain} }} }}",)


def legacy_ebtables_are_here() -> bool:
    return subprocess.run(["modprobe", "-q", "ebtable_filter"], check=False).returncode == 0
