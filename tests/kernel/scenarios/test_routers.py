"""What routers drop beside plain IP: MPLS labels, multicast routes, SRv6 segments, sessions of L2TP, and SCTP."""

import json
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.encapsulated import STATION, in_ip
from scenarios.namespaces import Lab, Namespace
from scenarios.whydrop_process import Line, Whydrop, told

SENT = 3
PORT = 5907
MODULES = ("mpls_router", "l2tp_ip", "l2tp_eth", "l2tp_netlink", "sctp", "dummy", "vrf")
ETH_P_MPLS, ETH_P_IPV6 = 0x8847, 0x86DD
L2TP, SCTP, ROUTING = 115, 132, 43
ABORT, INIT = 6, 1
GROUP, GROUP6, SEGMENT = "239.1.2.3", "ff15::77", "fc00::1"
# linux/mroute.h, and mroute6.h
MRT_INIT, MRT_ADD_VIF, MRT_ADD_MFC = 200, 202, 204
VIF_BY_INDEX, MOST_VIFS = 8, 32


class Loss(NamedTuple):
    """`end` are settings of b (`net/...=1`) and arguments of `ip` there. What dies is seen as a packet of `seen`."""

    cause: str
    send: Callable[[Lab, ExitStack], None]
    end: tuple[str, ...] = ()
    seen: str | None = "mpls"  # None: its IPv4 stands in an IPv6 packet
    certain: bool = True
    object: dict[str, object] | None = None
    words: tuple[str, ...] = ()
    needs: str = ""


def labelled(label: int, *, ttl: int = 64, data: int = 8) -> Callable[[Lab, ExitStack], None]:
    def send(lab: Lab, stack: ExitStack) -> None:
        packet = traffic.udp_packet(lab.a.v4, "10.77.0.9", PORT, data=bytes(data))
        body = struct.pack("!I", label << 12 | 0x100 | ttl) + packet
        to = traffic.hardware_address(lab.b, lab.b.iface)
        traffic.frames(lab.a, lab.a.iface, to=to, kind=ETH_P_MPLS, body=body, count=SENT)

    return send


@contextmanager
def multicast_router(end: Namespace, interfaces: tuple[str, ...], parent: int, ttls: bytes) -> Iterator[None]:
    """What a routing daemon does: its interfaces are numbered in this order. Without `ttls` it sets no route."""
    with traffic.open_socket(end, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as daemon:
        daemon.setsockopt(socket.IPPROTO_IP, MRT_INIT, 1)
        with end.entered():
            for number, name in enumerate(interfaces):
                vif = struct.pack("=HBBIiI", number, VIF_BY_INDEX, 1, 0, socket.if_nametoindex(name), 0)
                daemon.setsockopt(socket.IPPROTO_IP, MRT_ADD_VIF, vif)
        if ttls:
            ends = socket.inet_aton(end.v4[:-1] + "1") + socket.inet_aton(GROUP)
            route = struct.pack("=8sH32s2x4I", ends, parent, ttls.ljust(MOST_VIFS, b"\0"), 0, 0, 0, 0)
            daemon.setsockopt(socket.IPPROTO_IP, MRT_ADD_MFC, route)
        yield


def to_group(
    *interfaces: str, parent: int = 0, ttls: bytes = b"", waiting: int = 0
) -> Callable[[Lab, ExitStack], None]:
    """`waiting` further ones are kept until the daemon has said where to."""

    def send(lab: Lab, stack: ExitStack) -> None:
        stack.enter_context(multicast_router(lab.b, interfaces, parent, ttls))
        with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(lab.a.v4))
            for _ in range(SENT + waiting):
                sender.sendto(b"datagram", (GROUP, PORT))

    return send


