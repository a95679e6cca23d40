"""The families of probes: this table is all that the loader, the decoder and `whydrop check` know of them."""

from dropwatch.probe.family import Family, Hook, TailCall, both, entries
from dropwatch.wire.header import RECORD_EBT, RECORD_HOOKS, RECORD_NFT, RECORD_XT
from dropwatch.wire.ipsec import XFRM_NOTE
from dropwatch.wire.netfilter import EBT_NOTE, ENGINES_NOTE, HOOKS_NOTE, NFT_NOTE, XT_NOTE
from dropwatch.wire.socket import RECORD_SOCKET, SOCKET_NOTE

XFRM = Family(
    name="ipsec",
    layer="ipsec",
    files=("xfrm_counters.c", "xfrm.c", "xfrm_state.c", "xfrm_record.c"),
    flag="HAS_XFRM",
    hooks=(
        Hook("xfrm_input", "on_xfrm_input"),
        Hook("xfrm_audit_state_icvfail", "on_xfrm_audit_state_icvfail"),
        Hook("xfrm_audit_state_notfound", "on_xfrm_audit_state_notfound"),
        Hook("xfrm_audit_state_replay", "on_xfrm_audit_state_replay"),
        Hook("xfrm_audit_state_replay_overflow", "on_xfrm_audit_state_replay_overflow"),
        Hook("__xfrm_policy_check", "on_policy_check", "on_policy_check_return"),
        Hook("__xfrm_state_delete", "on_state_delete"),
    ),
    notes=(XFRM_NOTE,),
)

# Without an IPsec policy the search for one refuses nothing.
XFRM_OUTPUT = Family(
    name="ipsec output",
    layer="ipsec",
    files=("xfrm_flow.c", "xfrm_output.c"),
    flag="HAS_XFRM_OUTPUT",
    hooks=(
        Hook("xfrm_lookup_with_ifid", "on_xfrm_lookup", "on_xfrm_lookup_return"),
        *both("on_waiting_first", "on_waiting_return", "__xfrm_route_forward"),
        *both("on_waiting_first", "on_waiting_return", "ndisc_send_skb", "mld_sendpack"),
        *both("on_waiting_first", "on_waiting_return", "xfrmi_xmit", "vti_tunnel_xmit", "vti6_tnl_xmit"),
        *both("on_waiting_third", "on_waiting_return", "ip_route_me_harder", "ip6_route_me_harder"),
    ),
    needs=XFRM.name,
    comes_and_goes=True,
    configured_by=(("xfrm_user", "xfrm_add_policy"), ("af_key", "pfkey_spdadd")),
)

