"""The families of probes in netfilter: which of its functions tell what refused a packet."""

from dropwatch.probe.family import Family, Hook, TailCall, both, entries
from dropwatch.wire.header import RECORD_EBT, RECORD_HOOKS, RECORD_NFT, RECORD_XT
from dropwatch.wire.netfilter import EBT_NOTE, ENGINES_NOTE, HOOKS_NOTE, NFT_NOTE, XT_NOTE

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
    files=("xt.c", "xt_scan.c", "xt_loop.c", "xt_probes.c", "xt_search.c", "xt_record.c"),
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
        Hook("nf_conntrack_in", "on_conntrack_in", "on_conntrack_return"),
        Hook("__nf_conntrack_confirm", "on_answer", "on_answer_return"),
        Hook("__nf_conntrack_alloc", back="on_conntrack_alloc_return"),
        Hook("nf_ct_l4proto_log_invalid", "on_ct_log_invalid"),
        Hook("nf_l4proto_log_invalid", "on_log_invalid"),
        *both("on_hook_answer", "on_answer_return", *_HOOK_FUNCTIONS),
        *both(
            "on_answer",
            "on_icmp_translation_return",
            "nf_nat_icmp_reply_translation",
            "nf_nat_icmpv6_reply_translation",
        ),
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
