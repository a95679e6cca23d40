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
from scenarios.traffic import checksum, datagrams, hardware_address, open_socket, pseudo_header
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, stopped

from dropwatch.kernel import btf

UNREACHABLE, RA, NS, NA, REDIRECT = 1, 134, 135, 136, 137
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
    ("kind", "sysctl", "value"),
    [(RA, "accept_ra", 0), (RA, "accept_ra_defrtr", 0), (REDIRECT, "accept_redirects", 0)],
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


@pytest.mark.parametrize("device", ["lo", "dummy0"])
def test_a_question_for_an_address_of_another_interface(lab: Lab, whydrop: Whydrop, device: str) -> None:
    """Of an interface without a link. IPv6 does not answer for it, unlike ARP: the sender waits in vain."""
    target = f"{lab.b.v6}77"
    if device != "lo":
        lab.b.configure(f"link add {device} type dummy", f"link set {device} up")
    lab.b.configure(f"address add {target}/128 dev {device} nodad")
    lab.a.set(f"net/ipv6/neigh/{lab.a.iface}/retrans_time_ms", 100)
    datagrams(lab.a, target, [4712])
    send(lab, NS, (lab.a.v6, lab.b.v6), bytes(4) + socket.inet_pton(socket.AF_INET6, target))
    to_group = whydrop.wait_for(lambda line: is_for(lab.b, "ff02::1:ff", line))
    to_us = whydrop.wait_for(lambda line: is_for(lab.b, lab.b.v6, line))
    for line in (to_group[0], to_us[0]):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("ipv6.message-refused", "likely"), line
        assert f"{target} is an address of this namespace, but not" in line["evidence"][0]["text"], line


def test_a_question_for_an_address_that_went_before_anybody_looked(lab: Lab, whydrop: Whydrop) -> None:
    """As above: that the host does not have it now does not make the loss harmless."""
    target = f"{lab.b.v6}78"
    lab.b.configure("link add dummy0 type dummy", f"address add {target}/128 dev dummy0 nodad")
    with stopped(whydrop):
        send(lab, NS, (lab.a.v6, lab.b.v6), bytes(4) + socket.inet_pton(socket.AF_INET6, target), 3)
        lab.b.configure(f"address delete {target}/128 dev dummy0")
    for line in deaths(whydrop, lab.b, 3, wanted=partial(of_kind, NS)):
        assert line["cause"]["id"] == "unknown", line


def is_for(end: Namespace, daddr: str, line: Line) -> bool:
    here = line["type"] == "drop" and (line["netns"] or {}).get("name") == end.name
    return bool(here and of_kind(NS, line) and str(line["packet"]["daddr"]).startswith(daddr))


def nothing_about(whydrop: Whydrop, lab: Lab, kind: int) -> None:
    """Nothing of this kind came in b before the finding that is provoked now."""
    datagrams(lab.a, lab.b.v4, [4713])
    deaths(whydrop, lab.b, 1, 4713)
    found = [line for line in whydrop.lines() if line["type"] == "drop" and of_kind(kind, line)]
    assert not [line for line in found if (line["netns"] or {}).get("name") == lab.b.name], found[-1:]


