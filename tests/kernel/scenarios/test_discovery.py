"""Neighbour discovery that the kernel refuses is told, whatever kernel frees it how; what it answers is not."""

import fcntl
import os
import socket
import struct
import subprocess
from functools import partial

import pytest
from scenarios.blame import deaths
from scenarios.namespaces import Lab, Namespace
from scenarios.traffic import checksum, hardware_address, open_socket, pseudo_header
from scenarios.whydrop_process import Line, Whydrop

from dropwatch.kernel import btf

RA, NS, REDIRECT = 134, 135, 137
ALL_NODES = "ff02::1"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h


def message(kind: int, ends: tuple[str, str], body: bytes) -> bytes:
    bare = bytes((kind, 0, 0, 0)) + body
    right = checksum(pseudo_header(ends, socket.IPPROTO_ICMPV6, len(bare)) + bare)
    return bare[:2] + struct.pack("!H", right) + bare[4:]


def send(lab: Lab, kind: int, ends: tuple[str, str], body: bytes, count: int = 1) -> None:
    """As a whole frame, to b's hardware address, hop limit 255."""
    data = message(kind, ends, body)
    packed = [socket.inet_pton(socket.AF_INET6, end) for end in ends]
    header = struct.pack("!IHBB", 6 << 28, len(data), socket.IPPROTO_ICMPV6, 255) + b"".join(packed)
    to = hardware_address(lab.b, lab.b.iface)
    with open_socket(lab.a, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((lab.a.iface, 0))
        own = sender.getsockname()[4]
        for _ in range(count):
            sender.send(to + own + struct.pack("!H", 0x86DD) + header + data)


def of_kind(kind: int, line: Line) -> bool:
    return bool(line["packet"]["icmp_type"] == kind)


def link_local(end: Namespace) -> str:
    shown = end.run(f"ip -6 -o address show dev {end.iface} scope link").stdout
    return str(shown.split()[3].partition("/")[0])


def answers(end: Namespace) -> int:
    text = end.run("cat /proc/net/snmp6").stdout
    return int(dict(line.split() for line in text.splitlines())["Icmp6OutNeighborAdvertisements"])


def test_a_solicitation_with_an_option_of_length_zero_is_invalid(lab: Lab, whydrop: Whydrop) -> None:
    before = answers(lab.b)
    target = socket.inet_pton(socket.AF_INET6, lab.b.v6)
    send(lab, NS, (lab.a.v6, lab.b.v6), bytes(4) + target + b"\x01\x00" + bytes(6), 5)
    for line in deaths(whydrop, lab.b, 5, wanted=partial(of_kind, NS)):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("ipv6.ndp-invalid", "certain"), line
    assert answers(lab.b) == before, "none was answered"


@pytest.mark.parametrize(
    ("kind", "sysctl", "value"), [(RA, "accept_ra", 0), (REDIRECT, "accept_redirects", 0)]
)
def test_what_a_setting_refuses_is_told_with_it(
    lab: Lab, whydrop: Whydrop, kind: int, sysctl: str, value: int
) -> None:
    lab.b.run(f"sysctl -qw net.ipv6.conf.{lab.b.iface}.{sysctl}={value}")
    source = link_local(lab.a)
    if kind == RA:
        send(lab, RA, (source, ALL_NODES), bytes((64, 0, 0, 30)) + bytes(8), 3)
    else:
        onward = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "fd0a::7")
        send(lab, REDIRECT, (source, link_local(lab.b)), bytes(4) + onward, 3)
    if kind == RA and frees_as_consumed():
        pytest.skip(
            "feature dropped-advertisements: this kernel frees a router advertisement that it refuses as consumed"
        )
    for line in deaths(whydrop, lab.b, 3, wanted=partial(of_kind, kind)):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("ipv6.message-refused", "likely"), line
        assert line["object"]["text"] == f"net.ipv6.conf.{lab.b.iface}.{sysctl} = {value}", line
        assert f"{lab.b.iface}.{sysctl}=1" in line["fix"][0]["command"], line
    assert "default" not in lab.b.run("ip -6 route show").stdout


def frees_as_consumed() -> bool:
    """Since 6.3, with the drop reasons of neighbour discovery."""
    return "SKB_DROP_REASON_IPV6_NDISC_NS_OTHERHOST" in (btf.vmlinux().enum("skb_drop_reason") or {})


def test_what_a_closed_tun_device_still_had_is_a_loss(lab: Lab, whydrop: Whydrop) -> None:
    """Its program does not read, and then it ends."""
    subprocess.run(["modprobe", "tun"], check=True)
    with lab.b.entered():
        tun = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
    lab.b.run("ip address add 10.99.0.1/24 dev tun0")
    lab.b.run("ip link set tun0 up")
    with open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(7):
            sender.sendto(b"datagram", ("10.99.0.2", 4711))
    os.close(tun)
    for line in deaths(whydrop, lab.b, 7, 4711):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("device.queue-gone", "certain"), line
