"""What dies in virtual devices: tun and tap that nobody reads, pairs of veth and netkit, team, tags of VLANs."""

import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenarios import bpf_links, netkit, team, traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab, Namespace
from scenarios.test_discovery import IFF_NO_PI, IFF_TUN, TUNSETIFF
from scenarios.traffic import BROADCAST, ETH_P_IP
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, told

SENT = 3
PORT = 5896
# linux/if_tun.h
IFF_TAP, IFF_MULTI_QUEUE, IFF_DETACH_QUEUE = 0x0002, 0x0100, 0x0400
IFF_VNET_HDR = 0x4000
TUNSETPERSIST, TUNSETTXFILTER, TUNSETQUEUE = 0x400454CB, 0x400454D1, 0x400454D9
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h
FAR, STATION, GHOST = "10.99.0.2", "02:00:00:00:00:07", "020000009999"
ETH_P_IPV6 = 0x86DD
FIFO_LIMIT = Path("/proc/sys/kernel/sched_rt_runtime_us")


def opened(end: Namespace, flags: int) -> int:
    """The device of a program, t0, up and with a neighbour."""
    subprocess.run(["modprobe", "tun"], check=True)
    with end.entered():
        device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"t0", flags | IFF_NO_PI))
    end.set("net/ipv6/conf/t0/disable_ipv6", 1)
    end.configure("address add 10.99.0.1/24 dev t0", "link set t0 up")
    if flags & IFF_TAP:
        end.configure(f"neigh add {FAR} lladdr {STATION} dev t0 nud permanent")
    return device


def judged(line: Line) -> tuple[str, str]:
    return line["cause"]["id"], line["cause"]["confidence"]


@contextmanager
def before_all_others() -> Iterator[None]:
    """Nothing that waits for its turn on this CPU gets it meanwhile, the kernel's own workers included."""
    limit = FIFO_LIMIT.read_text()
    FIFO_LIMIT.write_text("-1")
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        FIFO_LIMIT.write_text(limit)


def test_a_tun_device_that_nobody_has_open(lab: Lab, whydrop: Whydrop) -> None:
    """It was made to stay, and its program has ended."""
    device = opened(lab.b, IFF_TUN)
    fcntl.ioctl(device, TUNSETPERSIST, 1)
    os.close(device)
    eventually(lambda: "state DOWN" in lab.b.run("ip link show t0").stdout, "it has no carrier")
    traffic.datagrams(lab.b, FAR, [PORT] * SENT)
    for line in deaths(whydrop, lab.b, SENT, PORT):
        assert judged(line) == ("device.tun-no-reader", "likely"), told(line)
        assert line["object"]["interface"] == "t0", told(line)
        assert line["fix"][0]["text"].startswith("start the program"), line["fix"]


def test_a_tun_device_whose_queue_is_detached(lab: Lab, whydrop: Whydrop) -> None:
    device = opened(lab.b, IFF_TUN | IFF_MULTI_QUEUE)
    try:
        fcntl.ioctl(device, TUNSETQUEUE, struct.pack("16sH22x", b"", IFF_DETACH_QUEUE))
        traffic.datagrams(lab.b, FAR, [PORT] * SENT)
        for line in deaths(whydrop, lab.b, SENT, PORT):
            if line["reason"] is not None:
                assert judged(line) == ("device.tun-no-reader", "certain"), told(line)
            else:
                assert line["cause"]["id"] == "unknown", told(line)
    finally:
        os.close(device)


def test_a_tap_device_whose_program_wants_other_frames(lab: Lab, whydrop: Whydrop) -> None:
    device = opened(lab.b, IFF_TAP)
    try:
        wanted = bytes.fromhex("020000000008")
        fcntl.ioctl(device, TUNSETTXFILTER, struct.pack("=HH", 0, 1) + wanted)
        traffic.datagrams(lab.b, FAR, [PORT] * SENT)
        for line in deaths(whydrop, lab.b, SENT, PORT):
            if line["reason"] is not None:
                assert judged(line) == ("device.tun-filter", "certain"), told(line)
                assert line["iface"]["name"] == "t0", told(line)
            else:
                assert line["cause"]["id"] == "unknown", told(line)
    finally:
        os.close(device)


