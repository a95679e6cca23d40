"""Frees that look like drops and are no loss: each happens here, and --all shows it under its name."""

import socket
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.firewalls import load_modules
from scenarios.first_fix import waiting
from scenarios.namespaces import Lab
from scenarios.roads import bridge, through_the_bridge
from scenarios.test_discovery import ALL_NODES, NS, RA, frees_as_consumed, link_local, message, send
from scenarios.test_drops import kernel_gives_reasons
from scenarios.test_membership import IGMP, REPORT, ROUTER_ALERT, igmp, to_group
from scenarios.test_resent import PORT as SERVED
from scenarios.test_resent import connected
from scenarios.test_sockets import datagram
from scenarios.test_tcp_numbers import numbers
from scenarios.traffic import RST, SYN
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, told

SENT = 3
PORT = 5898
UDP_ENCAP, ESP_IN_UDP, NAT_T = 100, 2, 4500  # linux/udp.h
MLD_REPORT = 143
CONNECTED = 5000  # what tcp_conversation connects to
GHOST = "02:00:00:00:00:66"


@pytest.fixture(scope="module")
def openly() -> Iterator[Whydrop]:
    load_modules()
    with Whydrop("--all") as running:
        yield running


def harmless(lines: list[Line], cause: str) -> None:
    for line in lines:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (cause, "certain"), told(line)
        assert line["fix"] == [], told(line)


def of_type(kind: int) -> Callable[[Line], bool]:
    return lambda line: bool(line["packet"]["icmp_type"] == kind)


def freed(openly: Whydrop, cause: str, count: int, wanted: Callable[[Line], bool]) -> list[Line]:
    """Of packets that have lost their device by then, and with it their namespace."""
    found = openly.wait_for(
        lambda line: line["type"] == "drop" and line["cause"]["id"] == cause and wanted(line), count
    )
    harmless(found, cause)
    return found


@pytest.mark.twice
def test_a_socket_is_closed_with_datagrams_in_it(lab: Lab, openly: Whydrop) -> None:
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.bind((lab.b.v4, PORT))
        traffic.datagrams(lab.a, lab.b.v4, [PORT] * SENT)
        assert reader.recv(100, socket.MSG_PEEK)
        eventually(lambda: f"{lab.b.v4}:{PORT}" in lab.b.run("ss -Hlun").stdout, "it has them")
    freed(openly, "benign.socket-close", SENT, lambda line: line["packet"]["dport"] == PORT)


def test_a_sniffer_is_closed_with_copies_in_it(lab: Lab, openly: Whydrop) -> None:
    with (
        traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as reader,
        traffic.open_socket(lab.b, socket.AF_PACKET, socket.SOCK_RAW) as sniffer,
    ):
        reader.bind((lab.b.v4, PORT + 1))
        sniffer.bind((lab.b.iface, traffic.ETH_P_IP))
        traffic.datagrams(lab.a, lab.b.v4, [PORT + 1] * SENT)
        for _ in range(SENT):
            assert reader.recv(100)
        sniffer.close()
    freed(openly, "benign.tap-copy", SENT, lambda line: line["packet"]["dport"] == PORT + 1)


@pytest.mark.twice
def test_messages_between_programs_are_counted(lab: Lab) -> None:
    with Whydrop("--netns", lab.b.name) as own:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for _ in range(8):
            one.send(b"unread")
        other.close()
        one.close()
        done = own.finish()
    assert done.end is not None
    assert done.end["suppressed"]["benign.unix-socket"] >= 8, done.end
    assert done.lines == []


def test_a_keepalive_of_ipsec(lab: Lab, openly: Whydrop) -> None:
    with (
        traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as daemon,
        traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        daemon.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, ESP_IN_UDP)
        daemon.bind((lab.b.v4, NAT_T))
        for _ in range(SENT):
            peer.sendto(b"\xff", (lab.b.v4, NAT_T))
        harmless(deaths(openly, lab.b, SENT, NAT_T), "benign.nat-keepalive")


def test_a_question_for_an_address_of_another_host(lab: Lab, openly: Whydrop) -> None:
    target = socket.inet_pton(socket.AF_INET6, f"{lab.b.v6}99")
    send(lab, NS, (lab.a.v6, ALL_NODES), bytes(4) + target, SENT)
    harmless(deaths(openly, lab.b, SENT, wanted=of_type(NS)), "benign.neighbour-probe")


def test_a_report_of_groups_that_an_ordinary_host_hears(lab: Lab, openly: Whydrop) -> None:
    ends = (link_local(lab.a), ALL_NODES)
    record = struct.pack("!HHBBH", 0, 1, 4, 0, 0) + socket.inet_pton(socket.AF_INET6, "ff15::5")
    data = message(MLD_REPORT, ends, record)
    packed = b"".join(socket.inet_pton(socket.AF_INET6, end) for end in ends)
    packet = struct.pack("!IHBB", 6 << 28, len(data), socket.IPPROTO_ICMPV6, 1) + packed + data
    to = b"\x33\x33\0\0\0\x01"
    traffic.frames(lab.a, lab.a.iface, to=to, kind=0x86DD, body=packet, count=SENT)
    found = deaths(openly, lab.b, SENT, wanted=lambda line: line["packet"]["daddr"] == ALL_NODES)
    harmless(found, "benign.icmp6-handled")


