"""What looks like a drop and is none. For each, also the nearest thing that somebody did lose."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.model.drop import Drop, Event, Frame, Where
from dropwatch.packet.parse import parse
from tests.unit.told_host import ToldHost

HOST = ToldHost()


def judged(drop: Drop) -> str:
    cause, _ = diagnose(drop, HOST)
    return cause.id if cause is not None else "unknown"


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Callable[..., Drop]:
    """A drop of these bytes, in the first of these functions."""

    def build(
        *functions: str,
        reason: str | None = "NOT_SPECIFIED",
        data: bytes = b"",
        protocol: int = 0x0800,
        notes: frozenset[str] = frozenset(),
        **packet: Any,
    ) -> Drop:
        frames = tuple(Frame(name, 0x10, None, 0xFFFFFFFF81000000 + n) for n, name in enumerate(functions))
        event = make_event(packet=data, protocol=protocol, notes=notes)
        drop = make_drop(event=event, reason=reason, where=Where(frames[0], None, None), stack=frames)
        if data:
            drop = replace(drop, packet=parse(data, protocol, len(data), 0))
        return replace(drop, packet=replace(drop.packet, **packet))

    return build


CLOSES = [
    ("udp_destruct_common", "udp_destruct_sock", "__sk_destruct"),
    ("inet_sock_destruct", "__sk_destruct", "rcu_do_batch"),
    ("tcp_disconnect", "inet_child_forget", "inet_csk_listen_stop"),
    ("skb_queue_purge", "netlink_sock_destruct", "__sk_destruct"),
    ("skb_rbtree_purge", "tcp_v4_destroy_sock", "inet_csk_destroy_sock"),
    ("tun_queue_purge", "__tun_detach", "tun_chr_close"),
]


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED", "QUEUE_PURGE"])
@pytest.mark.parametrize("functions", CLOSES, ids=lambda functions: functions[0])
def test_what_a_closed_socket_held_is_no_loss(
    died: Callable[..., Drop], functions: tuple[str, ...], reason: str | None
) -> None:
    assert judged(died(*functions, reason=reason)) == "benign.socket-close"


def test_what_is_dropped_while_a_socket_is_closed_is_a_loss(died: Callable[..., Drop]) -> None:
    """Closing a TCP socket sends a FIN, and a firewall can drop that."""
    fin = (
        "nf_hook_slow",
        "__ip_local_out",
        "__ip_queue_xmit",
        "__tcp_transmit_skb",
        "tcp_close",
        "inet_release",
    )
    assert judged(died(*fin, reason="NETFILTER_DROP")) == "unknown"
    assert judged(died(*fin, reason=None)) == "unknown"
    far_out = (
        "skb_queue_purge_reason",
        "some_driver_flush",
        "dev_close",
        "tun_chr_close",
        "inet_sock_destruct",
    )
    assert judged(died(*far_out, reason="QUEUE_PURGE")) == "unknown"


def test_a_reason_beside_the_place_is_heard(died: Callable[..., Drop]) -> None:
    assert judged(died("inet_sock_destruct", reason="XDP")) == "bpf.xdp-generic"


def test_packets_that_waited_for_an_sa_are_a_loss(died: Callable[..., Drop]) -> None:
    assert (
        judged(died("skb_queue_purge_reason", "xfrm_policy_kill", reason="QUEUE_PURGE"))
        == "ipsec.out-no-state"
    )


@pytest.mark.parametrize("purge", ["skb_queue_purge", "skb_queue_purge_reason"])
def test_the_copies_of_a_closed_sniffer_are_no_loss(died: Callable[..., Drop], purge: str) -> None:
    reason = "QUEUE_PURGE" if purge.endswith("reason") else None
    assert judged(died(purge, "packet_release", "__sock_release", reason=reason)) == "benign.tap-copy"


def test_a_message_between_programs_is_no_packet(died: Callable[..., Drop]) -> None:
    nothing = {"family": None, "proto": None, "saddr": None, "daddr": None, "protocol": 0}
    assert judged(died("unix_stream_connect", "__sys_connect", **nothing)) == "benign.unix-socket"
    assert judged(died("unix_release_sock", reason="SOCKET_CLOSE", **nothing)) == "benign.unix-socket"
    assert judged(died("nfnetlink_rcv_batch", **nothing)) == "benign.unix-socket"
    assert judged(died("some_driver_xmit", **nothing)) == "unknown"
    assert judged(died("unix_stream_connect", "__sys_connect")) == "unknown", "it has an IP header"


# A neighbour solicitation for fd00::2 from fd00::1 (RFC 4861, 4.3).
SOLICITATION = (
    "6000000000203afffd000000000000000000000000000001ff0200000000000000000001ff000002"
    "8700{checksum}00000000fd0000000000000000000000000000020101027a3b1c5d6e"
)
IPV4 = bytes.fromhex("4500001d000100004011000001010101c0a80002")
KEEPALIVE = IPV4 + bytes.fromhex("1194119400090000") + b"\xff"


@pytest.mark.parametrize("function", ["xfrm4_udp_encap_rcv", "xfrm6_udp_encap_rcv"])
@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
def test_a_nat_keepalive_is_no_loss(died: Callable[..., Drop], function: str, reason: str | None) -> None:
    assert judged(died(function, reason=reason, data=KEEPALIVE)) == "benign.nat-keepalive"


def test_anything_else_that_dies_there_is_one(died: Callable[..., Drop]) -> None:
    esp = (
        IPV4[:3] + b"\x24" + IPV4[4:] + bytes.fromhex("1194119400100000") + bytes.fromhex("0000100100000007")
    )
    assert judged(died("xfrm4_udp_encap_rcv", data=esp)) == "unknown"
    assert judged(died("xfrm4_udp_encap_rcv", data=KEEPALIVE[:-1] + b"\x00")) == "unknown"
    assert judged(died("xfrm4_udp_encap_rcv", data=KEEPALIVE[:-1])) == "unknown"
    assert judged(died("udp_queue_rcv_one_skb", data=KEEPALIVE)) == "unknown"


@pytest.mark.parametrize("icmp_type", range(133, 138))
def test_neighbour_discovery_that_was_read_is_no_loss(died: Callable[..., Drop], icmp_type: int) -> None:
    drop = died("icmpv6_rcv", proto="icmp6", icmp_type=icmp_type, icmp_code=0, ttl=255, protocol=0x86DD)
    assert judged(drop) == "benign.neighbour-probe"


def test_neighbour_discovery_that_was_refused_is_one(died: Callable[..., Drop]) -> None:
    message = {"proto": "icmp6", "icmp_type": 135, "icmp_code": 0, "protocol": 0x86DD}
    assert judged(died("icmpv6_rcv", ttl=64, **message)) == "ipv6.ndp-invalid"
    assert judged(died("icmpv6_rcv", ttl=255, **message | {"icmp_code": 7})) == "ipv6.ndp-invalid"
    assert judged(died("icmpv6_rcv", ttl=255, reason="ICMP_CSUM", **message)) == "malformed.icmp-checksum"
    assert judged(died("icmpv6_rcv", ttl=255, reason=None, **message)) == "unknown", (
        "its checksum may be wrong"
    )


def test_without_reasons_the_checksum_must_be_right(died: Callable[..., Drop]) -> None:
    good = bytes.fromhex(SOLICITATION.format(checksum="e493"))
    assert judged(died("icmpv6_rcv", reason=None, data=good, protocol=0x86DD)) == "benign.neighbour-probe"
    bad = bytes.fromhex(SOLICITATION.format(checksum="0000"))
    assert judged(died("icmpv6_rcv", reason=None, data=bad, protocol=0x86DD)) == "unknown"


def test_icmp6_errors_and_group_reports_that_were_read_are_no_loss(died: Callable[..., Drop]) -> None:
    for icmp_type in (1, 2, 3, 4, 130, 143):
        drop = died("icmpv6_rcv", proto="icmp6", icmp_type=icmp_type, icmp_code=0, ttl=64, protocol=0x86DD)
        assert judged(drop) == "benign.icmp6-handled"
    assert judged(died("icmpv6_rcv", proto="icmp6", icmp_type=128, icmp_code=0, protocol=0x86DD)) == "unknown"


def test_a_question_for_somebody_elses_address_is_no_loss(died: Callable[..., Drop]) -> None:
    assert judged(died("ndisc_recv_ns", reason="IPV6_NDISC_NS_OTHERHOST")) == "benign.neighbour-probe"


def test_group_management_for_others_is_no_loss_but_a_users_group_is(died: Callable[..., Drop]) -> None:
    igmp = {"proto": "igmp", "daddr": ip_address("224.0.0.22"), "sport": None, "dport": None}
    assert judged(died("ip_rcv_finish_core", **igmp)) == "benign.multicast-noise"
    assert judged(died("br_flood", "br_dev_xmit", reason="NO_TX_TARGET", **igmp)) == "benign.multicast-noise"
    assert judged(died("nf_hook_slow", reason="NETFILTER_DROP", **igmp)) == "unknown"
    mld = {
        "proto": "icmp6",
        "family": 6,
        "icmp_type": 143,
        "daddr": ip_address("ff02::16"),
        "protocol": 0x86DD,
    }
    assert judged(died("ip6_mc_input", **mld)) == "benign.multicast-noise"
    data = {"daddr": ip_address("239.1.2.3")}
    assert judged(died("ip_rcv_finish_core", **data)) == "routing.multicast-not-joined"


def test_an_echo_reply_without_ping_socket_is_no_loss(died: Callable[..., Drop]) -> None:
    assert judged(died("ping_rcv", reason="NO_SOCKET", proto="icmp", icmp_type=0)) == "benign.echo-reply"
    assert judged(died("icmpv6_rcv", reason="NO_SOCKET", proto="icmp6", icmp_type=129)) == "benign.echo-reply"
    assert judged(died("icmp_rcv", reason=None, proto="icmp", icmp_type=0)) == "unknown", (
        "its checksum may be wrong"
    )
    reply = (
        IPV4[:2] + b"\x00\x20" + IPV4[4:9] + b"\x01" + IPV4[10:] + bytes.fromhex("0000625a00070001deadbeef")
    )
    assert judged(died("icmp_rcv", reason=None, data=reply)) == "benign.echo-reply"
    assert judged(died("icmp_rcv", reason=None, data=reply[:-1] + b"\x00")) == "unknown"


def test_pieces_of_a_larger_packet_are_reported_with_it(died: Callable[..., Drop]) -> None:
    assert (
        judged(died("skb_release_data", "consume_skb", "udp_recvmsg", reason=None)) == "benign.fragment-list"
    )


def tcp(flags: int, data: bytes = b"") -> bytes:
    header = IPV4[:2] + (40 + len(data)).to_bytes(2, "big") + IPV4[4:9] + b"\x06" + IPV4[10:]
    return header + bytes(12) + bytes((0x50, flags)) + bytes(6) + data


FIN_ACK, ACK, SYN, RST, PUSH_ACK = 0x11, 0x10, 0x02, 0x04, 0x18
TIME_WAIT = frozenset({"time-wait"})


@pytest.mark.parametrize("flags", [FIN_ACK, ACK, RST])
@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
def test_what_time_wait_has_answered_is_no_loss(
    died: Callable[..., Drop], flags: int, reason: str | None
) -> None:
    drop = died("tcp_v4_rcv", reason=reason, data=tcp(flags), notes=TIME_WAIT)
    assert judged(drop) == "benign.tcp-time-wait"


def test_what_time_wait_has_refused_is_one(died: Callable[..., Drop]) -> None:
    assert judged(died("tcp_v4_rcv", data=tcp(SYN), notes=TIME_WAIT)) == "tcp.time-wait"
    assert judged(died("tcp_v4_rcv", data=tcp(PUSH_ACK, b"data"), notes=TIME_WAIT)) == "socket.closed"
    _, verdict = diagnose(died("tcp_v4_rcv", data=tcp(PUSH_ACK, b"data"), notes=TIME_WAIT), HOST)
    assert verdict.confidence == "likely", "it may repeat what was received before"


def test_the_same_segments_without_the_note_are_not_explained(died: Callable[..., Drop]) -> None:
    for flags in (FIN_ACK, ACK, SYN, RST):
        assert judged(died("tcp_v4_rcv", data=tcp(flags))) == "unknown"


def test_a_keepalive_is_no_loss_but_old_data_is_shown(died: Callable[..., Drop]) -> None:
    assert (
        judged(died("tcp_validate_incoming", reason="TCP_OLD_SEQUENCE", data=tcp(ACK)))
        == "benign.ack-consumed"
    )
    old = died("tcp_validate_incoming", reason="TCP_OLD_SEQUENCE", data=tcp(PUSH_ACK, b"old"))
    assert judged(old) == "tcp.old-data"
    assert (
        judged(died("tcp_validate_incoming", reason="TCP_RFC7323_PAWS_ACK", data=tcp(ACK)))
        == "benign.ack-consumed"
    )
