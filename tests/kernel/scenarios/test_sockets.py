"""Sockets that do not take a packet: they are full (whose, how much was queued, the limit), or bound elsewhere."""

import errno
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from scenarios import bpf_links, traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab, Namespace
from scenarios.test_drops import kernel_gives_reasons
from scenarios.tunnels import SO_RCVBUFFORCE
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

PORT = 5840
SENT = 101
IP_MULTICAST_ALL = 49  # linux/in.h
ETH_P_IP, SOL_PACKET, PACKET_STATISTICS = 0x0800, 263, 6  # linux/if_ether.h, bits/socket.h, linux/if_packet.h
UNHANDLED = 253  # a protocol for experiments


@contextmanager
def unread(end: Namespace, family: int, buffer: int | None) -> Iterator[socket.socket]:
    """A socket of this process that nobody reads; `buffer` is what it asks for, as root with SO_RCVBUFFORCE."""
    with traffic.open_socket(
        end, socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM
    ) as made:
        if buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
        made.bind((end.v4 if family == 4 else end.v6, PORT))
        yield made


def send(end: Namespace, address: str) -> None:
    """Datagrams so large that a few dozen fill the default buffer; a hundred do not fit into a neighbour's queue."""
    end.run(f"ping -c 1 -W 60 {address}")
    with traffic.open_socket(end, traffic.family_of(address), socket.SOCK_DGRAM) as sender:
        for _ in range(SENT):
            sender.sendto(bytes(1400), (address, PORT))


def buffer_errors(end: Namespace, family: int) -> int:
    """UdpRcvbufErrors, Udp6RcvbufErrors: the kernel's own count."""
    if family == 6:
        found = re.search(r"^Udp6RcvbufErrors\s+(\d+)", end.run("cat /proc/net/snmp6").stdout, re.M)
        return int(found[1]) if found else 0
    names, values = re.findall(r"^Udp: (.*)$", end.run("cat /proc/net/snmp").stdout, re.M)
    return int(values.split()[names.split().index("RcvbufErrors")])


def socket_memory(end: Namespace) -> dict[str, int]:
    """What `ss` has of the socket: r is queued, rb the limit, d its drops."""
    found = re.search(r"skmem:\((.*?)\)", end.run(f"ss -uamnH 'sport = :{PORT}'").stdout)
    assert found
    return {name: int(number) for name, number in re.findall(r"([a-z]+)(\d+)", found[1])}


def died_here(line: Line, end: Namespace) -> bool:
    if line["type"] != "drop":
        return False
    return ((line["netns"] or {}).get("name"), line["packet"]["dport"]) == (end.name, PORT)


