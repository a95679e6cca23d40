"""Rules of a firewall: the verdicts of nf_tables' expressions and of the legacy tables."""

from dropwatch.probe.family import Family, Hook, TailCall, both, entries
from dropwatch.wire.netfilter import EBT_NOTE, NFT_NOTE, XT_NOTE

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
    file="nft.c",
    flag="FAMILY_NFT",
    hooks=(
        Hook("nft_do_chain", "on_nft_do_chain", "on_nft_do_chain_return"),
        Hook("nft_immediate_eval", "on_nft_immediate_eval"),
        *both("on_nft_eval", "on_nft_eval_return", *_NFT_EVALS),
        *entries("on_nft_reject_eval", *_NFT_REJECTS),
    ),
    tail_calls=(TailCall("drop_details", 1, "search_nft"), TailCall("drop_details", 5, "send_nft")),
    notes=(NFT_NOTE,),
    comes_and_goes=True,
)

XT = Family(
    name="iptables",
    file="xt.c",
    flag="FAMILY_XT",
    hooks=(
        *both("on_table_change", "on_table_change", "xt_replace_table"),
        *both("on_table_change", "on_table_change", "do_ipt_set_ctl", "do_ip6t_set_ctl", "do_arpt_set_ctl"),
        *entries("on_do_table", "ipt_do_table", "ip6t_do_table", "arpt_do_table"),
        *entries("on_drop_target", "reject_tg", "reject_tg6"),
        *both("on_target", "on_target_return", *_TARGETS),
    ),
    tail_calls=(
        TailCall("drop_details", 2, "scan_xt"),
        TailCall("drop_details", 3, "send_xt"),
        TailCall("xt_first", 0, "read_first", is_kprobe=True),
    ),
    notes=(XT_NOTE,),
    comes_and_goes=True,
)

EBT = Family(
    name="ebtables",
    file="ebt.c",
    flag="FAMILY_EBT",
    hooks=(
        Hook("ebt_do_table", "on_ebt_do_table"),
        Hook("do_ebt_set_ctl", "on_table_change", "on_table_change"),
    ),
    tail_calls=(TailCall("drop_details", 4, "send_ebt"),),
    notes=(EBT_NOTE,),
    comes_and_goes=True,
)