def test_a_report_for_routers(lab: Lab, openly: Whydrop) -> None:
    to_group(lab, lab.a.v4, "224.0.0.2", igmp(REPORT), IGMP, ROUTER_ALERT)
    found = deaths(openly, lab.b, SENT, wanted=lambda line: line["packet"]["proto"] == "igmp")
    harmless(found, "benign.multicast-noise")


def test_an_advertisement_that_a_router_hears(lab: Lab, openly: Whydrop) -> None:
    lab.b.set(f"net/ipv6/conf/{lab.b.iface}/forwarding", 1)
    body = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
    send(lab, RA, (link_local(lab.a), ALL_NODES), body, SENT)
    if frees_as_consumed():
        pytest.skip("feature dropped-advertisements: this kernel frees a router advertisement as consumed")
    harmless(deaths(openly, lab.b, SENT, wanted=of_type(RA)), "benign.router-advertisement-ignored")


def test_the_own_copy_of_a_broadcast(lab: Lab, openly: Whydrop) -> None:
    datagram(lab.a, lab.a.v4.rpartition(".")[0] + ".255", PORT)
    harmless(deaths(openly, lab.a, 1, PORT), "benign.own-copy")


def test_a_frame_that_a_bridge_floods(lab: Lab, openly: Whydrop) -> None:
    bridge(lab)
    through_the_bridge(lab, PORT, SENT)
    harmless(deaths(openly, lab.b, SENT, PORT), "benign.bridge-flood")


def test_a_route_that_is_asked_for(lab: Lab, openly: Whydrop) -> None:
    lab.b.set("net/ipv4/ip_forward", 0)
    for _ in range(SENT):
        asked = lab.b.run(f"ip route get 10.66.66.66 from {lab.a.v4} iif {lab.b.iface}", check=False)
        assert asked.returncode != 0, asked.stdout
    found = deaths(openly, lab.b, SENT, wanted=lambda line: line["packet"]["daddr"] == "10.66.66.66")
    harmless(found, "benign.route-lookup")


def test_the_answers_to_a_ping(lab: Lab, openly: Whydrop) -> None:
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as reader:
        traffic.pings(lab.a, lab.b.v4, SENT)
        found = deaths(
            openly,
            lab.a,
            SENT,
            wanted=lambda line: (
                of_type(0)(line)
                and line["reason"] != "QUEUE_PURGE"
                and line["cause"]["id"] != "benign.socket-close"
            ),
        )
        harmless(found, "benign.echo-reply")
        assert waiting(reader) == SENT


def test_a_datagram_in_pieces(lab: Lab, openly: Whydrop) -> None:
    """The whole is lost for want of a socket; the pieces are freed with it, and say nothing new."""
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(bytes(4000), (lab.b.v4, PORT))
    found = openly.wait_for(lambda line: line["type"] == "drop" and is_piece(lab, line), 2)
    harmless(found, "benign.fragment-list")


def is_piece(lab: Lab, line: Line) -> bool:
    return line["packet"]["saddr"] == lab.a.v4 and "skb_release_data" in str(line["where"])


def test_a_reset_for_a_connection_that_nobody_has(lab: Lab, openly: Whydrop) -> None:
    traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (40001, PORT), RST, count=SENT)
    found = deaths(openly, lab.b, SENT, PORT)
    if kernel_gives_reasons():
        harmless(found, "benign.tcp-late-reset")


def test_a_connection_that_is_given_up_before_it_is_open(lab: Lab, openly: Whydrop) -> None:
    """The sender knows nothing of the connection, and says so."""
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind((lab.b.v4, PORT))
        listening.listen()
        traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (40002, PORT), SYN)
        harmless(deaths(openly, lab.b, 1, PORT), "benign.tcp-late-reset")


def test_an_attempt_to_connect_that_comes_again(lab: Lab, openly: Whydrop) -> None:
    """The answers are lost on their way; those are told, and not what is answered."""
    sender = f"{lab.a.v4}7"
    lab.a.configure(f"address add {sender}/32 dev lo")
    lab.b.configure(f"neigh add {sender} lladdr {GHOST} dev {lab.b.iface} nud permanent")
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind((lab.b.v4, PORT))
        listening.listen()
        traffic.segments(lab.a, (sender, lab.b.v4), (40003, PORT), SYN)
        eventually(lambda: "syn-recv" in lab.b.run("ss -Htan").stdout.lower(), "the connection is half open")
        traffic.segments(lab.a, (sender, lab.b.v4), (40003, PORT), SYN)
        harmless(deaths(openly, lab.b, 1, PORT), "benign.tcp-handshake-done")