@pytest.mark.parametrize("buffer", [1, None], ids=["a small buffer", "the default"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_buffer_is_full(lab: Lab, whydrop: Whydrop, family: int, buffer: int | None) -> None:
    with unread(lab.b, family, buffer) as reader:
        send(lab.a, lab.b.v4 if family == 4 else lab.b.v6)
        (first, *_) = whydrop.wait_for(lambda line: died_here(line, lab.b))
        lost = SENT - first["object"]["datagrams"]
        eventually(lambda: buffer_errors(lab.b, family) == lost, f"the kernel counts {lost} lost datagrams")
        memory = socket_memory(lab.b)
        assert 0 < lost == memory["d"] < SENT
        found = deaths(whydrop, lab.b, lost, PORT)
        inode = os.fstat(reader.fileno()).st_ino
    for line in found:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("socket.udp-buffer-full", "certain"), (
            line
        )
        blamed = line["object"]
        assert (blamed["kind"], blamed["port"], blamed["inode"]) == ("socket", PORT, inode), line
        assert (blamed["queued"], blamed["limit"]) == (memory["r"], memory["rb"]), (line, memory)
        assert blamed["limit_set"] == (buffer is not None), line
        assert blamed["datagrams"] == SENT - lost, line
        assert line["process"] == own_process(), line
        assert f"{memory['r']:,} of {memory['rb']:,} bytes queued" in line["evidence"][0]["text"], line
        most = Path("/proc/sys/net/core/rmem_max").read_text().strip()
        assert f"net.core.rmem_max is {int(most):,}" in line["evidence"][1]["text"], line
        if buffer is not None:  # it asks for less than it may
            assert line["fix"][1]["command"] is None, line
            assert line["fix"][1]["text"].endswith(f"net.core.rmem_max allows up to {most}"), line
        else:
            assert "net.core.rmem_default" in line["fix"][1]["command"], line


def own_name() -> str:
    return Path("/proc/self/comm").read_text().rstrip("\n")


def own_process() -> dict[str, object]:
    """Of this process, which is in no unit and no container."""
    return {"pid": os.getpid(), "comm": own_name(), "unit": None, "container": None, "pod": None}


@dataclass(frozen=True)
class Elsewhere:
    """A socket that has the port, and does not take what is sent: how it is made, what is to be said of it.

    `setup` are command lines for its namespace. In what has braces, `end` is that namespace.
    """

    words: str
    address: str = ""
    family: int = socket.AF_INET
    kind: int = socket.SOCK_DGRAM
    proto: int = 0
    v6_only: bool = False
    peer: str | None = None
    device: str | None = None
    setup: tuple[str, ...] = ()
    to: str = "{end.v4}"
    """The address that the packets are sent to."""
    to_itself: bool = False
    """The namespace of the socket sends them."""
    sure: bool = True
    """The second finding is certain."""


V6, TCP = socket.AF_INET6, socket.SOCK_STREAM
RED = ("ip link add red type vrf table 77", "ip link set red up")
IN_RED = (*RED, "ip link set {end.iface} master red")
OTHER = 20
LINK_LOCAL = (
    "ip address add fe80::2/64 dev other nodad",
    "ip address add fe80::2/64 dev {end.iface} nodad",
)
HOSTS, HOSTS6, ALL = "224.0.0.1", "ff02::1", "255.255.255.255"

ELSEWHERE = {
    "another device": Elsewhere(
        "is bound to interface other, and the packet came in through vb", device="other"
    ),
    "another device, IPv6": Elsewhere(
        "is bound to interface other", family=V6, device="other", to="{end.v6}"
    ),
    "another address": Elsewhere("is bound to this address, and the packet is for", "127.0.0.1"),
    "another address, IPv6": Elsewhere("is bound to this address", "::1", V6, to="{end.v6}"),
    "another address of IPv4": Elsewhere("is bound to this address", "::ffff:127.0.0.1", V6),
    "any address of IPv4": Elsewhere("is bound to this address", "::ffff:0.0.0.0", V6, to="{end.v6}"),
    "an IPv6 address": Elsewhere("is bound to an IPv6 address", "{end.v6}", V6),
    "IPv6 only": Elsewhere("accepts IPv6 only (IPV6_V6ONLY)", family=V6, v6_only=True),
    "IPv4 only": Elsewhere("is an IPv4 socket", to="{end.v6}"),
    "another peer": Elsewhere("is connected to 10.9.99.99 port 9", peer="10.9.99.99"),
    "outside of the VRF": Elsewhere(
        "is outside of VRFs, and the packet came in through VRF red: net.ipv4.udp_l3mdev_accept is 0",
        setup=IN_RED,
    ),
    "in another VRF": Elsewhere("is bound to VRF red, and the packet came in", device="red", setup=RED),
    "another address, VRFs aside": Elsewhere(
        "is bound to this address", "127.0.0.1", setup=(*IN_RED, "sysctl -qw net.ipv4.udp_l3mdev_accept=1")
    ),
    "the same on another link": Elsewhere(
        "is bound to interface other, and the packet came in through vb",
        "fe80::2",
        V6,
        setup=LINK_LOCAL,
        to="fe80::2",
    ),
    "loopback, to itself": Elsewhere(
        "is bound to interface lo, and IPv6 packets to an own address",
        *("", V6),
        device="lo",
        to="{end.v6}",
        to_itself=True,
        sure=False,
    ),
    "another group": Elsewhere("is bound to this address", "224.0.0.9", to=HOSTS, sure=False),
    "a group on another device": Elsewhere(
        "is bound to interface other", device="other", to=HOSTS, sure=False
    ),
    "a group of IPv6": Elsewhere(
        "is bound to interface other", family=V6, device="other", to=HOSTS6, sure=False
    ),
    "one address, to all": Elsewhere("is bound to this address", "{end.v4}", to=ALL, sure=False),
    "one address, to the network": Elsewhere("is bound to this address", "{end.v4}", to="{all}", sure=False),
    "UDP-Lite": Elsewhere("is bound to this address", "127.0.0.1", proto=socket.IPPROTO_UDPLITE),
    "TCP on another address": Elsewhere("is bound to this address", "127.0.0.1", kind=TCP),
    "TCP on another device": Elsewhere("is bound to interface other", kind=TCP, device="other"),
    "TCP, IPv6 only": Elsewhere("accepts IPv6 only", family=V6, kind=TCP, v6_only=True),
    "TCP, an address of IPv6": Elsewhere("is bound to an IPv6 address", "{end.v6}", V6, TCP),
    "TCP outside of the VRF": Elsewhere(
        "is outside of VRFs, and the packet came in through VRF red: net.ipv4.tcp_l3mdev_accept is 0",
        kind=TCP,
        setup=IN_RED,
    ),
    "TCP on another address, VRFs aside": Elsewhere(
        "is bound to this address",
        "127.0.0.1",
        kind=TCP,
        setup=(*IN_RED, "sysctl -qw net.ipv4.tcp_l3mdev_accept=1"),
    ),
}


@contextmanager
def bound(end: Namespace, how: Elsewhere, *, shared: bool = False) -> Iterator[socket.socket]:
    with traffic.open_socket(end, how.family, how.kind, how.proto) as made:
        if how.family == V6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, how.v6_only)
        if how.device is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, how.device.encode())
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        address = how.address.format(end=end)
        made.bind((address, PORT, 0, OTHER) if address.startswith("fe80") else (address, PORT))
        if how.peer is not None:
            made.connect((how.peer, 9))
        if how.kind == TCP:
            made.listen()
        yield made