def test_a_virtio_header_that_cannot_be(lab: Lab, whydrop: Whydrop) -> None:
    """Of a macvtap device."""
    index = 4711  # which names the device in /dev, whatever namespace it is in
    lab.b.configure(
        f"link add link {lab.b.iface} name m0 index {index} type macvtap mode bridge", "link set m0 up"
    )
    frame = BROADCAST + bytes.fromhex(GHOST) + struct.pack("!H", ETH_P_IP)
    packet = traffic.udp_packet(lab.b.v4, lab.a.v4, PORT)
    device = os.open(f"/dev/tap{index}", os.O_RDWR)
    try:
        for _ in range(SENT):
            with pytest.raises(OSError, match="Invalid argument"):
                os.write(device, struct.pack("=BBHHHH", 0, 0x77, 0, 0, 0, 0) + frame + packet)  # gso_type
        for line in deaths(whydrop, lab.b, SENT, PORT):
            if line["reason"] is not None:
                assert judged(line) == ("device.virtio-header", "certain"), told(line)
                assert line["iface"]["name"] == "m0", told(line)
            else:
                assert line["cause"]["id"] == "unknown", told(line)
    finally:
        os.close(device)


@pytest.mark.parametrize("kind", [IFF_TUN, IFF_TAP])
def test_a_virtio_header_that_tun_and_tap_refuse(lab: Lab, whydrop: Whydrop, kind: int) -> None:
    """It has no protocol, no network header and no device yet."""
    device = opened(lab.b, kind | IFF_VNET_HDR)
    frame = BROADCAST + bytes.fromhex(GHOST) + struct.pack("!H", ETH_P_IP) if kind == IFF_TAP else b""
    wrong = struct.pack("=BBHHHH", 0, 0x77, 0, 0, 0, 0)  # gso_type
    beyond = struct.pack("=BBHHHH", 1, 0, 0, 0, 9000, 0)  # csum_start: refused before it is a packet
    unsized = struct.pack("=BBHHHH", 0, 3, 0, 0, 0, 0)  # UDP fragmentation, gso_size 0
    try:
        for at, header in enumerate((wrong, unsized)):
            packet = traffic.udp_packet(FAR, "10.99.0.1", PORT + at)
            for _ in range(SENT):
                for each in (header, beyond):
                    with pytest.raises(OSError, match="Invalid argument"):
                        os.write(device, each + frame + packet)
            for line in deaths(whydrop, lab.b, SENT, PORT + at):
                sure = "certain" if line["reason"] is not None else "likely"
                assert judged(line) == ("device.virtio-header", sure), told(line)
                assert line["iface"]["name"] == "t0", told(line)
                assert line["packet"]["saddr"] == FAR, told(line)
    finally:
        os.close(device)


def test_what_is_no_packet_of_ip(lab: Lab, whydrop: Whydrop) -> None:
    """A program that writes four bytes before the packet (struct tun_pi), as it would without IFF_NO_PI."""
    device = opened(lab.b, IFF_TUN)
    packet = traffic.udp_packet(FAR, "10.99.0.1", PORT)
    try:
        for _ in range(SENT):
            with pytest.raises(OSError, match="Invalid argument"):
                os.write(device, struct.pack("!HH", 0, ETH_P_IP) + packet)
    finally:
        os.close(device)
    for line in deaths(whydrop, lab.b, SENT, wanted=lambda line: line["where"]["function"] == "tun_get_user"):
        assert judged(line) == ("device.tun-not-ip", "likely"), told(line)
        assert line["iface"]["name"] == "t0", told(line)


def pair(lab: Lab, mtu: int = 1500) -> None:
    """x0 in a, whose other end is x1 in b."""
    for end in (lab.a, lab.b):
        end.set("net/ipv6/conf/default/disable_ipv6", 1)
    lab.a.configure(
        f"link add x0 mtu {mtu} type veth peer name x1 netns {lab.b.name}",
        "link set x0 up",
        "address add 10.99.0.1/24 dev x0",
        f"neigh add {FAR} lladdr {STATION} dev x0 nud permanent",
    )
    lab.b.configure("link set x1 mtu 1500", "link set x1 up")
    eventually(lambda: "state UP" in lab.a.run("ip link show x0").stdout, "it has its carrier")