def test_what_comes_for_a_closed_connection(lab: Lab, openly: Whydrop) -> None:
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind((lab.b.v4, CONNECTED))
        listening.listen()
        with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect((lab.b.v4, CONNECTED))
            server, _ = listening.accept()
        with server:
            eventually(lambda: "FIN-WAIT-2" in lab.a.run("ss -Htan").stdout, "it waits for the other end")
    harmless(deaths(openly, lab.a, 1, wanted=is_from_server), "benign.tcp-time-wait")


@pytest.mark.parametrize("family", [4, 6])
def test_data_that_comes_again_after_the_close(lab: Lab, openly: Whydrop, family: int) -> None:
    """Its acknowledgement was late, say. Of what is partly new something is lost."""
    ends = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    with connected(lab, family) as (client, taken):
        expected, sent = numbers(taken)
        client.send(b"data")
        assert taken.recv(4) == b"data"
        taken.close()
        eventually(lambda: "FIN-WAIT-2" in lab.b.run("ss -Htan").stdout, "it waits for the other end")
        send = partial(
            traffic.segments, lab.a, ends, (client.getsockname()[1], SERVED), traffic.ACK, ack=sent + 1
        )
        send(seq=expected, data=b"data")
        harmless(deaths(openly, lab.b, 1, SERVED), "benign.tcp-time-wait")
        send(seq=expected + 2, data=b"tada")
        *_, lost = deaths(openly, lab.b, 2, SERVED)
        assert (lost["cause"]["id"], lost["cause"]["confidence"]) == ("socket.closed", "certain"), told(lost)


def is_from_server(line: Line) -> bool:
    return bool(line["packet"]["proto"] == "tcp" and line["packet"]["sport"] == CONNECTED)


def test_acknowledgements_of_a_connection_that_is_closed_on_one_side(lab: Lab, openly: Whydrop) -> None:
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind((lab.b.v4, CONNECTED))
        listening.listen()
        with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as sender:
            sender.connect((lab.b.v4, CONNECTED))
            reader, _ = listening.accept()
            with reader:
                reader.shutdown(socket.SHUT_WR)
                assert sender.recv(1) == b""
                sender.sendall(bytes(100_000))
                left = 100_000
                while left:
                    left -= len(reader.recv(left))
                found = openly.wait_for(
                    lambda line: (
                        line["type"] == "drop"
                        and (line["netns"] or {}).get("name") == lab.a.name
                        and line["packet"]["sport"] == CONNECTED
                    )
                )
    harmless(found, "benign.ack-consumed")


@pytest.mark.parametrize("family", [4, 6])
def test_the_reply_of_which_a_full_ping_socket_was_to_have_a_copy(
    lab: Lab, openly: Whydrop, family: int
) -> None:
    kind, proto, request, reply = {
        4: (socket.AF_INET, socket.IPPROTO_ICMP, 8, 0),
        6: (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129),
    }[family]
    target = lab.b.v4 if family == 4 else lab.b.v6
    lab.a.run("sysctl -qw net.ipv4.ping_group_range='0 100'")
    with traffic.open_socket(lab.a, kind, socket.SOCK_DGRAM, proto) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        asking.settimeout(60)
        asking.sendto(struct.pack("!BBHHH", request, 0, 0, 0, 0) + bytes(1400), (target, 0))
        asking.recv(1, socket.MSG_PEEK)  # it stays, and fills the buffer
        asking.sendto(struct.pack("!BBHHH", request, 0, 0, 0, 1) + bytes(1400), (target, 0))
        traffic.datagrams(lab.b, lab.a.v4, [PORT])
        deaths(openly, lab.a, 1, PORT)
        found = [line for line in openly.lines() if line["type"] == "drop" and is_reply(lab, reply, line)]
    if len(found) == 1:
        pytest.skip("feature copied-replies: this kernel gives a ping socket the reply itself, not a copy")
    if kernel_gives_reasons():
        causes = [line["cause"]["id"] for line in found]
        assert causes == ["socket.raw-buffer-full", "benign.told-before"], list(map(told, found))


def is_reply(lab: Lab, kind: int, line: Line) -> bool:
    return bool((line["netns"] or {}).get("name") == lab.a.name and line["packet"]["icmp_type"] == kind)


def test_a_buffer_that_is_only_tried(lab: Lab, openly: Whydrop) -> None:
    """Some kernels do that for each receive queue that is made."""
    if not has_function("napi_get_frags_check"):
        pytest.skip("feature napi-check: this kernel tries no buffer when a device is made")
    before = len(tried(openly))
    lab.b.run(f"ip link add gre5 type gre remote {lab.a.v4} local {lab.b.v4}")
    eventually(lambda: len(tried(openly)) > before, "it is shown")
    harmless(tried(openly), "benign.empty-buffer")


def tried(openly: Whydrop) -> list[Line]:
    return [
        line
        for line in openly.lines()
        if line["type"] == "drop" and "napi_get_frags_check" in str(line["where"])
    ]


def has_function(name: str) -> bool:
    with Path("/proc/kallsyms").open() as symbols:
        return any(line.split()[2] == name for line in symbols)