def datagram(sender: Namespace, to: str, port: int = PORT, proto: int = 0) -> None:
    """Out of the namespace's interface, also to a group or to all; what it sends to itself goes through lo."""
    with traffic.open_socket(sender, traffic.family_of(to), socket.SOCK_DGRAM, proto) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if to not in (sender.v4, sender.v6):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sender.iface.encode())
        made.sendto(b"datagram", (to, port))


def configure(end: Namespace, how: Elsewhere) -> None:
    lines = (
        f"ip link add other index {OTHER} type dummy",
        "ip link set other up",
        "ip route add 10.9.99.99/32 dev {end.iface}",
        *how.setup,
    )
    for line in lines:
        end.run(line.format(end=end))


def send_what_it_does_not_take(lab: Lab, how: Elsewhere) -> None:
    to = how.to.format(end=lab.b, all=lab.b.v4.rpartition(".")[0] + ".255")
    if how.kind == TCP:
        traffic.segments(lab.a, (lab.a.v4, to), (4000, PORT))
    else:
        datagram(lab.b if how.to_itself else lab.a, to, proto=how.proto)


def is_known(proto: int) -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, proto).close()
    except OSError as error:
        if error.errno != errno.EPROTONOSUPPORT:
            raise
        return False
    return True


def to_many(how: Elsewhere) -> bool:
    return how.to in (HOSTS, HOSTS6, ALL, "{all}")


