"""What is attached where: the table of probe families. A hook that is not there becomes a sentence, not a crash."""

from dataclasses import dataclass

from dropwatch.probe.program import Family


@dataclass(frozen=True, slots=True)
class Hook:
    """One BPF function and the kernel function whose entry or return it watches."""

    program: str
    function: str
    at_return: bool = False


@dataclass(frozen=True, slots=True)
class TailCall:
    """A program that others jump to: the place in their table of programs (bpf/netfilter.c, enum drop_detail)."""

    table: str
    index: int
    program: str
    is_kprobe: bool = False


XFRM = Family("ipsec", "xfrm.c", "FAMILY_XFRM")
XFRM_OUTPUT = Family("ipsec output", "xfrm_output.c", "FAMILY_XFRM_OUTPUT", needs=XFRM.name)
TCP = Family("tcp", "tcp.c", "FAMILY_TCP")
NFT = Family("nf_tables", "nft.c", "FAMILY_NFT")
XT = Family("iptables", "xt.c", "FAMILY_XT")
EBT = Family("ebtables", "ebt.c", "FAMILY_EBT")
ENGINES = Family("conntrack", "engines.c", "FAMILY_ENGINES")
AT_HOOKS = Family("functions at hooks", "hooks.c", "FAMILY_HOOKS")

FAMILIES = (XFRM, XFRM_OUTPUT, TCP, NFT, XT, EBT, ENGINES, AT_HOOKS)

# Attached when their functions appear: what is not loaded drops nothing, so that it is not there is no blind spot.
COME_AND_GO = frozenset({XFRM_OUTPUT.name, NFT.name, XT.name, EBT.name, ENGINES.name})
# Those whose functions every packet meets, used or not: attached when one of these modules comes, by which the
# subsystem is configured, or when its function is there. Without an IPsec policy the search for one refuses nothing.
CONFIGURED_BY = {XFRM_OUTPUT.name: {"xfrm_user": "xfrm_add_policy", "af_key": "pfkey_spdadd"}}


def _both(entry: str, back: str, *functions: str) -> tuple[Hook, ...]:
    """Entry and return of the same functions; the return first, so that no entry waits for one that is not seen."""
    return tuple(hook for name in functions for hook in (Hook(back, name, at_return=True), Hook(entry, name)))


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
_HOOK_FUNCTIONS = (
    *("nf_hook_run_bpf", "ipv4_synproxy_hook", "ipv6_synproxy_hook"),
    *("ip_vs_in_hook", "ip_vs_out_hook", "ip_vs_forward_icmp", "ip_vs_forward_icmp_v6"),
    *("ip_vs_remote_request4", "ip_vs_remote_request6", "ip_vs_local_request4", "ip_vs_local_request6"),
    *("ip_vs_reply4", "ip_vs_reply6", "ip_vs_local_reply4", "ip_vs_local_reply6"),
    *("br_nf_pre_routing", "br_nf_forward", "br_nf_forward_ip", "br_nf_forward_arp", "br_nf_post_routing"),
    *("nf_flow_offload_ip_hook", "nf_flow_offload_ipv6_hook", "nf_flow_offload_inet_hook"),
)

# A family works only with its first hook: the others lean on what it notes.
HOOKS = {
    XFRM.name: (
        Hook("on_xfrm_input", "xfrm_input"),
        Hook("on_xfrm_audit_state_icvfail", "xfrm_audit_state_icvfail"),
        Hook("on_xfrm_audit_state_notfound", "xfrm_audit_state_notfound"),
        Hook("on_xfrm_audit_state_replay", "xfrm_audit_state_replay"),
        Hook("on_xfrm_audit_state_replay_overflow", "xfrm_audit_state_replay_overflow"),
        *_both("on_policy_check", "on_policy_check_return", "__xfrm_policy_check"),
        Hook("on_state_delete", "__xfrm_state_delete"),
    ),
    XFRM_OUTPUT.name: (
        *_both("on_xfrm_lookup", "on_xfrm_lookup_return", "xfrm_lookup_with_ifid"),
        *_both("on_waiting_first", "on_waiting_return", "__xfrm_route_forward"),
        *_both("on_waiting_first", "on_waiting_return", "ndisc_send_skb", "mld_sendpack"),
        *_both("on_waiting_first", "on_waiting_return", "xfrmi_xmit", "vti_tunnel_xmit", "vti6_tnl_xmit"),
        *_both("on_waiting_third", "on_waiting_return", "ip_route_me_harder", "ip6_route_me_harder"),
    ),
    TCP.name: (
        Hook("on_tcp_timewait_return", "tcp_timewait_state_process", at_return=True),
        Hook("on_tcp_timewait", "tcp_timewait_state_process"),
    ),
    NFT.name: (
        Hook("on_nft_do_chain", "nft_do_chain"),
        Hook("on_nft_do_chain_return", "nft_do_chain", at_return=True),
        Hook("on_nft_immediate_eval", "nft_immediate_eval"),
        *_both("on_nft_eval", "on_nft_eval_return", *_NFT_EVALS),
        *(Hook("on_nft_reject_eval", function) for function in _NFT_REJECTS),
    ),
    XT.name: (
        *_both("on_table_change", "on_table_change", "xt_replace_table"),
        *_both("on_table_change", "on_table_change", "do_ipt_set_ctl", "do_ip6t_set_ctl", "do_arpt_set_ctl"),
        *(Hook("on_do_table", function) for function in ("ipt_do_table", "ip6t_do_table", "arpt_do_table")),
        *(Hook("on_drop_target", function) for function in ("reject_tg", "reject_tg6")),
        *_both("on_target", "on_target_return", *_TARGETS),
    ),
    EBT.name: (
        Hook("on_ebt_do_table", "ebt_do_table"),
        *_both("on_table_change", "on_table_change", "do_ebt_set_ctl"),
    ),
    ENGINES.name: (
        *_both("on_conntrack_in", "on_answer_return", "nf_conntrack_in"),
        *_both("on_answer", "on_answer_return", "__nf_conntrack_confirm"),
        Hook("on_conntrack_alloc_return", "__nf_conntrack_alloc", at_return=True),
        Hook("on_ct_log_invalid", "nf_ct_l4proto_log_invalid"),
        Hook("on_log_invalid", "nf_l4proto_log_invalid"),
        *_both("on_hook_answer", "on_answer_return", *_HOOK_FUNCTIONS),
        Hook("on_nf_queue", "nf_queue"),
        Hook("on_enqueue_return", "nfqnl_enqueue_packet", at_return=True),
    ),
    AT_HOOKS.name: (),  # only what comes after a death
}

TAIL_CALLS = {
    NFT.name: (TailCall("drop_details", 1, "search_nft"), TailCall("drop_details", 5, "send_nft")),
    XT.name: (
        TailCall("drop_details", 2, "scan_xt"),
        TailCall("drop_details", 3, "send_xt"),
        TailCall("xt_first", 0, "read_first", is_kprobe=True),
    ),
    EBT.name: (TailCall("drop_details", 4, "send_ebt"),),
    AT_HOOKS.name: (TailCall("drop_details", 6, "send_hooks"),),
}
COUNTING = TailCall("drop_details", 7, "on_kfree_skb")  # of a summary, when the rule has been searched

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
