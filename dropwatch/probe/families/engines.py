"""The engines of netfilter beside the rules, connection tracking first, and whoever else is at its hooks."""

from dropwatch.probe.family import Family, Hook, TailCall, both
from dropwatch.wire.netfilter import ENGINES_NOTE, HOOKS_NOTE

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
    file="engines.c",
    flag="FAMILY_ENGINES",
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
    file="hooks.c",
    flag="FAMILY_HOOKS",
    tail_calls=(TailCall("drop_details", 6, "send_hooks"),),
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