@pytest.mark.twice
@pytest.mark.parametrize("how", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_socket_is_bound_elsewhere(lab: Lab, whydrop: Whydrop, how: Elsewhere) -> None:
    """Likely at first; the socket that was seen then was there before the second drop."""
    if not is_known(how.proto):
        pytest.skip("feature udp-lite: this kernel has none")
    configure(lab.b, how)
    with bound(lab.b, how) as there:
        for count, confidence in enumerate(("likely", "certain" if how.sure else "likely"), start=1):
            send_what_it_does_not_take(lab, how)
            line = deaths(whydrop, lab.b, count, PORT)[-1]
            if line["reason"] is None and line["cause"]["id"] == "unknown":
                assert how.kind == TCP or how.proto or to_many(how), line
                continue
            assert (line["cause"]["id"], line["cause"]["confidence"]) == (
                "socket.bound-elsewhere",
                confidence,
            ), line
            assert how.words in line["evidence"][0]["text"], line
            assert (line["object"]["kind"], line["object"]["port"]) == ("socket", PORT), line
            assert line["object"]["inode"] == os.fstat(there.fileno()).st_ino, line
            assert line["process"] == own_process(), line


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, TCP], ids=["UDP", "TCP"])
def test_the_sockets_of_a_group_are_all_told(lab: Lab, whydrop: Whydrop, kind: socket.SocketKind) -> None:
    how = Elsewhere("is bound to this address", "127.0.0.1", kind=kind)
    with bound(lab.b, how, shared=True) as one, bound(lab.b, how, shared=True) as other:
        inodes = {os.fstat(each.fileno()).st_ino for each in (one, other)}
        blamed = set()
        for count in (1, 2, 3):
            send_what_it_does_not_take(lab, how)
            line = deaths(whydrop, lab.b, count, PORT)[-1]
            if line["reason"] is None and kind == TCP:
                continue
            assert line["cause"]["id"] == "socket.bound-elsewhere", line
            assert [how.words in fact["text"] for fact in line["evidence"]] == [True, True, False], line
            blamed.add(line["object"]["inode"])
    assert len(blamed) <= 1
    assert blamed <= inodes


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, TCP], ids=["UDP", "TCP"])
def test_a_socket_outside_of_vrfs_that_takes_all_loses_nothing(
    lab: Lab, whydrop: Whydrop, kind: socket.SocketKind
) -> None:
    accept = f"sysctl -qw net.ipv4.{'tcp' if kind == TCP else 'udp'}_l3mdev_accept=1"
    how = Elsewhere("", kind=kind, setup=(*IN_RED, accept))
    configure(lab.b, how)
    with bound(lab.b, how) as there, traffic.open_socket(lab.a, socket.AF_INET, kind) as sender:
        there.settimeout(60)
        sender.settimeout(60)
        sender.connect((lab.b.v4, PORT))
        sender.send(b"data")
        with there.accept()[0] if kind == TCP else there as taken:
            assert taken.recv(9) == b"data"
            datagram(lab.a, lab.b.v4, PORT + 1)
            deaths(whydrop, lab.b, 1, PORT + 1)
            assert not [line for line in whydrop.lines() if died_here(line, lab.b)]


def test_a_group_that_its_socket_has_not_joined(lab: Lab, whydrop: Whydrop) -> None:
    """This host takes 224.0.0.1, the socket only what it has joined (IP_MULTICAST_ALL is off): who knows."""
    with bound(lab.b, Elsewhere("")) as there:
        there.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        datagram(lab.a, HOSTS)
        (line,) = deaths(whydrop, lab.b, 1, PORT)
    assert (line["cause"]["id"], line["cause"]["confidence"]) == ("socket.udp-no-listener", "likely"), line
    assert "unless its membership refuses this group" in line["evidence"][0]["text"], line


def test_a_raw_socket_has_a_copy_and_the_datagram_none_that_takes_it(lab: Lab, whydrop: Whydrop) -> None:
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.settimeout(60)
        datagram(lab.a, lab.b.v4)
        assert raw.recv(100).endswith(b"datagram")
        (line,) = deaths(whydrop, lab.b, 1, PORT)
    found = (line["cause"]["id"], line["cause"]["confidence"], line["object"])
    assert found == ("socket.udp-no-listener", "certain", None), line


