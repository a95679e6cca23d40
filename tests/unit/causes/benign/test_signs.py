"""What looks like a drop and is none. For each, also the nearest thing that somebody did lose."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.sockets import PortSocket, PortSockets
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
]


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED", "QUEUE_PURGE"])
@pytest.mark.parametrize("functions", CLOSES, ids=lambda functions: functions[0])
def test_what_a_closed_socket_held_is_no_loss(
    died: Callable[..., Drop], functions: tuple[str, ...], reason: str | None
) -> None:
    assert judged(died(*functions, reason=reason)) == "benign.socket-close"


@pytest.mark.parametrize(("text", "cause"), [(b"GET /", "socket.closed"), (b"", "benign.socket-close")])
@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED", "QUEUE_PURGE"])
def test_what_came_for_a_connection_that_nobody_accepted_is_lost(
    died: Callable[..., Drop], reason: str | None, text: bytes, cause: str
) -> None:
    tcp = bytes((0xC3, 0x50, 0x1B, 0x58, *bytes(8), 0x50, 0x18, *bytes(6))) + text
    ends = ip_address("10.9.0.1").packed + ip_address("10.9.0.2").packed
    header = bytes((0x45, 0, 0, 20 + len(tcp), *bytes(4), 64, 6, 0, 0)) + ends
    functions = ("tcp_disconnect", "inet_child_forget", "inet_csk_listen_stop", "__tcp_close")
    drop = died(*functions, reason=reason, data=header + tcp)
    assert judged(drop) == cause
    _, verdict = diagnose(drop, HOST)
    assert verdict.confidence == "certain"


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


@pytest.mark.parametrize(
    ("icmp_type", "length", "cause"),
    [(3, 47, "malformed.truncated"), (5, 28, "malformed.truncated"), (3, 48, "unknown"), (8, 28, "unknown")],
)
def test_an_error_that_quotes_nothing_whole(
    died: Callable[..., Drop], icmp_type: int, length: int, cause: str
) -> None:
    message = bytes((icmp_type, 1, 0xFF - icmp_type, 0xFE, *bytes(length - 24)))  # its checksum is right
    header = bytes((0x45, 0, 0, length, *bytes(4), 64, 1, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2))
    assert judged(died("icmp_rcv", data=header + message)) == cause


def test_a_message_between_programs_is_no_packet(died: Callable[..., Drop]) -> None:
    nothing = {"family": None, "proto": None, "saddr": None, "daddr": None, "protocol": 0}
    assert judged(died("unix_stream_connect", "__sys_connect", **nothing)) == "benign.unix-socket"
    assert judged(died("unix_release_sock", reason="SOCKET_CLOSE", **nothing)) == "benign.unix-socket"
    assert judged(died("nfnetlink_rcv_batch", **nothing)) == "benign.unix-socket"
    assert judged(died("vrf_fib_rule", "vrf_newlink", **nothing)) == "benign.unix-socket"
    looks_like_one = {"family": 6, "proto": "icmp", "protocol": 0}
    assert judged(died("nfnetlink_rcv_batch", **looks_like_one)) == "benign.unix-socket"
    assert judged(died("some_driver_xmit", **looks_like_one)) == "unknown"
    assert judged(died("some_driver_xmit", **nothing)) == "unknown"
    assert judged(died("unix_stream_connect", "__sys_connect")) == "unknown", "it has an IP header"


ANSWERED, COPIED = frozenset({"answered"}), frozenset({"copied"})
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


def test_packets_that_a_closed_tun_device_still_had_are_a_loss(died: Callable[..., Drop]) -> None:
    for reason in (None, "NOT_SPECIFIED", "QUEUE_PURGE"):
        assert judged(died("tun_queue_purge", "tun_chr_close", reason=reason)) == "device.queue-gone"


def test_icmp6_errors_and_group_messages_that_were_read_are_no_loss(died: Callable[..., Drop]) -> None:
    message = {"proto": "icmp6", "icmp_code": 0, "protocol": 0x86DD}
    quoted = replace(died("icmpv6_rcv").packet, proto="udp", header_error=None)
    for error in range(1, 5):
        drop = died("icmpv6_rcv", icmp_type=error, ttl=64, quoted=quoted, notes=ANSWERED, **message)
        assert judged(drop) == "benign.icmp6-handled"
        other = died("icmpv6_rcv", icmp_type=error, ttl=64, quoted=replace(quoted, proto="esp"), **message)
        assert judged(other) == "benign.icmp6-handled"
        cut = died(
            "icmpv6_rcv", icmp_type=error, ttl=64, quoted=replace(quoted, header_error="short"), **message
        )
        assert judged(cut) == "unknown"
    from_link, far = {"saddr": ip_address("fe80::1")}, {"saddr": ip_address("fd00::1")}
    for group_message in (130, 131, 132, 143):
        handled = died("icmpv6_rcv", icmp_type=group_message, ttl=1, **from_link, **message)
        assert judged(handled) == "benign.icmp6-handled"
        for odd in ({"ttl": 64} | from_link, {"ttl": 1} | far):
            assert judged(died("icmpv6_rcv", icmp_type=group_message, **odd, **message)) == "unknown"


@pytest.mark.parametrize(("proto", "question"), [("udp", "sockets_at"), ("tcp", "connections_at")])
def test_an_icmp6_error_is_no_loss_where_nobody_could_be_told(
    died: Callable[..., Drop], proto: str, question: str
) -> None:
    quoted = replace(died("icmpv6_rcv").packet, proto=proto, header_error=None)
    message = {"proto": "icmp6", "icmp_code": 4, "icmp_type": 1, "protocol": 0x86DD, "quoted": quoted}
    drop = died("icmpv6_rcv", **message)
    for known, expected in (
        (PortSockets(), "benign.icmp6-handled"),
        (PortSockets(gone=1), "unknown"),
        (PortSockets(count=1), "unknown"),
        (None, "unknown"),
    ):
        cause, _ = diagnose(drop, ToldHost(**{question: known}))
        assert (cause.id if cause is not None else "unknown") == expected


def test_a_copy_that_a_full_ping_socket_refused_is_told_once(died: Callable[..., Drop]) -> None:
    for proto, kind, entrance in (("icmp", 0, "icmp_rcv"), ("icmp6", 129, "icmpv6_rcv")):
        reply = {"proto": proto, "icmp_type": kind, "icmp_code": 0}
        copy = died("__ping_queue_rcv_skb", "ping_rcv", entrance, reason="SOCKET_RCVBUFF", **reply)
        assert judged(copy) == "socket.raw-buffer-full"
        assert judged(died(entrance, reason="SOCKET_RCVBUFF", **reply)) == "benign.told-before"
        assert judged(died(entrance, reason="NOMEM", **reply)) != "benign.told-before"
        assert judged(died(entrance, reason="SOCKET_RCVBUFF", **(reply | {"icmp_type": 8}))) == "unknown"


def test_a_buffer_that_the_kernel_only_tried_is_no_packet(died: Callable[..., Drop]) -> None:
    assert judged(died("napi_get_frags_check", "netif_napi_add_weight")) == "benign.empty-buffer"
    assert judged(died("napi_get_frags", "tun_get_user")) == "unknown"


def test_a_request_for_an_echo_is_no_loss_if_it_was_answered(died: Callable[..., Drop]) -> None:
    request = {"proto": "icmp6", "icmp_type": 128, "icmp_code": 0, "protocol": 0x86DD}
    assert judged(died("icmpv6_rcv", notes=ANSWERED, **request)) == "benign.icmp6-handled"
    assert judged(died("icmpv6_rcv", **request)) == "unknown"


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
    assert judged(died("ipvlan_process_multicast", "process_one_work", **mld)) == "benign.multicast-noise"
    data = {"daddr": ip_address("239.1.2.3")}
    assert judged(died("ip_rcv_finish_core", **data)) == "routing.multicast-not-joined"


def test_an_echo_reply_is_no_loss_if_a_raw_socket_had_its_copy(died: Callable[..., Drop]) -> None:
    for function, proto, icmp_type in (("ping_rcv", "icmp", 0), ("icmpv6_rcv", "icmp6", 129)):
        reply = {"reason": "NO_SOCKET", "proto": proto, "icmp_type": icmp_type}
        assert judged(died(function, notes=COPIED, **reply)) == "benign.echo-reply"
        assert judged(died(function, **reply)) == "unknown"
    assert judged(died("icmp_rcv", reason=None, proto="icmp", icmp_type=0, notes=COPIED)) == "unknown", (
        "its checksum may be wrong"
    )
    data = (
        IPV4[:2] + b"\x00\x20" + IPV4[4:9] + b"\x01" + IPV4[10:] + bytes.fromhex("0000625a00070001deadbeef")
    )
    assert judged(died("icmp_rcv", reason=None, data=data, notes=COPIED)) == "benign.echo-reply"
    assert (
        judged(died("icmp_rcv", reason=None, data=data[:-1] + b"\x00", notes=COPIED))
        == "malformed.icmp-checksum"
    )


def test_a_frame_that_a_bridge_flooded_is_no_loss_for_those_who_do_not_want_it(
    died: Callable[..., Drop],
) -> None:
    flooded = frozenset({"flooded"})
    assert judged(died("ip6_rcv_core", reason="OTHERHOST", notes=flooded)) == "benign.bridge-flood"
    assert judged(died("ip_rcv_core", reason=None, notes=flooded)) == "benign.bridge-flood"
    assert judged(died("ip_rcv_core", reason="OTHERHOST")) == "routing.not-for-us"
    assert judged(died("br_pass_frame_up", notes=frozenset({"to-many"}))) == "benign.bridge-flood"
    assert judged(died("br_pass_frame_up")) == "device.bridge-vlan-filter"


def test_ones_own_broadcast_that_comes_back_is_no_loss(died: Callable[..., Drop]) -> None:
    to_all = {"proto": "udp", "dport": 1900, "daddr": ip_address("255.255.255.255")}
    assert judged(died("udp_rcv", notes=frozenset({"looped-back"}), **to_all)) == "benign.own-copy"
    assert judged(died("udp_rcv", notes=frozenset({"to-many"}), **to_all)) == "socket.udp-no-listener"
    subnet = {"proto": "udp", "dport": 1900, "daddr": ip_address("10.9.0.255")}
    assert judged(died("udp_rcv", notes=frozenset({"to-many"}), **subnet)) == "socket.udp-no-listener"
    assert judged(died("udp_rcv", **subnet)) == "unknown"


def test_a_dhcp_socket_that_is_gone_may_have_been_there(died: Callable[..., Drop]) -> None:
    dhcp = died("udp_rcv", proto="udp", dport=67, daddr=ip_address("255.255.255.255"))
    for gone, hidden in ((0, True), (1, False)):
        cause, _ = diagnose(dhcp, ToldHost(sockets_at=PortSockets(gone=gone)))
        assert (cause is not None and cause.id == "benign.multicast-noise") == hidden


@pytest.mark.parametrize(
    ("sockets", "count", "expected"),
    [
        ((), 0, "benign.multicast-noise"),
        (("10.9.0.2",), 1, "benign.multicast-noise"),
        (("0.0.0.0",), 1, "socket.bound-elsewhere"),
        (("10.9.0.2", "::"), 2, "socket.bound-elsewhere"),
        (("10.9.0.2",), 100, "socket.bound-elsewhere"),
    ],
)
def test_a_dhcp_broadcast_is_no_loss_where_no_socket_waits_for_it(
    died: Callable[..., Drop], sockets: tuple[str, ...], count: int, expected: str
) -> None:
    dhcp = died("udp_rcv", proto="udp", dport=67, daddr=ip_address("255.255.255.255"))
    there = tuple(PortSocket(ip_address(each), None, 0, 9, False, 4711, 7, 0) for each in sockets)
    cause, _ = diagnose(dhcp, ToldHost(sockets_at=PortSockets(there, count)))
    assert cause is not None
    assert cause.id == expected
    assert judged(dhcp) == "socket.udp-no-listener", "nobody could look"


def test_groups_that_every_switch_floods_are_no_loss_where_nobody_joined(died: Callable[..., Drop]) -> None:
    for group in ("224.0.0.251", "ff02::fb", "ff02::1:3"):
        place = "ip6_mc_input" if ":" in group else "ip_rcv_finish_core"
        assert judged(died(place, daddr=ip_address(group))) == "benign.multicast-noise"
        assert judged(died("nf_hook_slow", daddr=ip_address(group))) == "unknown"
    for group in ("239.255.255.250", "ff05::fb", "ff02::dead:beef"):
        place = "ip6_mc_input" if ":" in group else "ip_rcv_finish_core"
        assert judged(died(place, daddr=ip_address(group))) == "routing.multicast-not-joined"


def test_what_ipv6_sends_again_by_itself_is_no_loss(died: Callable[..., Drop]) -> None:
    message = {"proto": "icmp6", "daddr": ip_address("ff02::16"), "protocol": 0x86DD}
    nobody, own = {"saddr": ip_address("::")}, {"saddr": ip_address("fe80::1")}
    for sent in ({"icmp_type": 143} | own, {"icmp_type": 133} | own, {"icmp_type": 135} | nobody):
        off = {"reason": "QDISC_DROP", "notes": frozenset({"no-carrier"})}
        drop = died("__dev_queue_xmit", **off, **message | sent)
        drop = replace(drop, event=replace(drop.event, skb_iif=0))
        assert judged(drop) == "benign.multicast-noise"
        just_up = replace(drop, event=replace(drop.event, notes=frozenset({"no-queue"})))
        assert judged(just_up) == "benign.multicast-noise"
        full = replace(drop, event=replace(drop.event, notes=frozenset()))
        assert judged(full) == "unknown", "its qdisc may be full"
        forwarded = replace(drop, event=replace(drop.event, skb_iif=3))
        assert judged(forwarded) == "queueing.noqueue-down"
        for place in ("__dev_queue_xmit", "br_dev_queue_push_xmit"):
            flooded = died(place, "br_forward_finish", "br_flood", **off, **message | sent)
            assert judged(flooded) == "benign.bridge-flood"
    asks = died("__dev_queue_xmit", icmp_type=135, **off, **message | own)
    assert judged(replace(asks, event=replace(asks.event, skb_iif=0))) == "queueing.noqueue-down"


def test_the_last_ports_copy_of_a_frame_to_many_is_no_loss_with_a_short_stack(
    died: Callable[..., Drop],
) -> None:
    off = {
        "reason": None,
        "notes": frozenset({"no-carrier", "to-many"}),
        "daddr": ip_address("ff02::1:ff87:46ef"),
    }
    assert judged(died("__dev_queue_xmit", "br_handle_frame_finish", **off)) == "benign.bridge-flood"
    routed = died("__dev_queue_xmit", "ip_mr_forward", "ip_rcv", "br_handle_frame_finish", **off)
    assert judged(routed) == "queueing.noqueue-down"
    to_one = off | {"notes": frozenset({"no-carrier"})}
    assert judged(died("__dev_queue_xmit", "br_handle_frame_finish", **to_one)) == "queueing.noqueue-down"


def test_a_route_that_connect_asked_for_is_no_packet_but_what_sendto_sends_is(
    died: Callable[..., Drop],
) -> None:
    refused = ("xfrm_lookup_with_ifid", "xfrm_lookup_route")
    for way, expected in (
        ("__ip4_datagram_connect", True),
        ("udp_sendmsg", False),
        ("tcp_v4_connect", False),
    ):
        drop = died(*refused, way, reason=None)
        drop = replace(drop, event=replace(drop.event, source="xfrm_lookup"))
        assert (judged(drop) == "benign.route-lookup") == expected
        noted = replace(drop.event, notes=drop.event.notes | {"connecting"})
        short = replace(drop, event=noted, stack=drop.stack[:1])
        assert judged(short) == "benign.route-lookup", "where the stack ends at the probe"


def test_a_question_for_a_route_is_no_packet(died: Callable[..., Drop]) -> None:
    for function in ("inet_rtm_getroute", "inet6_rtm_getroute"):
        assert judged(died(function, "rtnetlink_rcv_msg")) == "benign.route-lookup"


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
    for flags, cause_id in ((SYN, "tcp.time-wait"), (ACK, "tcp.paws")):
        late = died("tcp_v4_rcv", data=tcp(flags), notes=TIME_WAIT, reason="TCP_RFC7323_TW_PAWS")
        assert judged(late) == cause_id
    assert judged(died("tcp_v4_rcv", data=tcp(PUSH_ACK, b"data"), notes=TIME_WAIT)) == "socket.closed"
    _, verdict = diagnose(died("tcp_v4_rcv", data=tcp(PUSH_ACK, b"data"), notes=TIME_WAIT), HOST)
    assert verdict.confidence == "likely", "it may repeat what was received before"


def test_data_that_time_wait_had_received_before_is_no_loss(died: Callable[..., Drop]) -> None:
    again = died("tcp_v4_rcv", data=tcp(PUSH_ACK, b"data"), notes=TIME_WAIT | {"all-old"})
    assert judged(again) == "benign.tcp-time-wait"
    _, verdict = diagnose(again, HOST)
    assert verdict.confidence == "certain"
    assert "with 4 bytes of data that had been received before" in verdict.evidence[0].text
    syn = died("tcp_v4_rcv", data=tcp(SYN, b"data"), notes=TIME_WAIT | {"all-old"})
    assert judged(syn) == "tcp.time-wait"
    elsewhere = died("tcp_v4_rcv", data=tcp(PUSH_ACK, b"data"), notes=frozenset({"all-old"}))
    assert judged(elsewhere) != "benign.tcp-time-wait"


@pytest.mark.parametrize("place", ["tcp_v4_rcv", "tcp_v6_rcv"])
@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
def test_a_syn_that_was_answered_again_is_no_loss(
    died: Callable[..., Drop], place: str, reason: str | None
) -> None:
    answered = frozenset({"answered"})
    assert judged(died(place, reason=reason, data=tcp(SYN), notes=answered)) == "benign.tcp-handshake-done"
    other = judged(died(place, reason=reason, data=tcp(SYN | ACK), notes=answered))
    assert other != "benign.tcp-handshake-done"


def test_the_same_segments_without_the_note_are_not_explained(died: Callable[..., Drop]) -> None:
    for flags in (FIN_ACK, ACK, SYN, RST):
        assert judged(died("tcp_v4_rcv", reason="NOT_SPECIFIED", data=tcp(flags))) == "unknown"


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


def test_an_ack_on_a_connection_that_one_end_has_closed_is_no_loss(died: Callable[..., Drop]) -> None:
    for reason in (None, "NOT_SPECIFIED"):
        assert judged(died("tcp_rcv_state_process", reason=reason, data=tcp(ACK))) == "benign.ack-consumed"
    for flags, data in ((ACK, b"data"), (FIN_ACK, b""), (RST, b""), (SYN, b"")):
        assert judged(died("tcp_rcv_state_process", data=tcp(flags, data))) == "unknown"
    assert judged(died("tcp_rcv_state_process", reason="TCP_INVALID_ACK_SEQUENCE", data=tcp(ACK))) != (
        "benign.ack-consumed"
    )


def test_before_there_was_a_reason_for_it_a_keepalive_is_known_by_a_probe(died: Callable[..., Drop]) -> None:
    outside = {"reason": "TCP_INVALID_SEQUENCE"}
    keepalive = died("tcp_validate_incoming", data=tcp(ACK), notes=ANSWERED, **outside)
    assert judged(keepalive) == "benign.ack-consumed"
    assert judged(died("tcp_validate_incoming", data=tcp(ACK), **outside)) == "tcp.out-of-window"
    data = died("tcp_validate_incoming", data=tcp(ACK, b"data"), notes=ANSWERED, **outside)
    assert judged(data) == "tcp.out-of-window"
