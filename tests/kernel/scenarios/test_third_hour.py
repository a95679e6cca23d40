"""A third ordinary hour: what TCP does at its edges, tunnels that carry, a router, taps, sniffers; nothing is lost."""

import errno
import socket
import struct
import subprocess
from functools import partial
from pathlib import Path

import pytest
from scenarios.namespaces import Namespace
from scenarios.test_silent_hour import (
    Office,
    an_hour,
    has_address,
    is_retransmission,
    starts_up,
    succeeds,
    tells_only_the_loss,
)
from scenarios.traffic import open_socket
from scenarios.tunnels import key
from scenarios.waiting import eventually

BOTH = (socket.AF_INET, socket.AF_INET6)
ALL_ROUTERS, ALL_NODES = "ff02::2", "ff02::1"
ROUTER_ADVERTISEMENT, PREFIX_OPTION = 134, 3


def address_of(host: Namespace, family: int) -> str:
    return host.v4 if family == socket.AF_INET else host.v6


def connections_that_end_in_every_way(lan: Office) -> None:
    """Closed by both at once, reset with data unread, reset at once."""
    client, server = lan.hosts[:2]
    for family in BOTH:
        with open_socket(server, family, socket.SOCK_STREAM) as listening:
            listening.bind((address_of(server, family), 2323))
            listening.listen()
            for _ in range(5):
                one, other = joined(client, listening)
                one.shutdown(socket.SHUT_WR)
                other.shutdown(socket.SHUT_WR)
                assert (one.recv(1), other.recv(1)) == (b"", b"")
                one.close()
                other.close()
            one, other = joined(client, listening)
            other.sendall(b"nobody reads this")
            eventually(partial(has_come, one), "the data is there")
            one.close()
            eventually(partial(is_reset, other), "the other end hears of it")
            other.close()
            one, other = joined(client, listening)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
            eventually(partial(is_reset, other), "the other end is reset")
            other.close()


def joined(client: Namespace, listening: socket.socket) -> tuple[socket.socket, socket.socket]:
    with client.entered():
        made = socket.socket(listening.family, socket.SOCK_STREAM)
    made.connect(listening.getsockname()[:2])
    return made, listening.accept()[0]


def has_come(end: socket.socket) -> bool:
    return bool(end.recv(1, socket.MSG_PEEK))


def is_reset(end: socket.socket) -> bool:
    try:
        end.send(b"still there?")
    except OSError as error:
        return error.errno in (errno.ECONNRESET, errno.EPIPE)
    return False


def without_chatter(*hosts: Namespace) -> None:
    """Interfaces that are made from now on have no IPv6, whose first messages come before the other end is there."""
    for host in hosts:
        host.set("net/ipv6/conf/default/disable_ipv6", 1)


def tunnels_carry(lan: Office) -> None:
    """Between two hosts, of several kinds, one after the other."""
    first, second = lan.hosts[1:3]
    without_chatter(first, second)
    kinds = {
        "gre": "type gre local {own} remote {peer} ttl 64",
        "ipip": "type ipip local {own} remote {peer}",
        "vxlan": "type vxlan id 77 local {own} remote {peer} dev eth0 dstport 4789",
        "geneve": "type geneve id 78 remote {peer}",
    }
    for name, words in kinds.items():
        for n, (host, peer) in enumerate(((first, second), (second, first)), start=1):
            host.run(f"ip link add t{name} {words.format(own=host.v4, peer=peer.v4)}")
            host.configure(f"link set t{name} up", f"address add 10.99.0.{n}/24 dev t{name}")
        first.run("ping -c 3 -i 0.3 -W 60 10.99.0.2")
        for host in (first, second):
            host.run(f"ip link delete t{name}")


def a_wireguard_tunnel(lan: Office) -> None:
    subprocess.run(["modprobe", "wireguard"], check=True)
    first, second = lan.hosts[1:3]
    keys = []
    for host in (first, second):
        private = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout
        public = subprocess.run(["wg", "pubkey"], input=private, capture_output=True, text=True, check=True)
        path = lan.home / f"key-{host.name}"
        path.write_text(private)
        keys.append((path, public.stdout.strip()))
    for n, (host, peer) in enumerate(((first, second), (second, first)), start=1):
        host.run("ip link add wg0 type wireguard")
        host.run(
            f"wg set wg0 private-key {keys[n - 1][0]} listen-port 51820 peer {keys[2 - n][1]} "
            f"endpoint {peer.v4}:51820 allowed-ips 10.98.0.0/24"
        )
        host.configure("link set wg0 up", f"address add 10.98.0.{n}/24 dev wg0")
    eventually(partial(succeeds, first, "ping -c 1 -W 1 10.98.0.2"), "the tunnel is up")
    for seconds in (1, 0):
        for host, (_, peers_key) in zip((first, second), reversed(keys), strict=True):
            host.run(f"wg set wg0 peer {peers_key} persistent-keepalive {seconds}")
        first.run("ping -c 5 -i 0.5 -W 60 10.98.0.2")
    for host in (first, second):
        host.run("ip link delete wg0")