@pytest.mark.parametrize("family", [4, 6])
def test_a_raw_socket_that_is_bound_elsewhere(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """The protocol has no handler, and its raw socket does not take the packet."""
    configure(lab.b, Elsewhere(""))
    of, to = (socket.AF_INET, lab.b.v4) if family == 4 else (V6, lab.b.v6)
    with (
        traffic.open_socket(lab.b, of, socket.SOCK_RAW, UNHANDLED) as there,
        traffic.open_socket(lab.a, of, socket.SOCK_RAW, UNHANDLED) as sender,
    ):
        there.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"other")
        for count, confidence in ((1, "likely"), (2, "certain")):
            sender.sendto(b"message", (to, 0))
            line = deaths(whydrop, lab.b, count, wanted=is_unhandled)[-1]
            found = (line["cause"]["id"], line["cause"]["confidence"])
            if line["reason"] is None:
                confidence = "likely"
            assert found == ("socket.bound-elsewhere", confidence), line
            assert (
                "is bound to interface other, and the packet came in through vb"
                in line["evidence"][0]["text"]
            ), line
            assert (line["object"]["proto"], line["object"]["port"]) == ("raw", UNHANDLED), line
            assert line["object"]["inode"] == os.fstat(there.fileno()).st_ino, line


@pytest.mark.parametrize("family", [4, 6])
def test_nothing_handles_the_protocol(lab: Lab, whydrop: Whydrop, family: int) -> None:
    of, to = (socket.AF_INET, lab.b.v4) if family == 4 else (V6, lab.b.v6)
    with traffic.open_socket(lab.a, of, socket.SOCK_RAW, UNHANDLED) as sender:
        for _ in range(3):
            sender.sendto(b"message", (to, 0))
        for line in deaths(whydrop, lab.b, 3, wanted=is_unhandled):
            found = line["cause"]["id"], line["cause"]["confidence"], line["object"]
            certain = "likely" if line["reason"] is None else "certain"
            assert found == ("socket.protocol-unhandled", certain, None), line
    assert counted(lab.b, "IpInUnknownProtos" if family == 4 else "Ip6InUnknownProtos") == 3


def counted(end: Namespace, name: str) -> int:
    """The kernel's own count."""
    return int(end.run(f"nstat -az {name}").stdout.splitlines()[-1].split()[1])


def is_unhandled(line: Line) -> bool:
    return bool(line["packet"]["proto"] == str(UNHANDLED))


def test_a_dhcp_server_on_another_interface_has_lost_it(lab: Lab, whydrop: Whydrop) -> None:
    """Without it the broadcast is no loss, and is not told: but the first after it, as it may have been there still."""
    configure(lab.b, Elsewhere(""))
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"other")
        server.bind(("", 67))
        datagram(lab.a, ALL, 67)
        (line,) = deaths(whydrop, lab.b, 1, 67)
        assert line["cause"]["id"] == "socket.bound-elsewhere", line
        assert line["object"]["inode"] == os.fstat(server.fileno()).st_ino, line
    datagram(lab.a, ALL, 67)
    _, doubtful = deaths(whydrop, lab.b, 2, 67)
    assert (doubtful["cause"]["id"], doubtful["cause"]["confidence"]) == (
        "socket.udp-no-listener",
        "likely",
    ), doubtful
    datagram(lab.a, ALL, 67)
    datagram(lab.a, lab.b.v4)
    deaths(whydrop, lab.b, 1, PORT)
    deaths(whydrop, lab.b, 2, 67)


def test_a_socket_that_comes_after_the_drop_is_not_blamed(lab: Lab, whydrop: Whydrop) -> None:
    traffic.datagrams(lab.a, lab.b.v4, [PORT])
    (alone,) = deaths(whydrop, lab.b, 1, PORT)
    with bound(lab.b, Elsewhere("")) as there:
        there.settimeout(60)
        traffic.datagrams(lab.a, lab.b.v4, [PORT])
        assert there.recv(100) == b"datagram"
    found = (alone["cause"]["id"], alone["cause"]["confidence"], alone["object"])
    assert found == ("socket.udp-no-listener", "certain", None), alone


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["UDP", "TCP"])
def test_a_program_steers_packets_away(lab: Lab, whydrop: Whydrop, kind: socket.SocketKind) -> None:
    """The lookup's program says drop, while a socket is there that would take them."""
    with bound(lab.b, Elsewhere("", kind=kind)), bpf_links.dropping_lookups(lab.b):
        alone = "socket.tcp-no-listener" if kind == socket.SOCK_STREAM else "socket.udp-no-listener"
        for count, cause in enumerate((alone, "socket.steered-away"), start=1):
            if kind == socket.SOCK_STREAM:
                traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (4000, PORT))
            else:
                traffic.datagrams(lab.a, lab.b.v4, [PORT])
            line = deaths(whydrop, lab.b, count, PORT)[-1]
            assert (line["cause"]["id"], line["cause"]["confidence"]) == (cause, "likely"), line
            assert f"name {bpf_links.NAME} is attached" in line["evidence"][0]["text"], line
            assert f"0.0.0.0:{PORT} of {own_name()}" in line["evidence"][1]["text"], line
    assert line["object"]["name"] == bpf_links.NAME, line