def test_the_other_end_of_a_pair_that_has_just_gone_down(lab: Lab, whydrop: Whydrop) -> None:
    """Until the kernel takes note of that the near end goes on sending."""
    pair(lab)
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as any_socket, before_all_others():
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"x1", 0))
        traffic.datagrams(lab.a, FAR, [PORT] * SENT)
    for line in deaths(whydrop, lab.a, SENT, PORT):
        assert judged(line) == ("device.veth-peer-down", "certain"), told(line)
        assert line["iface"]["name"] == "x0", told(line)


def test_the_other_end_of_a_pair_has_a_smaller_mtu(lab: Lab, whydrop: Whydrop) -> None:
    pair(lab, mtu=9000)
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for size in (1400, 4000, 8000):
            sender.sendto(bytes(size), (FAR, PORT))
    for line in deaths(whydrop, lab.a, 2, PORT):
        assert judged(line) == ("device.too-big-for-peer", "certain"), told(line)
        assert f"a packet of {line['packet']['length']} bytes" in line["evidence"][0]["text"], told(line)
        assert "x0 sends up to 9000" in line["evidence"][0]["text"], told(line)


def netkit_pair(lab: Lab, other: Namespace, policy: int = netkit.FORWARD) -> None:
    """x0 in a, whose peer is x1 in `other`, both up."""
    for end in (lab.a, lab.b):
        end.set("net/ipv6/conf/default/disable_ipv6", 1)
    try:
        netkit.pair(lab.a, other, policy=policy)
    except netkit.NoSuchLink as why:
        pytest.skip(f"feature netkit: {why}")
    lab.a.configure("link set x0 up", "address add 10.99.0.1/24 dev x0")
    other.configure("link set x1 up")
    eventually(lambda: "state UP" in lab.a.run("ip link show x0").stdout, "it has its carrier")


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_netkit_pair_whose_policy_is_blackhole(lab: Lab, whydrop: Whydrop, elsewhere: bool) -> None:
    """The packet is at the peer when it dies. Which programs there are is not known of a primary elsewhere."""
    there = lab.b if elsewhere else lab.a
    netkit_pair(lab, there, netkit.BLACKHOLE)
    traffic.datagrams(lab.a, FAR, [PORT] * SENT)
    interface, setting = ("x1", "peer policy blackhole") if elsewhere else ("x0", "policy blackhole")
    said = "which decides where no BPF program is attached" if elsewhere else "no BPF program is attached"
    for line in deaths(whydrop, there, SENT, PORT):
        assert judged(line) == ("tunnel.netkit", "likely"), told(line)
        blamed = {key: line["object"][key] for key in ("interface", "type", "setting")}
        assert blamed == {"interface": interface, "type": "netkit", "setting": setting}, told(line)
        assert said in line["evidence"][0]["text"], told(line)


def test_a_program_of_a_netkit_pair(lab: Lab, whydrop: Whydrop) -> None:
    netkit_pair(lab, lab.a)
    with bpf_links.dropping_at_interface(lab.a, "x0", bpf_links.NETKIT_PRIMARY) as number:
        traffic.datagrams(lab.a, FAR, [PORT] * SENT)
        found = deaths(whydrop, lab.a, SENT, PORT)
    for line in found:
        thing = line["object"]
        assert judged(line) == ("tunnel.netkit", "likely"), told(line)
        assert (thing["kind"], thing["id"], thing["attached_to"]) == ("bpf-program", number, "x0 netkit"), (
            told(line)
        )


def test_the_peer_of_a_netkit_interface_that_has_just_gone_down(lab: Lab, whydrop: Whydrop) -> None:
    netkit_pair(lab, lab.b)
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as any_socket, before_all_others():
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"x1", 0))
        traffic.datagrams(lab.a, FAR, [PORT] * SENT)
    for line in deaths(whydrop, lab.a, SENT, PORT):
        assert judged(line)[0] == "tunnel.netkit", told(line)
        assert (line["object"]["interface"], line["object"]["setting"]) == ("x0", "peer down"), told(line)


