"""One drop, one diagnosis: the kernel's reasons with all their double meanings, on kernels with and without them."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from dropwatch.causes import CATALOGUE
from dropwatch.causes.diagnose import diagnose
from dropwatch.host.sockets import PortSockets
from dropwatch.model.drop import Drop, Event, Evidence, Frame, Packet, SocketNote, Where
from tests.unit.told_host import ToldHost

BY_NUMBERS = {"TCP_CLOSE"}  # what the connection had received decides, tests/unit/causes/tcp
SETTLED = [(reason, cause.id) for cause in CATALOGUE for reason in cause.reasons if reason not in BY_NUMBERS]


HOST = ToldHost(sockets_at=PortSockets(), connections_at=PortSockets())


def at(drop: Drop, *functions: str, reason: str | None = None) -> Drop:
    """The drop, dead in the first of these functions, called by the others."""
    frames = tuple(Frame(name, 0x10 + n, None, 0xFFFFFFFF81000000 + n) for n, name in enumerate(functions))
    return replace(drop, where=Where(frames[0], None, None), stack=frames, reason=reason)


def judged(drop: Drop) -> tuple[str, str]:
    cause, verdict = diagnose(drop, HOST)
    return (cause.id if cause is not None else "unknown"), verdict.confidence


@pytest.mark.parametrize(("reason", "cause_id"), SETTLED)
def test_a_reason_that_settles_a_cause_is_certain_and_shown(
    make_drop: Callable[..., Drop], reason: str, cause_id: str
) -> None:
    drop = at(make_drop(), "some_function", reason=reason)
    cause, verdict = diagnose(drop, HOST)
    assert cause is not None
    assert (cause.id, verdict.confidence) == (cause_id, "certain")
    assert any(one.source == f"skb:kfree_skb reason {reason}" for one in verdict.evidence)
    assert all("some_function" in one.text for one in verdict.evidence if one.source.startswith("skb:"))


# reason, function where it died and its callers, packet, what it is
KERNEL_6_1_AND_LATER = [
    ("IP_INHDR", ("ip_forward",), {"ttl": 1}, ("routing.ttl-expired", "certain")),
    ("IP_INHDR", ("ip6_forward",), {"ttl": 1}, ("routing.ttl-expired", "certain")),
    ("IP_INHDR", ("ip_rcv_core", "ip_rcv"), {}, ("malformed.ip-header", "certain")),
    (
        "IP_INHDR",
        ("ip6_rcv_core",),
        {"saddr": "fd00::1", "daddr": "fd00::2"},
        ("malformed.ip-header", "certain"),
    ),
    (
        "IP_INHDR",
        ("ip6_rcv_core",),
        {"saddr": "::1", "daddr": "fd00::2"},
        ("routing.martian-source", "certain"),
    ),
    (
        "IP_INHDR",
        ("ip6_rcv_core",),
        {"saddr": "ff02::1", "daddr": "fd00::2"},
        ("routing.martian-source", "certain"),
    ),
    (
        "IP_INHDR",
        ("ip6_rcv_core",),
        {"saddr": "fd00::1", "daddr": "::1"},
        ("routing.martian-destination", "certain"),
    ),
    (
        "IP_INHDR",
        ("ip6_rcv_core",),
        {"saddr": "fd00::1", "daddr": "ff01::5"},
        ("routing.martian-destination", "certain"),
    ),
    ("IP_INHDR", ("ip6_parse_tlv", "ipv6_parse_hopopts"), {}, ("malformed.ipv6-extension", "certain")),
    ("IP_INHDR", ("icmp_unreach", "icmp_rcv"), {}, ("unknown", "unknown")),
    ("UNHANDLED_PROTO", ("ip6_rcv_core",), {}, ("malformed.ip-header", "certain")),
    ("UNHANDLED_PROTO", ("icmp_rcv",), {}, ("unknown", "unknown")),
    ("IP_LOCALNET", ("ip_rcv_finish_core",), {"saddr": "127.0.0.1"}, ("routing.martian-source", "certain")),
    (
        "IP_LOCALNET",
        ("ip_rcv_finish_core",),
        {"daddr": "127.0.0.1"},
        ("routing.martian-destination", "certain"),
    ),
    ("IP_INADDRERRORS", ("ip_error",), {}, ("routing.forwarding-off", "certain")),
    ("IP_INADDRERRORS", ("ip6_forward",), {"saddr": "fd00::1"}, ("routing.forwarding-off", "certain")),
    ("IP_INADDRERRORS", ("ip6_forward",), {"saddr": "fe80::1"}, ("unknown", "unknown")),
    ("IP_INADDRERRORS", ("ip6_forward",), {"saddr": "::"}, ("ipv6.unspecified-source", "likely")),
    ("NOT_SPECIFIED", ("ip6_forward",), {"saddr": "::"}, ("ipv6.unspecified-source", "likely")),
    (
        "IP_INADDRERRORS",
        ("ip6_protocol_deliver_rcu",),
        {"daddr": "ff05::7"},
        ("routing.multicast-not-joined", "certain"),
    ),
    ("IP_INADDRERRORS", ("ip6_pkt_drop",), {"daddr": "::"}, ("unknown", "unknown")),
    ("IP_INNOROUTES", ("ip_error",), {}, ("routing.no-route-in", "likely")),
    ("IP_INNOROUTES", ("ip6_pkt_drop", "ip6_pkt_discard"), {}, ("routing.no-route-in", "likely")),
    ("IP_INNOROUTES", ("ip6_pkt_drop", "ip6_pkt_prohibit"), {}, ("routing.prohibit", "certain")),
    ("IP_OUTNOROUTES", ("__ip_queue_xmit",), {}, ("routing.no-route-out", "likely")),
    (None, ("__ip_queue_xmit",), {}, ("routing.no-route-out", "likely")),
    ("NOT_SPECIFIED", ("inet6_csk_xmit",), {}, ("routing.no-route-out", "likely")),
    ("IP_OUTNOROUTES", ("vxlan_xmit_one",), {}, ("unknown", "unknown")),
    ("PKT_TOO_BIG", ("ip_forward",), {}, ("routing.too-big", "certain")),
    ("PKT_TOO_BIG", ("do_output", "do_execute_actions"), {}, ("unknown", "unknown")),
    ("OTHERHOST", ("ip_rcv_core",), {}, ("routing.not-for-us", "likely")),
    ("NO_SOCKET", ("__udp4_lib_rcv",), {}, ("socket.udp-no-listener", "certain")),
    ("NO_SOCKET", ("tcp_v4_rcv",), {"proto": "tcp", "tcp_flags": "S"}, ("socket.tcp-no-listener", "certain")),
    (
        "NO_SOCKET",
        ("tcp_v6_rcv",),
        {"proto": "tcp", "tcp_flags": "SEC"},
        ("socket.tcp-no-listener", "certain"),
    ),
    ("NO_SOCKET", ("tcp_v4_rcv",), {"proto": "tcp", "tcp_flags": "PA"}, ("tcp.no-connection", "certain")),
    ("NO_SOCKET", ("tcp_v4_rcv",), {"proto": "tcp", "tcp_flags": "SA"}, ("tcp.no-connection", "certain")),
    ("NO_SOCKET", ("tcp_v4_rcv",), {"proto": "tcp", "tcp_flags": "RA"}, ("benign.tcp-late-reset", "certain")),
    ("NO_SOCKET", ("tcp_v4_rcv",), {"proto": "tcp", "tcp_flags": None}, ("unknown", "unknown")),
    (
        "NO_SOCKET",
        ("cookie_v4_check",),
        {"proto": "tcp", "tcp_flags": "A"},
        ("socket.accept-queue-full", "likely"),
    ),
    ("NO_SOCKET", ("icmp_rcv",), {"proto": "icmp", "icmp_type": 0}, ("unknown", "unknown")),
    ("NO_SOCKET", ("icmp_rcv",), {"proto": "icmp", "icmp_type": 8}, ("unknown", "unknown")),
    ("SOCKET_RCVBUFF", ("udp_queue_rcv_one_skb",), {}, ("socket.udp-buffer-full", "certain")),
    ("SOCKET_RCVBUFF", ("__udpv6_queue_rcv_skb",), {}, ("socket.udp-buffer-full", "certain")),
    ("SOCKET_RCVBUFF", ("raw_rcv", "raw_local_deliver"), {}, ("socket.raw-buffer-full", "certain")),
    ("SOCKET_RCVBUFF", ("__sk_receive_skb",), {"proto": "tcp"}, ("unknown", "unknown")),
    ("PROTO_MEM", ("udp_queue_rcv_one_skb",), {}, ("socket.memory-pressure", "certain")),
    ("PROTO_MEM", ("tcp_data_queue",), {"proto": "tcp"}, ("unknown", "unknown")),
    ("SOCKET_FILTER", ("udp_queue_rcv_one_skb",), {}, ("unknown", "unknown")),
    ("PACKET_SOCK_ERROR", ("tpacket_rcv",), {}, ("socket.packet-buffer-full", "likely")),
    ("NETFILTER_DROP", ("nf_hook_slow", "ip_local_deliver"), {}, ("unknown", "unknown")),
    ("NETFILTER_DROP", ("nft_do_chain", "nft_do_chain_inet", "nf_hook_slow"), {}, ("unknown", "unknown")),
    ("XFRM_POLICY", ("ip_forward",), {}, ("unknown", "unknown")),
    ("QDISC_DROP", ("__dev_queue_xmit",), {}, ("unknown", "unknown")),
    ("FULL_RING", ("tun_net_xmit", "dev_hard_start_xmit"), {}, ("device.tun-full", "certain")),
    ("FULL_RING", ("iptfs_output_collect",), {}, ("unknown", "unknown")),
    ("DEV_READY", ("tun_net_xmit",), {}, ("device.tun-no-reader", "certain")),
    ("DEV_READY", ("flush_backlog",), {}, ("device.down", "certain")),
    ("DEV_READY", ("br_nf_pre_routing",), {}, ("unknown", "unknown")),
    ("NO_TX_TARGET", ("br_flood",), {}, ("device.bridge-no-port", "certain")),
    ("NO_TX_TARGET", ("vxlan_xmit",), {}, ("tunnel.no-remote", "certain")),
    ("NEIGH_CREATEFAIL", ("ip_finish_output2",), {}, ("neighbour.table-full", "likely")),
    ("QUEUE_PURGE", ("neigh_invalidate", "neigh_timer_handler"), {}, ("neighbour.unresolved", "certain")),
    ("NEIGH_FAILED", ("arp_error_report", "neigh_timer_handler"), {}, ("neighbour.unresolved", "certain")),
    (
        "NEIGH_FAILED",
        ("arp_error_report", "neigh_invalidate", "__neigh_update", "neigh_delete"),
        {},
        ("neighbour.deleted", "certain"),
    ),
    ("QUEUE_PURGE", ("neigh_flush_dev", "neigh_ifdown"), {}, ("neighbour.deleted", "certain")),
    ("QUEUE_PURGE", ("neigh_destroy", "neigh_flush_dev"), {}, ("neighbour.deleted", "certain")),
    ("NEIGH_FAILED", ("__neigh_event_send",), {}, ("neighbour.not-asked", "certain")),
    ("FRAG_REASM_TIMEOUT", ("ip_expire", "call_timer_fn"), {}, ("fragment.timeout", "certain")),
    ("FRAG_REASM_TIMEOUT", ("inet_frag_rbtree_purge", "inet_frag_queue_flush"), {}, ("unknown", "unknown")),
    ("FRAG_REASM_TIMEOUT", ("iptfs_drop_timer",), {}, ("unknown", "unknown")),
    ("QUEUE_PURGE", ("skb_queue_purge_reason", "xfrm_policy_kill"), {}, ("ipsec.out-no-state", "certain")),
]


@pytest.mark.parametrize(("reason", "functions", "packet", "expected"), KERNEL_6_1_AND_LATER)
def test_the_function_and_the_packet_decide_what_a_reason_means(
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
    reason: str,
    functions: tuple[str, ...],
    packet: dict[str, Any],
    expected: tuple[str, str],
) -> None:
    family = 6 if ":" in str(packet.get("saddr", "")) + str(packet.get("daddr", "")) else 4
    drop = at(make_drop(packet=make_packet(family=family, **packet)), *functions, reason=reason)
    assert judged(drop) == expected


WITHOUT_REASON = [
    (("ip_rcv_finish_core",), {"saddr": "127.0.0.1"}, ("routing.martian-source", "likely")),
    (("ip_rcv_finish_core",), {"saddr": "255.255.255.255"}, ("routing.martian-source", "likely")),
    (("ip_rcv_finish_core",), {"saddr": "0.0.0.0"}, ("routing.martian-source", "likely")),
    (("ip_rcv_finish_core",), {"saddr": "0.0.0.0", "daddr": "255.255.255.255"}, ("unknown", "unknown")),
    (("ip_rcv_finish_core",), {"daddr": "127.0.0.1"}, ("routing.martian-destination", "likely")),
    (("ip_rcv_finish_core",), {"daddr": "239.1.2.3"}, ("routing.multicast-not-joined", "likely")),
    (("ip_rcv_finish_core",), {}, ("unknown", "unknown")),
    (
        ("ip6_mc_input",),
        {"family": 6, "saddr": "fd00::1", "daddr": "ff05::7"},
        ("routing.multicast-not-joined", "certain"),
    ),
    (("ip_forward",), {"ttl": 1}, ("routing.ttl-expired", "likely")),
    (("ip_forward",), {"ttl": 64}, ("unknown", "unknown")),
    (("arp_error_report", "neigh_invalidate"), {}, ("neighbour.unresolved", "certain")),
    (("ndisc_error_report",), {"family": 6}, ("neighbour.unresolved", "certain")),
    (("ip_expire", "call_timer_fn"), {}, ("fragment.timeout", "certain")),
    (("__udp4_lib_rcv",), {"daddr": "255.255.255.255"}, ("socket.udp-no-listener", "likely")),
    (
        ("udp_rcv", "ip_protocol_deliver_rcu"),
        {"daddr": "255.255.255.255"},
        ("socket.udp-no-listener", "likely"),
    ),
    (("__udp4_lib_mcast_deliver",), {"daddr": "239.1.2.3"}, ("socket.udp-no-listener", "certain")),
    (("__udp4_lib_rcv",), {}, ("unknown", "unknown")),
    (("packet_rcv",), {}, ("socket.packet-buffer-full", "likely")),
    (("br_allowed_ingress", "br_handle_frame_finish"), {}, ("device.bridge-vlan-filter", "certain")),
    (("br_flood", "br_dev_xmit"), {}, ("device.bridge-no-port", "likely")),
    (("dst_discard_out", "ip_send_skb", "udp_send_skb"), {}, ("unknown", "unknown")),
    (("dst_discard_out", "ip6_rcv_finish"), {"family": 6}, ("routing.blackhole", "likely")),
    (("xfrm_output_resume", "ip_send_skb"), {}, ("unknown", "unknown")),
    (("nf_hook_slow",), {}, ("unknown", "unknown")),
    (("ip_error",), {}, ("unknown", "unknown")),
    (("kfree_skb_list", "__dev_queue_xmit"), {}, ("unknown", "unknown")),
]


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
@pytest.mark.parametrize(("functions", "packet", "expected"), WITHOUT_REASON)
def test_without_a_reason_only_what_the_place_proves_is_said(
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
    functions: tuple[str, ...],
    packet: dict[str, Any],
    expected: tuple[str, str],
    reason: str | None,
) -> None:
    assert judged(at(make_drop(packet=make_packet(**packet)), *functions, reason=reason)) == expected


def test_what_compilers_add_to_a_function_changes_nothing(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    drop = at(make_drop(packet=make_packet(saddr="127.0.0.1")), "ip_rcv_finish_core.isra.0")
    assert judged(drop) == ("routing.martian-source", "likely")


def test_unknown_says_what_the_kernel_said_and_where_to_read(make_drop: Callable[..., Drop]) -> None:
    cause, verdict = diagnose(at(make_drop(), "nf_hook_slow", reason="NETFILTER_DROP"), HOST)
    assert cause is None
    assert verdict.title == "dropped by netfilter"
    assert verdict.evidence == (
        Evidence("skb:kfree_skb reason NETFILTER_DROP", "dropped by netfilter, in nf_hook_slow"),
    )
    assert [fix.command for fix in verdict.fix] == [
        "whydrop explain NETFILTER_DROP",
        "whydrop explain nf_hook_slow",
    ]


def test_unknown_without_a_reason_is_named_after_the_place(make_drop: Callable[..., Drop]) -> None:
    drop = at(make_drop(), "some_driver_xmit", reason=None)
    drop = replace(drop, where=replace(drop.where, layer="device"))
    cause, verdict = diagnose(drop, HOST)
    assert cause is None
    assert verdict.title == "the kernel gave no reason; dropped in some_driver_xmit (device)"
    assert verdict.evidence == (
        Evidence("skb:kfree_skb", "this kernel has no drop reasons, in some_driver_xmit"),
    )
    assert verdict.fix == ()


def test_a_place_without_a_name_is_shown_by_its_address(make_drop: Callable[..., Drop]) -> None:
    frame = Frame(None, 0, None, 0xFFFFFFFFC0DE0010)
    drop = replace(make_drop(), where=Where(frame, None, None), stack=(frame,), reason="NOT_SPECIFIED")
    cause, verdict = diagnose(drop, HOST)
    assert cause is None
    assert verdict.title == "the kernel gave no reason, and the place has no name"
    assert verdict.evidence[0].text == "the kernel gave no reason, at 0xffffffffc0de0010"


def test_a_reason_of_a_later_kernel_is_passed_on(make_drop: Callable[..., Drop]) -> None:
    cause, verdict = diagnose(at(make_drop(), "ip_rcv_core", reason="BRAND_NEW"), HOST)
    assert cause is None
    assert verdict.title == "a reason that whydrop does not know (BRAND_NEW)"


def test_fixes_name_the_drops_own_values(make_drop: Callable[..., Drop]) -> None:
    _, verdict = diagnose(at(make_drop(), "__udp4_lib_rcv", reason="NO_SOCKET"), HOST)
    assert verdict.fix[0].command == "ip netns exec b ss -lnup 'sport = :5000'"


def test_another_source_than_kfree_skb_is_named(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> None:
    drop = at(make_drop(event=make_event(source="tcp_conn_request")), "tcp_conn_request")
    _, verdict = diagnose(drop, HOST)
    assert verdict.evidence[0].source == "probe tcp_conn_request"


@pytest.mark.parametrize("known", [True, False])
def test_where_nobody_knows_whether_probes_ran_their_notes_are_not_certain(
    make_drop: Callable[..., Drop], known: bool
) -> None:
    noted = SocketNote(None, 0, 0, False, 0, 0, IPv4Address("10.9.0.2"), 5000)
    drop = at(make_drop(), "ip_forward", reason="PKT_TOO_BIG")
    doubtful = frozenset() if known else frozenset({"probes-unknown"})
    drop = replace(drop, event=replace(drop.event, socket=noted, notes=doubtful))
    _, verdict = diagnose(drop, HOST)
    assert verdict.confidence == ("certain" if known else "likely")
    assert any("it is unknown whether a probe could run" in one.text for one in verdict.evidence) is not known
    _, verdict = diagnose(replace(drop, event=replace(drop.event, socket=None)), HOST)
    assert verdict.confidence == "certain", "what the kernel says by itself is"


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
def test_a_packet_of_our_own_ends_in_the_blackhole_of_ipsec(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event], reason: str | None
) -> None:
    """It came in nowhere; one that did has the sender of its own namespace on the stack, below the softirq."""
    drop = at(make_drop(event=make_event(skb_iif=0)), "dst_discard_out", "ip_send_skb", reason=reason)
    assert judged(drop) == ("ipsec.out-no-state", "likely")


@pytest.mark.parametrize(
    ("reason", "layer", "asleep", "told"),
    [
        ("NETFILTER_DROP", "netfilter", "asleep-netfilter", "no probe saw which rule it was"),
        (None, "netfilter", "asleep-netfilter", "no probe saw which rule it was"),
        ("XFRM_POLICY", "udp", "asleep-ipsec", "no probe saw which SA or policy it was"),
        ("NETFILTER_DROP", "netfilter", "asleep-ipsec", None),
        ("NO_SOCKET", "udp", "asleep-netfilter", None),
        ("NO_SOCKET", "udp", "asleep-udp", None),
    ],
)
def test_what_no_probe_saw_with_light_is_said(
    make_drop: Callable[..., Drop], reason: str | None, layer: str, asleep: str, told: str | None
) -> None:
    drop = at(make_drop(), "some_function", reason=reason)
    drop = replace(
        drop,
        event=replace(drop.event, notes=frozenset({asleep})),
        where=replace(drop.where, layer=layer),
    )
    _, verdict = diagnose(drop, HOST)
    said = [evidence.text for evidence in verdict.evidence if evidence.source == "--light"]
    assert [text.partition(":")[0] for text in said] == ([told] if told is not None else [])