def test_an_error_that_its_socket_was_told_is_no_loss(lab: Lab, whydrop: Whydrop) -> None:
    with open_socket(lab.b, socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.settimeout(60)
        sender.connect((lab.a.v6, 4714))
        sender.send(b"datagram")
        with pytest.raises(ConnectionRefusedError):
            sender.recv(1)
        nothing_about(whydrop, lab, UNREACHABLE)


def test_an_advertisement_of_an_address_on_another_interface_is_no_conflict(
    lab: Lab, whydrop: Whydrop
) -> None:
    """As of a host with two interfaces on one link, which hears itself."""
    target = "fd0a::5"
    lab.b.configure("link add dummy0 type dummy", f"address add {target}/64 dev dummy0 nodad")
    hardware = b"\x02\x01\x02\0\0\0\0\x07"
    send(
        lab,
        NA,
        (lab.a.v6, ALL_NODES),
        b"\x20\0\0\0" + socket.inet_pton(socket.AF_INET6, target) + hardware,
        3,
    )
    nothing_about(whydrop, lab, NA)


def test_what_a_proxy_answers_is_no_loss(lab: Lab, whydrop: Whydrop) -> None:
    """It waits for a while before it does (proxy_delay)."""
    target = f"{lab.b.v6}99"
    for name in ("all/forwarding", f"{lab.b.iface}/proxy_ndp"):
        lab.b.set(f"net/ipv6/conf/{name}", 1)
    beyond = ("link add dummy0 type dummy", "link set dummy0 up", f"route add {target}/128 dev dummy0")
    lab.b.configure(*beyond, f"neigh add proxy {target} dev {lab.b.iface}")
    datagrams(lab.a, target, [4714])
    shown = f"ip -6 neigh show {target} dev {lab.a.iface}"
    eventually(lambda: "lladdr" in lab.a.run(shown).stdout, "the proxy answers")
    nothing_about(whydrop, lab, NS)


def test_a_redirect_of_somebody_who_is_no_router_of_ours(lab: Lab, whydrop: Whydrop) -> None:
    """It is not taken."""
    onward = socket.inet_pton(socket.AF_INET6, "fe80::77") + socket.inet_pton(socket.AF_INET6, "fd0c::7")
    send(lab, REDIRECT, (link_local(lab.a), link_local(lab.b)), bytes(4) + onward, 3)
    for line in deaths(whydrop, lab.b, 3, wanted=partial(of_kind, REDIRECT)):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("ipv6.message-refused", "likely"), line


@pytest.mark.parametrize("small", [True, False], ids=["a small MTU", "switched off"])
def test_an_interface_without_ipv6(lab: Lab, whydrop: Whydrop, small: bool) -> None:
    hardware = hardware_address(lab.b, lab.b.iface).hex(":")
    lab.a.configure(f"neigh replace {lab.b.v6} lladdr {hardware} dev {lab.a.iface} nud permanent")
    if small:
        lab.b.configure(f"link set {lab.b.iface} mtu 1200")
    else:
        lab.b.set(f"net/ipv6/conf/{lab.b.iface}/disable_ipv6", 1)
    datagrams(lab.a, lab.b.v6, [4715] * 3)
    for line in deaths(whydrop, lab.b, 3, 4715):
        if line["reason"] is not None:
            expected = "ipv6.mtu-too-small" if small else "ipv6.disabled"
            assert (line["cause"]["id"], line["cause"]["confidence"]) == (expected, "certain"), line
            assert ("mtu 1280" in line["fix"][0]["command"]) == small, line


def test_a_long_router_advertisement_that_is_followed_is_no_loss(lab: Lab, whydrop: Whydrop) -> None:
    """It has more prefixes than the record of a packet has room for."""
    prefixes = [f"fd99:{number:x}::" for number in range(1, 11)]
    options = b"".join(
        struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 1800, 0) + socket.inet_pton(socket.AF_INET6, prefix)
        for prefix in prefixes
    )
    send(lab, RA, ("fe80::1", ALL_NODES), struct.pack("!BBHII", 64, 0, 0, 0, 0) + options)
    shown = partial(lab.b.run, f"ip -6 -o address show dev {lab.b.iface} scope global")
    eventually(
        lambda: all(f" {prefix[:-1]}" in shown().stdout for prefix in prefixes), "all prefixes are taken"
    )
    datagrams(lab.a, lab.b.v6, [5877])
    deaths(whydrop, lab.b, 1, 5877)
    told = [line for line in whydrop.lines() if (line.get("netns") or {}).get("name") == lab.b.name]
    assert not [line for line in told if of_kind(RA, line)], told
