"""The families of probes: this table is all that the loader, the decoder and `whydrop check` know of them."""

from dropwatch.probe.family import Family, Hook, TailCall, both, entries, returns
from dropwatch.probe.netfilter_families import AT_HOOKS, EBT, ENGINES, NFT, XT
from dropwatch.probe.transport_families import CONNECTION, DISCARDS, LISTEN, SOCKET, TCP, TCP_QUEUE
from dropwatch.wire.ipsec import XFRM_NOTE
from dropwatch.wire.past import PAST_NOTE, RECORD_PAST
from dropwatch.wire.send import SEND_NOTE

XFRM = Family(
    name="ipsec",
    layer="ipsec",
    files=("xfrm_counters.c", "xfrm_policy.c", "xfrm.c", "xfrm_state.c", "xfrm_record.c"),
    flag="HAS_XFRM",
    hooks=(
        Hook("xfrm_input", "on_xfrm_input"),
        Hook("xfrm_audit_state_icvfail", "on_xfrm_audit_state_icvfail"),
        Hook("xfrm_audit_state_notfound", "on_xfrm_audit_state_notfound"),
        Hook("xfrm_audit_state_replay", "on_xfrm_audit_state_replay"),
        Hook("xfrm_audit_state_replay_overflow", "on_xfrm_audit_state_replay_overflow"),
        Hook("__xfrm_policy_check", "on_policy_check", "on_policy_check_return"),
        *returns("on_policy_found", "xfrm_policy_lookup_bytype", "xfrm_sk_policy_lookup"),
        Hook("__xfrm_state_delete", "on_state_delete"),
    ),
    notes=(XFRM_NOTE,),
)

# Read at a death only.
CGROUP = Family(name="cgroups of sockets", files=("cgroup.c",), flag="HAS_CGROUP")

# Costs a packet only where a cgroup has programs.
CGROUP_FILTER = Family(
    name="programs of cgroups",
    layer="socket",
    files=("cgroup_filter.c",),
    flag="HAS_CGROUP_FILTER",
    hooks=(Hook("__cgroup_bpf_run_filter_skb", whole="on_cgroup_filter"),),
)

# Sends that fail before there is a packet. Others note here what they have told of, so it comes before them.
SENDS = Family(
    name="sends",
    layer="routing",
    files=("sends.c",),
    flag="HAS_SENDS",
    hooks=(
        Hook("ip_route_output_flow", whole="on_route_output"),
        Hook("ip6_dst_lookup_flow", whole="on_route6_output"),
        Hook("tcp_v4_connect", whole="on_connect4"),
        Hook("tcp_v6_connect", whole="on_connect6"),
        Hook("udp_sendmsg", whole="on_udp_sendmsg"),
        Hook("ip_local_error", whole="on_local_error"),
        Hook("ipv6_local_error", whole="on_local_error6"),
    ),
    notes=(SEND_NOTE,),
)

# Costs a call only where a cgroup has programs for it.
CGROUP_CALLS = Family(
    name="calls that cgroups refuse",
    layer="routing",
    files=("cgroup_calls.c",),
    flag="HAS_CGROUP_CALLS",
    hooks=(Hook("__cgroup_bpf_run_filter_sock_addr", whole="on_cgroup_call"),),
    needs=SENDS.name,
)

# Without an IPsec policy the search for one refuses nothing.
XFRM_OUTPUT = Family(
    name="ipsec output",
    layer="ipsec",
    files=("xfrm_output.c",),
    flag="HAS_XFRM_OUTPUT",
    hooks=(
        Hook("xfrm_lookup_with_ifid", "on_xfrm_lookup", "on_xfrm_lookup_return"),
        *both(
            "on_datagram_connect",
            "on_datagram_connect_return",
            "__ip4_datagram_connect",
            "__ip6_datagram_connect",
        ),
        *both("on_waiting_first", "on_waiting_return", "__xfrm_route_forward"),
        *both("on_waiting_first", "on_waiting_return", "ndisc_send_skb", "mld_sendpack"),
        *both("on_waiting_first", "on_waiting_return", "xfrmi_xmit", "vti_tunnel_xmit", "vti6_tnl_xmit"),
        *both("on_waiting_third", "on_waiting_return", "ip_route_me_harder", "ip6_route_me_harder"),
    ),
    needs=XFRM.name,
    comes_and_goes=True,
    configured_by=(("xfrm_user", "xfrm_add_policy"), ("af_key", "pfkey_spdadd")),
)

# Since 6.3 icmpv6_rcv() frees what it has answered as consumed.
_TOLD_APART = "SKB_DROP_REASON_IPV6_NDISC_NS_OTHERHOST"