@contextmanager
def multicast_router6(
    lab: Lab, interfaces: tuple[str, ...], parent: int, outputs: int | None
) -> Iterator[None]:
    """The same of IPv6. `outputs` is a bit for each interface; None: no route."""
    with traffic.open_socket(lab.b, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as daemon:
        daemon.setsockopt(socket.IPPROTO_IPV6, MRT_INIT, 1)
        with lab.b.entered():
            for number, name in enumerate(interfaces):
                mif = struct.pack("=HBBH2xI", number, 0, 1, socket.if_nametoindex(name), 0)
                daemon.setsockopt(socket.IPPROTO_IPV6, MRT_ADD_VIF, mif)
        if outputs is not None:
            packed = (socket.inet_pton(socket.AF_INET6, end) for end in (lab.a.v6, GROUP6))
            ends = b"".join(struct.pack("=H6x16sI", socket.AF_INET6, each, 0) for each in packed)
            route = ends + struct.pack("=H2xI28x", parent, outputs)
            daemon.setsockopt(socket.IPPROTO_IPV6, MRT_ADD_MFC, route)
        yield


def to_group6(
    *interfaces: str, parent: int = 0, outputs: int | None = None
) -> Callable[[Lab, ExitStack], None]:
    def send(lab: Lab, stack: ExitStack) -> None:
        stack.enter_context(multicast_router6(lab, interfaces, parent, outputs))
        with traffic.open_socket(lab.a, socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.bind((lab.a.v6, 0))
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
            with lab.a.entered():
                index = socket.if_nametoindex(lab.a.iface)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            for _ in range(SENT):
                sender.sendto(b"datagram", (GROUP6, PORT))

    return send


def daemon_ends(lab: Lab, stack: ExitStack) -> None:
    with ExitStack() as inner:
        to_group("vb", "d0")(lab, inner)


def segments(
    left: int | None, *, to: str = SEGMENT, carried: int = 41, packet: bytes = b""
) -> Callable[[Lab, ExitStack], None]:
    """`left` None: without a segment routing header."""

    def send(lab: Lab, stack: ExitStack) -> None:
        target = to.format(b6=lab.b.v6)
        listed = [socket.inet_pton(socket.AF_INET6, each) for each in (target, "fc00::2")]
        header = struct.pack("!BBBBBBH", carried, 4, 4, left or 0, 1, 0, 0) + b"".join(listed)
        body = (header if left is not None else b"") + packet
        ends = b"".join(socket.inet_pton(socket.AF_INET6, each) for each in (lab.a.v6, target))
        first = ROUTING if left is not None else carried
        whole = struct.pack("!IHBB", 6 << 28, len(body), first, 64) + ends + body
        there = traffic.hardware_address(lab.b, lab.b.iface)
        traffic.frames(lab.a, lab.a.iface, to=there, kind=ETH_P_IPV6, body=whole, count=SENT)

    return send


def session(
    number: int, cookie: bytes = b"", *, frame: bytes = bytes(40)
) -> Callable[[Lab, ExitStack], None]:
    def send(lab: Lab, stack: ExitStack) -> None:
        in_ip(lab.a, lab.b.v4, L2TP, [struct.pack("!I", number) + cookie + frame] * SENT)

    return send


def sctp(kind: int, *, spoilt: int = 0) -> Callable[[Lab, ExitStack], None]:
    def send(lab: Lab, stack: ExitStack) -> None:
        bare = struct.pack("!HHII", 40000, PORT, 5, 0) + struct.pack("!BBH", kind, 0, 4)
        wrong = struct.pack("<I", crc32c(bare) ^ spoilt)
        in_ip(lab.a, lab.b.v4, SCTP, [bare[:8] + wrong + bare[12:]] * SENT)

    return send


def crc32c(data: bytes) -> int:
    """Bit by bit, with the polynomial of RFC 9260, appendix A."""
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            odd = (crc ^ byte >> bit) & 1
            crc = crc >> 1 ^ (0x82F63B78 if odd else 0)
    return crc ^ 0xFFFFFFFF


LABELS, TAKES_MPLS = "net/mpls/platform_labels=1000", "net/mpls/conf/vb/input=1"
ROUTER = ("net/ipv4/conf/all/forwarding=1", "link add d0 type dummy", "link set d0 up")
SIX = "net/ipv6/conf/all/forwarding=1"
ROUTER6 = (SIX, *ROUTER[1:])
TUNNEL = "l2tp add tunnel tunnel_id 10 peer_tunnel_id 20 encap ip local {b} remote {a}"
SESSION = "l2tp add session name l0 tunnel_id 10 session_id 30 peer_session_id 40"
COOKIE = "0102030405060708"
FRAME = STATION + STATION + struct.pack("!H", traffic.ETH_P_IP)
INNER4 = traffic.udp_packet("10.66.66.1", "10.66.66.2", PORT)


def segment(action: str) -> str:
    return f"-6 route add {SEGMENT}/128 encap seg6local action {action} dev vb"


LOSSES = {
    "MPLS: not accepted": Loss(
        "routing.mpls-input-off",
        labelled(100),
        (LABELS,),
        object={"kind": "sysctl", "name": "net.mpls.conf.vb.input", "value": 0},
    ),
    "MPLS: no labels": Loss(
        "routing.mpls-no-route",
        labelled(100),
        (TAKES_MPLS, "net/mpls/platform_labels=0"),
        object={"kind": "sysctl", "name": "net.mpls.platform_labels", "value": 0},
        words=("the packet has label 100",),
    ),
    "MPLS: no route": Loss(
        "routing.mpls-no-route",
        labelled(100),
        (TAKES_MPLS, LABELS, "-f mpls route add 101 as 200 via inet {a} dev vb"),
        words=("no route for label 100",),
    ),
    "MPLS: TTL": Loss(
        "routing.mpls-ttl-expired",
        labelled(101, ttl=1),
        (TAKES_MPLS, LABELS, "-f mpls route add 101 as 200 via inet {a} dev vb"),
        words=("label 101 has been taken off, and its TTL is 1",),
    ),
    "MPLS: too big": Loss(
        "routing.mpls-too-big",
        labelled(101, data=1000),
        (
            *(TAKES_MPLS, LABELS, "link add d0 mtu 600 type dummy", "link set d0 up"),
            *("address add 10.66.0.2/24 dev d0", "-f mpls route add 101 as 200 via inet 10.66.0.1 dev d0"),
        ),
        certain=False,
        words=("label 101 has been taken off, its TTL is 64, and 1,028 bytes are left",),
    ),
    "multicast: no answer": Loss(
        "routing.multicast-unresolved", to_group("vb", "d0", waiting=4), ROUTER, seen="udp"
    ),
    "multicast: the daemon ends": Loss(
        "routing.multicast-unresolved", daemon_ends, ROUTER, seen="udp", words=("ended",)
    ),
    "multicast: wrong interface": Loss(
        "routing.multicast-wrong-interface",
        to_group("vb", "d0", parent=1, ttls=b"\1"),
        ROUTER,
        seen="udp",
        certain=False,
        object={"kind": "route", "type": "multicast", "destination": GROUP},
        words=("must come in through d0; it came in through vb",),
    ),
    "multicast: TTL": Loss(
        "routing.multicast-no-output",
        to_group("vb", "d0", ttls=b"\0\x10"),
        ROUTER,
        seen="udp",
        certain=False,
        words=("its TTL is 8, and d0 takes more than 16",),
    ),
    "multicast: nobody wants it": Loss(
        "routing.multicast-no-output",
        to_group("vb", "d0", ttls=b"\xff\xff"),
        ROUTER,
        seen="udp",
        certain=False,
        words=("no outgoing interface",),
    ),
    "multicast: wrong interface, IPv6": Loss(
        "routing.multicast-wrong-interface",
        to_group6("vb", "d0", parent=1, outputs=1),
        ROUTER6,
        seen="udp",
        certain=False,
        object={"kind": "route", "type": "multicast", "destination": GROUP6},
        words=("must come in through d0; it came in through vb",),
    ),
    "multicast: nobody wants it, IPv6": Loss(
        "routing.multicast-no-output",
        to_group6("vb", "d0", outputs=0),
        ROUTER6,
        seen="udp",
        certain=False,
        words=("no outgoing interface",),
    ),
    "multicast: not on this interface": Loss(
        "routing.multicast-not-routed-here",
        to_group6(),  # a daemon runs, and has given no interface to the kernel
        (SIX,),
        seen="udp",
        certain=False,
        words=("it came in through vb",),
    ),
    "SRv6: not accepted": Loss(
        "routing.source-route",
        segments(1, to="{b6}"),
        seen="ipv6",
        object={"kind": "sysctl", "name": "net.ipv6.conf.all.seg6_enabled", "value": 0},
    ),
    "SRv6: no segment left": Loss(
        "routing.srv6-action", segments(0), (SIX, segment("End")), seen="ipv6", words=("no segments left",)
    ),
    "SRv6: no routing header": Loss(
        "routing.srv6-action",
        segments(None, packet=bytes(40)),
        (SIX, segment("End")),
        seen="ipv6",
        words=("no segment routing header",),
    ),
    "SRv6: not the last segment": Loss(
        "routing.srv6-action",
        segments(1),
        (SIX, segment("End.DT6 table 254")),
        seen="ipv6",
        words=("only what is at its end",),
    ),
    "SRv6: another protocol": Loss(
        "routing.srv6-action",
        segments(0, carried=4, packet=INNER4),
        (SIX, segment("End.DT6 table 254")),
        seen="ipip",
        words=("it carries protocol 4",),
    ),
    "SRv6: no VRF": Loss(
        "routing.srv6-no-vrf",
        segments(0, carried=4, packet=INNER4),
        (
            SIX,
            *("link add vr type vrf table 100", "net/vrf/strict_mode=1"),
            *(segment("End.DT4 vrftable 100"), "link del vr"),
        ),
        seen=None,
        needs="srv6-vrf",
    ),
    "L2TP: no session": Loss(
        "tunnel.l2tp-unknown-session",
        session(31),
        (TUNNEL, SESSION),
        seen="l2tp",
        certain=False,
        words=("the packet is for session 31", "session 30 in tunnel 10 (l0)"),
    ),
    "L2TP: another cookie": Loss(
        "tunnel.l2tp-cookie",
        session(30, bytes(8)),
        (TUNNEL, f"{SESSION} peer_cookie {COOKIE}"),
        seen="l2tp",
        certain=False,
        object={"kind": "interface", "interface": "l0", "type": "l2tp"},
    ),
    "L2TP: down": Loss(
        "device.down",
        session(30, frame=bytes(4) + FRAME + INNER4),
        (TUNNEL, SESSION),
        seen="l2tp",
        object={"kind": "interface", "interface": "l0", "setting": "down"},
    ),
    "SCTP: no association": Loss("socket.sctp-no-association", sctp(ABORT), seen="sctp", certain=False),
    "SCTP: checksum": Loss("malformed.sctp-checksum", sctp(INIT, spoilt=1), seen="sctp"),
}


@pytest.fixture(scope="module", autouse=True)
def modules() -> None:
    subprocess.run(["modprobe", "-a", *MODULES], check=True)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_packet_that_a_router_loses(lab: Lab, whydrop: Whydrop, loss: Loss) -> None:
    for command in loss.end:
        name, is_setting, value = command.partition("=")
        if is_setting:
            lab.b.set(name, int(value))
        elif not _is_made(lab, command.format(a=lab.a.v4, b=lab.b.v4)):
            pytest.skip(f"feature {loss.needs}: this kernel has no such action")
    with ExitStack() as stack:
        loss.send(lab, stack)

        def is_it(line: Line) -> bool:
            return bool(line["packet"]["proto"] == loss.seen)

        for line in deaths(whydrop, lab.b, SENT, wanted=is_it):
            confidence = "certain" if loss.certain else "likely"
            assert (line["cause"]["id"], line["cause"]["confidence"]) == (loss.cause, confidence), told(line)
            if loss.object is not None:
                assert {key: line["object"].get(key) for key in loss.object} == loss.object, told(line)
            said = json.dumps(line["evidence"])
            assert all(word in said for word in loss.words), told(line)


def _is_made(lab: Lab, command: str) -> bool:
    done = lab.b.run(f"ip {command}", check=False)
    refused = done.returncode != 0 and "Invalid argument" in done.stderr and "vrftable" in command
    assert refused or done.returncode == 0, f"{command}: {done.stderr}"
    return not refused