def test_copies_for_a_full_sniffer_are_told_together(lab: Lab, whydrop: Whydrop) -> None:
    """The kernel's own count of them (tp_drops) is the sum; what they are copies of arrives."""

    def copies() -> list[Line]:
        found = [line for line in whydrop.lines() if line["type"] == "drop"]
        return [line for line in found if (line["netns"] or {}).get("name") == lab.b.name]

    with (
        traffic.open_socket(lab.b, socket.AF_PACKET, socket.SOCK_DGRAM) as sniffer,
        unread(lab.b, 4, 1 << 22),
    ):
        sniffer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4096)
        sniffer.bind((lab.b.iface, ETH_P_IP))
        began = time.monotonic()
        send(lab.a, lab.b.v4)
        eventually(lambda: socket_memory(lab.b)["r"] >= SENT * 1400, "all of them arrive")
        _, lost = struct.unpack("II", sniffer.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert lost > SENT / 2
        eventually(lambda: sum(line["count"] for line in copies()) >= lost, "all copies are counted")
    found = copies()
    assert sum(line["count"] for line in found) == lost
    assert {line["cause"]["id"] for line in found} == {"socket.packet-buffer-full"}
    pings = [line for line in found if line["packet"]["proto"] == "icmp"]
    seconds = time.monotonic() - began  # one a second, also where whydrop comes to look at them late
    assert len(found) - len(pings) <= 2 + seconds, [line["count"] for line in found]


@pytest.mark.parametrize("family", [4, 6])
def test_a_full_ping_socket_is_told_once(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """Its copy of a reply is the loss, and not the packet that it was made of as well."""
    lab.a.run("sysctl -qw net.ipv4.ping_group_range='0 100'")
    kind, proto, request = {
        4: (socket.AF_INET, socket.IPPROTO_ICMP, 8),
        6: (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128),
    }[family]
    target = lab.b.v4 if family == 4 else lab.b.v6
    reply = 0 if family == 4 else 129
    lab.a.run(f"ping -c 1 -W 60 {target}")
    with traffic.open_socket(lab.a, kind, socket.SOCK_DGRAM, proto) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        asking.settimeout(60)
        asking.sendto(struct.pack("!BBHHH", request, 0, 0, 0, 0) + bytes(1400), (target, 0))
        asking.recv(1, socket.MSG_PEEK)  # it stays, and fills the buffer
        asking.sendto(struct.pack("!BBHHH", request, 0, 0, 0, 1) + bytes(1400), (target, 0))
        asking.sendto(struct.pack("!BBHHH", request, 0, 0, 0, 2) + bytes(1400), (target, 0))
        frees = (
            2 if kernel_gives_reasons() else 4
        )  # without reasons nobody can tell what the second free is of
        found = deaths(whydrop, lab.a, frees, wanted=lambda line: bool(line["packet"]["icmp_type"] == reply))
        traffic.datagrams(lab.b, lab.a.v4, [PORT])  # what would be told twice has been told by then
        deaths(whydrop, lab.a, 1, PORT)
    for line in found:
        if line["reason"] is not None:
            assert line["cause"]["id"] == "socket.raw-buffer-full", line
    told = [line for line in whydrop.lines() if (line.get("netns") or {}).get("name") == lab.a.name]
    assert sum(int(line["count"]) for line in told if line["packet"]["icmp_type"] == reply) == frees, told