TCP = Family(
    name="tcp",
    layer="tcp",
    files=("tcp.c",),
    flag="HAS_TCP",
    hooks=(
        Hook("tcp_timewait_state_process", "on_tcp_timewait", "on_tcp_timewait_return"),
        Hook("tcp_send_dupack", "on_tcp_send_dupack", unless_reason="SKB_DROP_REASON_TCP_OLD_SEQUENCE"),
        *entries("on_tcp_send_reset", "tcp_v4_send_reset", "tcp_v6_send_reset"),
        Hook("tcp_check_req", "on_tcp_check_request", "on_tcp_check_request_return"),
        Hook("inet_csk_reqsk_queue_drop", "on_request_drop"),
    ),
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

SOCKET = Family(
    name="socket",
    layer="udp",
    files=("socket.c",),
    flag="HAS_SOCKET",
    hooks=(
        Hook(
            "__udp_enqueue_schedule_skb",
            "on_udp_enqueue",
            "on_udp_enqueue_return",
            unless="KFREE_SKB_SOCKET_ARGUMENT",
        ),
    ),
    tail_calls=(TailCall("drop_details", RECORD_SOCKET, "send_socket"),),
    notes=(SOCKET_NOTE,),
)

# Expressions that may say drop beside what they are there for: each regs->verdict.code = NF_DROP in net/.
_NFT_EVALS = (
    *("nft_lookup_eval", "nft_target_eval_xt", "nft_target_eval_bridge"),
    *("nft_objref_eval", "nft_objref_map_eval", "nft_synproxy_eval", "nft_tproxy_eval", "nft_connlimit_eval"),
    *("nft_nat_eval", "nft_nat_inet_eval", "nft_ct_set_zone_eval", "nft_exthdr_tcp_strip_eval"),
    *("nft_masq_eval", "nft_masq_ipv4_eval", "nft_masq_ipv6_eval", "nft_masq_inet_eval"),
    *("nft_redir_eval", "nft_redir_ipv4_eval", "nft_redir_ipv6_eval", "nft_redir_inet_eval"),
    *("nft_fwd_neigh_eval", "nft_fwd_netdev_eval"),
)
_NFT_REJECTS = tuple(f"nft_reject_{family}_eval" for family in ("inet", "ipv4", "ipv6", "bridge", "netdev"))
_TARGETS = (
    *("synproxy_tg4", "synproxy_tg6", "tcpmss_tg4", "tcpmss_tg6", "ttl_tg", "hl_tg6"),
    *("tproxy_tg4_v0", "tproxy_tg4_v1", "tproxy_tg6_v1"),
)

NFT = Family(
    name="nf_tables",
    layer="netfilter",
    files=("nft.c", "nft_search.c", "nft_record.c"),
    flag="HAS_NFT",
    hooks=(
        Hook("nft_do_chain", "on_nft_do_chain", "on_nft_do_chain_return"),
        Hook("nft_immediate_eval", "on_nft_immediate_eval"),
        *both("on_nft_eval", "on_nft_eval_return", *_NFT_EVALS),
        *entries("on_nft_reject_eval", *_NFT_REJECTS),
    ),
    tail_calls=(TailCall("drop_details", RECORD_NFT, "search_nft"), TailCall("drop_details", 17, "send_nft")),
    notes=(NFT_NOTE,),
    comes_and_goes=True,
)

XT = Family(
    name="iptables",
    layer="netfilter",
    files=("xt.c", "xt_scan.c", "xt_probes.c", "xt_search.c", "xt_record.c"),
    flag="HAS_XT",
    hooks=(
        *both("on_table_change", "on_table_change", "xt_replace_table"),
        *both("on_table_change", "on_table_change", "do_ipt_set_ctl", "do_ip6t_set_ctl", "do_arpt_set_ctl"),
        *entries("on_do_table", "ipt_do_table", "ip6t_do_table", "arpt_do_table"),
        *entries("on_drop_target", "reject_tg", "reject_tg6"),
        *both("on_target", "on_target_return", *_TARGETS),
    ),
    tail_calls=(
        TailCall("drop_details", RECORD_XT, "scan_xt"),
        TailCall("drop_details", 16, "send_xt"),
        TailCall("xt_first", 0, "read_first", is_kprobe=True),
    ),
    notes=(XT_NOTE,),
    comes_and_goes=True,
)

EBT = Family(
    name="ebtables",
    layer="netfilter",
    files=("ebt.c",),
    flag="HAS_EBT",
    hooks=(
        Hook("ebt_do_table", "on_ebt_do_table"),
        Hook("do_ebt_set_ctl", "on_table_change", "on_table_change"),
    ),
    tail_calls=(TailCall("drop_details", RECORD_EBT, "send_ebt"),),
    notes=(EBT_NOTE,),
    comes_and_goes=True,
)

_HOOK_FUNCTIONS = (
    *("nf_hook_run_bpf", "ipv4_synproxy_hook", "ipv6_synproxy_hook"),
    *("ip_vs_in_hook", "ip_vs_out_hook", "ip_vs_forward_icmp", "ip_vs_forward_icmp_v6"),
    *("ip_vs_remote_request4", "ip_vs_remote_request6", "ip_vs_local_request4", "ip_vs_local_request6"),
    *("ip_vs_reply4", "ip_vs_reply6", "ip_vs_local_reply4", "ip_vs_local_reply6"),
    *("br_nf_pre_routing", "br_nf_forward", "br_nf_forward_ip", "br_nf_forward_arp", "br_nf_post_routing"),
    *("nf_flow_offload_ip_hook", "nf_flow_offload_ipv6_hook", "nf_flow_offload_inet_hook"),
)

ENGINES = Family(
    name="conntrack",
    layer="netfilter",
    files=("engines.c",),
    flag="HAS_ENGINES",
    hooks=(
        Hook("nf_conntrack_in", "on_conntrack_in", "on_answer_return"),
        Hook("__nf_conntrack_confirm", "on_answer", "on_answer_return"),
        Hook("__nf_conntrack_alloc", back="on_conntrack_alloc_return"),
        Hook("nf_ct_l4proto_log_invalid", "on_ct_log_invalid"),
        Hook("nf_l4proto_log_invalid", "on_log_invalid"),
        *both("on_hook_answer", "on_answer_return", *_HOOK_FUNCTIONS),
        Hook("nf_queue", "on_nf_queue"),
        Hook("nfqnl_enqueue_packet", back="on_enqueue_return"),
    ),
    notes=(ENGINES_NOTE,),
    comes_and_goes=True,
)

# Only what comes after a death.
AT_HOOKS = Family(
    name="functions at hooks",
    files=("hooks.c",),
    flag="HAS_HOOKS",
    tail_calls=(TailCall("drop_details", RECORD_HOOKS, "send_hooks"),),
    notes=(HOOKS_NOTE,),
)

# What is read after a drop may have been changed since. Sysctls: what begins before a drop may end after it.
CHANGES = Family(
    name="changes",
    files=("changes.c",),
    flag="HAS_CHANGES",
    hooks=(
        Hook("loopback_net_init", "on_netns_begin"),
        Hook("nlmsg_notify", "on_netlink_notify"),
        *entries("on_policy_change", "km_policy_notify", "xfrm_policy_kill"),
        Hook("km_state_notify", "on_state_notify"),
        Hook("__xfrm_state_delete", "on_state_end"),
        Hook("km_migrate", "on_migrate"),
        Hook("proc_sys_write", "on_sysctl_write", "on_sysctl_write"),
    ),
)

FAMILIES = (XFRM, XFRM_OUTPUT, TCP, ANSWERS, FLOOD, SOCKET, NFT, XT, EBT, ENGINES, AT_HOOKS, CHANGES)

# Functions at netfilter's hooks, by the beginning of their names, that answer what a function with a probe answers.
_ANSWERS_OF = {
    "nft_do_chain": "nft_do_chain",
    **dict.fromkeys(("ipt_do_table", "iptable_"), "ipt_do_table"),
    **dict.fromkeys(("ip6t_do_table", "ip6table_"), "ip6t_do_table"),
    **dict.fromkeys(("arpt_do_table", "arptable_"), "arpt_do_table"),
    "ebt_": "ebt_do_table",
    **dict.fromkeys(("ipv4_conntrack_in", "ipv4_conntrack_local"), "nf_conntrack_in"),
    **dict.fromkeys(("ipv6_conntrack_", "nf_ct_bridge_"), "nf_conntrack_in"),
    **dict.fromkeys(("nf_confirm", "ipv4_confirm", "ipv6_confirm"), "__nf_conntrack_confirm"),
}


def probed_for(function: str) -> str:
    """The kernel function whose probe tells what a function at a netfilter hook answered; often that itself."""
    return next((probed for start, probed in _ANSWERS_OF.items() if function.startswith(start)), function)