def an_ipsec_tunnel_is_rekeyed(lan: Office) -> None:
    """The new SAs are there before the old ones go."""
    first, second = lan.hosts[1:3]
    for end, way_out, way_in in ((first, "out", "in"), (second, "in", "out")):
        between = f"src {first.v4}/32 dst {second.v4}/32"
        back = f"src {second.v4}/32 dst {first.v4}/32"
        template = "tmpl proto esp mode transport level required"
        end.run(f"ip xfrm policy add {between} proto udp dir {way_out} {template}")
        end.run(f"ip xfrm policy add {back} proto udp dir {way_in} {template}")
    with open_socket(second, socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.bind((second.v4, 2525))
        reader.settimeout(60)
        for spi in range(0x7001, 0x7004):
            algorithm = f"aead rfc4106(gcm(aes)) {key(20)} 128"
            for end in (second, first):
                end.run(
                    f"ip xfrm state add src {first.v4} dst {second.v4} proto esp spi {spi} mode transport {algorithm}"
                )
            with open_socket(first, socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for _ in range(3):
                    sender.sendto(b"datagram", (second.v4, 2525))
                    reader.recv(100)
            if spi > 0x7001:
                for end in (first, second):
                    end.run(f"ip xfrm state delete src {first.v4} dst {second.v4} proto esp spi {spi - 1}")
    for end in (first, second):
        end.run("ip xfrm state flush")
        end.run("ip xfrm policy flush")


def a_router_appears(lan: Office) -> None:
    """The switch advertises a prefix to all; hosts make themselves addresses, and then it takes it back."""
    router = lan.switch
    router.set("net/ipv6/conf/br0/forwarding", 1)
    with router.entered():
        index = socket.if_nametoindex("br0")
    for lifetime in (1800, 0):
        prefix = struct.pack("!BBBBIII", PREFIX_OPTION, 4, 64, 0xC0, 7200, 1800 if lifetime else 0, 0)
        prefix += socket.inet_pton(socket.AF_INET6, "fd55::")
        body = struct.pack("!BBHII", 64, 0, lifetime, 0, 0) + prefix
        with open_socket(router, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as speaker:
            speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            speaker.sendto(struct.pack("!BBH", ROUTER_ADVERTISEMENT, 0, 0) + body, (ALL_NODES, 0, 0, index))
        if lifetime:
            for host in lan.hosts[:3]:
                eventually(partial(has_address, host, "fd55::"), f"{host.name} has an address of the prefix")


def groups_are_asked_for(lan: Office) -> None:
    """The bridge asks who has joined which groups; a host joins one and leaves it."""
    lan.switch.run("ip link set br0 type bridge mcast_querier 1 mcast_query_response_interval 50")
    host = lan.hosts[0]
    with host.entered():
        index = struct.pack("=i", socket.if_nametoindex("eth0"))
    for family, group in ((socket.AF_INET, "239.1.2.3"), (socket.AF_INET6, "ff15::77")):
        for _ in range(2):
            with open_socket(host, family, socket.SOCK_DGRAM) as member:
                wanted = socket.inet_pton(family, group)
                if family == socket.AF_INET:
                    member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, wanted + bytes(4) + index)
                else:
                    member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, wanted + index)
                eventually(partial(is_known, lan.switch, group), "the bridge knows the member")
    lan.switch.run("ip link set br0 type bridge mcast_querier 0")


def is_known(switch: Namespace, group: str) -> bool:
    return group in switch.run("bridge mdb show dev br0").stdout


def sniffers(lan: Office) -> None:
    """They start and end in the middle of traffic."""
    first, second = lan.hosts[:2]
    for words in ("-ni eth0", "-ni any udp", "-pni eth0 tcp port 22"):
        sniffer = first.start(f"tcpdump -w /dev/null {words}")
        first.run(f"ping -c 3 -i 0.2 -W 60 {second.v4}")
        sniffer.terminate()
        sniffer.wait()


def a_vlan_of_ones_own(lan: Office) -> None:
    """Tagged on top of eth0, on two ports that take the VLAN."""
    first, second = lan.hosts[:2]
    without_chatter(first, second)
    for n, host in enumerate((first, second), start=1):
        lan.switch.run(f"bridge vlan add dev p{n} vid 30")
        host.run("ip link add link eth0 name eth0.30 type vlan id 30")
        host.configure("link set eth0.30 up", f"address add 10.30.0.{n}/24 dev eth0.30")
    first.run("ping -c 3 -i 0.3 -W 60 10.30.0.2")
    for host in (first, second):
        host.run("ip link delete eth0.30")


def large_datagrams(lan: Office) -> None:
    """In pieces, of both families, also out of order."""
    first, second = lan.hosts[:2]
    first.run("tc qdisc add dev eth0 root netem delay 5ms reorder 50% 50%")
    for family in BOTH:
        with (
            open_socket(second, family, socket.SOCK_DGRAM) as reader,
            open_socket(first, family, socket.SOCK_DGRAM) as sender,
        ):
            reader.settimeout(60)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            reader.bind((address_of(second, family), 2727))
            for _ in range(5):
                sender.sendto(bytes(9000), (address_of(second, family), 2727))
                assert len(reader.recv(1 << 16)) == 9000
    first.run("tc qdisc delete dev eth0 root")


PARTS = (
    *(starts_up, connections_that_end_in_every_way, tunnels_carry, a_wireguard_tunnel),
    *(an_ipsec_tunnel_is_rekeyed, groups_are_asked_for, sniffers, a_vlan_of_ones_own, large_datagrams),
    a_router_appears,  # the last: what is written to a sysctl after an advertisement may have refused it
)


@pytest.mark.twice
def test_a_third_ordinary_hour_is_silent_and_one_loss_in_it_is_told(tmp_path: Path) -> None:
    tells_only_the_loss(an_hour(tmp_path, PARTS), is_retransmission)