def test_a_team_port_that_is_not_enabled(lab: Lab, whydrop: Whydrop) -> None:
    lab.b.configure(
        "link add team0 type team",
        f"link set {lab.b.iface} down",
        f"link set {lab.b.iface} master team0",
        f"link set {lab.b.iface} up",
        "link set team0 up",
        f"address add {lab.b.v4}/24 dev team0",
    )
    team.disable(lab.b, "team0", lab.b.iface)
    to = traffic.hardware_address(lab.b, lab.b.iface)
    body = traffic.udp_packet(lab.a.v4, lab.b.v4, PORT)
    eventually(lambda: "state UP" in lab.a.run(f"ip link show {lab.a.iface}").stdout, "the cable is in")
    traffic.frames(lab.a, lab.a.iface, to=to, kind=ETH_P_IP, body=body, count=SENT)
    for line in deaths(whydrop, lab.b, SENT, PORT):
        if line["reason"] is None:
            assert line["cause"]["confidence"] != "certain", told(line)
            continue
        assert judged(line) == ("device.team-inactive", "likely"), told(line)
        blamed = {key: line["object"][key] for key in ("kind", "interface", "master")}
        assert blamed == {"kind": "bond-port", "interface": lab.b.iface, "master": "team0"}, told(line)


def in_packet(lab: Lab, family: int, port: int) -> bytes:
    """A datagram to b with the header of its frame's payload: ethertype and all that follows."""
    if family == 4:
        return struct.pack("!H", ETH_P_IP) + traffic.udp_packet(lab.a.v4, lab.b.v4, port)
    return struct.pack("!H", ETH_P_IPV6) + in_six(lab.a.v6, lab.b.v6, port)


def in_six(source: str, target: str, port: int) -> bytes:
    """An IPv6 packet with an empty datagram, whose checksum nobody looks at before it dies."""
    ends = b"".join(socket.inet_pton(socket.AF_INET6, end) for end in (source, target))
    header = struct.pack("!IHBB", 6 << 28, 8, socket.IPPROTO_UDP, 64)
    return header + ends + struct.pack("!HHHH", 40000, port, 8, 0xFFFF)


@pytest.mark.parametrize("family", [4, 6])
def test_a_tag_that_no_interface_has(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """Frames for another station on the cable are told as such."""
    own = traffic.hardware_address(lab.b, lab.b.iface)
    expected = {PORT: (own, "device.vlan-unknown"), PORT + 1: (bytes.fromhex(GHOST), "routing.not-for-us")}
    for port, (to, cause) in expected.items():
        body = struct.pack("!H", 30) + in_packet(lab, family, port)
        traffic.frames(lab.a, lab.a.iface, to=to, kind=0x8100, body=body, count=SENT)
        for line in deaths(whydrop, lab.b, SENT, port):
            if line["reason"] is None:
                assert line["cause"]["confidence"] != "certain", told(line)
                continue
            assert judged(line) == (cause, "likely"), told(line)
            if port == PORT:
                assert line["object"]["interface"] == lab.b.iface, told(line)
                assert "the address of vb itself" in line["evidence"][0]["text"], told(line)


@pytest.mark.parametrize("forwards", [True, False])
def test_a_packet_without_a_source_is_not_forwarded(lab: Lab, whydrop: Whydrop, forwards: bool) -> None:
    lab.b.set("net/ipv6/conf/all/forwarding", int(forwards))
    lab.b.configure("link add d0 type veth peer name d1", "link set d1 up", "link set d0 up")
    lab.b.configure("route add fd77::/64 dev d0")
    to = traffic.hardware_address(lab.b, lab.b.iface)
    packet = in_six("::", "fd77::9", PORT)
    traffic.frames(lab.a, lab.a.iface, to=to, kind=ETH_P_IPV6, body=packet, count=SENT)
    for line in deaths(whydrop, lab.b, SENT, PORT):
        assert judged(line) == ("ipv6.unspecified-source", "likely"), told(line)