ANSWERS = Family(
    name="icmp answers",
    layer="icmp",
    files=("answers.c",),
    flag="HAS_ANSWERS",
    hooks=(
        *entries("on_raw_receive", "raw_rcv", "rawv6_rcv"),
        Hook("icmpv6_getfrag", "on_icmpv6_getfrag", unless_reason=_TOLD_APART),
        Hook("ndisc_send_na", "on_ndisc_send_na", unless_reason=_TOLD_APART),
        Hook("ndisc_rcv", "on_discovery", unless_reason=_TOLD_APART),
        Hook("addrconf_prefix_rcv", "on_prefix", unless_reason=_TOLD_APART),
        Hook("tcp_v6_err", "on_error", "on_error_return", unless_reason=_TOLD_APART),
        # udpv6_err, which calls it, is inline by its word, and so notrace before 6.3
        Hook("__udp6_lib_err", "on_error", "on_error_return", unless_reason=_TOLD_APART),
        Hook("__icmp_send", "on_icmp_send", unless_reason="SKB_DROP_REASON_NO_SOCKET"),
        Hook("icmp6_send", "on_icmp6_send", unless_reason="SKB_DROP_REASON_NO_SOCKET"),
        Hook("icmp_glue_bits", "on_icmp_glue_bits"),
        Hook("icmpv6_getfrag", "on_icmpv6_error"),
        Hook("inet_frag_queue_insert", "on_piece", "on_piece_return"),
        # later ones consume them
        Hook(
            "inet_frag_rbtree_purge",
            "on_purge",
            "on_purge_return",
            unless_reason="SKB_DROP_REASON_FRAG_REASM_TIMEOUT",
        ),
    ),
)

FLOOD = Family(
    name="bridge flood",
    layer="bridge",
    files=("flood.c",),
    flag="HAS_FLOOD",
    hooks=(Hook("br_flood", "on_br_flood"),),
    comes_and_goes=True,
)

WIREGUARD = Family(
    name="wireguard",
    layer="tunnel",
    files=("wireguard.c",),
    flag="HAS_WIREGUARD",
    hooks=(Hook("wg_allowedips_lookup_src", "on_allowed_ips", "on_allowed_ips_return"),),
    comes_and_goes=True,
)

# What waits for the neighbour that is asked for.
SOLICIT = Family(
    name="questions for neighbours",
    layer="neighbour",
    files=("solicit.c",),
    flag="HAS_SOLICIT",
    hooks=(*both("on_solicit", "on_solicit_return", "arp_solicit", "ndisc_solicit"),),
)

# What IPVS changes without conntrack.
IPVS = Family(
    name="ipvs",
    layer="netfilter",
    files=("ipvs.c",),
    flag="HAS_IPVS",
    hooks=(*entries("on_ipvs_nat", "ip_vs_nat_xmit", "ip_vs_nat_xmit_v6"),),
    comes_and_goes=True,
)

# What tun and tap devices refuse of what is written to them. Read at a death only.
WRITTEN = Family(name="writes to tun", files=("written.c",), flag="HAS_WRITTEN")

# What a packet says itself. It is asked before the packet is counted, and told after its DROP record.
PAST = Family(
    name="past of a packet",
    files=("past.c",),
    flag="HAS_PAST",
    tail_calls=(
        TailCall("drop_details", RECORD_PAST, "send_past"),
        TailCall("drop_details", 20, "look_back"),
    ),
    notes=(PAST_NOTE,),
)

# Attached by attach_resent(), where somebody is told.
RESENT = Family(name="tcp retransmissions", files=("resent.c",), flag="HAS_RESENT")

_ATTACHING = (
    *("cgroup_bpf_prog_attach", "cgroup_bpf_prog_detach"),
    *("cgroup_bpf_link_attach", "bpf_cgroup_link_release", "cgroup_bpf_replace"),
    *("bpf_xdp_link_attach", "bpf_xdp_link_release", "bpf_xdp_link_update"),
)

# Attached by attach_xdp().
XDP = Family(name="XDP errors", files=("xdp.c",), flag="HAS_XDP")

# What is read after a drop may have been changed since. Sysctls: what begins before a drop may end after it.
CHANGES = Family(
    name="changes",
    files=("changes.c",),
    flag="HAS_CHANGES",
    hooks=(
        Hook("loopback_net_init", "on_netns_begin"),
        Hook("nlmsg_notify", "on_netlink_notify"),
        Hook("__ip_mc_dec_group", "on_group_left"),
        Hook("__ipv6_dev_mc_dec", "on_group6_left"),
        *entries("on_policy_change", "km_policy_notify", "xfrm_policy_kill"),
        Hook("km_state_notify", "on_state_notify"),
        Hook("__xfrm_state_delete", "on_state_end"),
        Hook("km_migrate", "on_migrate"),
        Hook("proc_sys_write", "on_sysctl_write", "on_sysctl_write"),
        Hook("rtnetlink_rcv_msg", "on_rtnetlink", "on_rtnetlink_done"),
        *both("on_program_change", "on_program_change", *_ATTACHING),
    ),
)

# Of older kernels there is nothing to change: that they lack these is no blind spot.
TCX_CHANGES = Family(
    name="changes of programs at interfaces",
    files=(),
    flag="HAS_CHANGES",
    hooks=tuple(
        both(
            "on_program_change",
            "on_program_change",
            *("tcx_prog_attach", "tcx_prog_detach", "tcx_link_attach", "tcx_link_release", "tcx_link_update"),
        )
    ),
    needs=CHANGES.name,
    comes_and_goes=True,
)

FAMILIES = (
    XFRM,
    CGROUP,
    SENDS,
    CGROUP_CALLS,
    CGROUP_FILTER,
    XFRM_OUTPUT,
    TCP,
    TCP_QUEUE,
    ANSWERS,
    FLOOD,
    SOCKET,
    LISTEN,
    WIREGUARD,
    CONNECTION,
    DISCARDS,
    NFT,
    XT,
    EBT,
    ENGINES,
    AT_HOOKS,
    SOLICIT,
    IPVS,
    WRITTEN,
    PAST,
    RESENT,
    XDP,
    CHANGES,
    TCX_CHANGES,
)
