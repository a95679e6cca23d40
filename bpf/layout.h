/* Where the structs of netfilter's modules have their members. The modules are loaded while whydrop runs, so this is
 * told at run time (dropwatch/probe/netfilter_layout.py), not compiled in. dropwatch/wire/layout.py is the typed mirror. */
#ifndef WHYDROP_LAYOUT_H
#define WHYDROP_LAYOUT_H

#include <linux/types.h>

/* Of struct ipt_entry, ip6t_entry, arpt_entry: user-space ABI (linux/netfilter*). */
struct xt_entry_layout {
	__u32 offsets; /* of target_offset and next_offset, both u16 */
	__u32 counters;
};

/* The functions that free a packet for the rules: the index into netfilter_layout.killers. */
enum killer {
	KILLER_HOOK_SLOW = 0, /* nf_hook_slow */
	KILLER_DO_CHAIN = 1, /* nft_do_chain */
	KILLER_BRIDGE = 2, /* br_handle_frame */
	KILLER_REINJECT = 3, /* nf_reinject, of later kernels nfqnl_reinject */
	KILLERS = 4,
};

/* Addresses of a function's code, both 0: it is not there. */
struct code_range {
	__u64 start;
	__u64 end;
};

#define SENDS_PROBED 8 /* from SOURCE_IP_ROUTE_OUTPUT_FLOW on */
#define SENDS_CALLERS 24
#define SENDS_CONNECTING 3

/* The code of what may refuse a send. */
struct send_code {
	struct code_range probed[SENDS_PROBED]; /* by source */
	struct code_range caller[SENDS_CALLERS]; /* functions by which a system call sends */
	struct code_range connecting[SENDS_CONNECTING]; /* connect() of a datagram socket */
};

#define TUN_WRITERS 2 /* tun_get_user; tun_xdp_one, or what it is inlined in */

/* Of the module tun (bpf/written.c). */
struct tun_layout {
	struct code_range writer[TUN_WRITERS];
	__u32 tun; /* struct tun_file */
	__u32 flags; /* struct tun_struct */
	__u32 device; /* 0: nothing of this is known */
	__u32 pad;
};

struct netfilter_layout {
	struct code_range killers[KILLERS];
	/* struct nft_chain */
	__u32 chain_rules[2]; /* blob_gen_0 and 1 */
	__u32 chain_has_blob; /* 0: rules_gen, rules are allocated one by one */
	__u32 chain_table;
	__u32 chain_handle;
	__u32 chain_name;
	/* struct nft_table */
	__u32 table_name;
	__u32 table_handle;
	/* struct nft_base_chain */
	__u32 base_chain;
	__u32 base_policy;
	__u32 expression_size; /* struct nft_expr_ops */
	/* struct xt_table and xt_table_info, xt_target */
	__u32 xt_table_first; /* the table is the first argument of *t_do_table, not the third */
	__u32 xt_private;
	__u32 xt_name;
	__u32 xt_af;
	__u32 xt_size;
	__u32 xt_number;
	__u32 xt_underflow;
	__u32 xt_jumpstack;
	__u32 xt_entries;
	__u32 xt_target_name;
	__u32 one_cpu; /* counters stand in the entries themselves */
	struct xt_entry_layout xt_entry[4]; /* ip, ip6, arp, none */
	/* struct ebt_table and ebt_table_info */
	__u32 ebt_table_first;
	__u32 ebt_private;
	__u32 ebt_name;
	__u32 ebt_nentries;
	__u32 ebt_counters;
	__u32 cache_line; /* bytes: SMP_CACHE_BYTES */
	/* index of the argument that is the format, from 1 */
	__u32 ct_log_format; /* nf_ct_l4proto_log_invalid */
	__u32 log_format; /* nf_l4proto_log_invalid */
	__u32 connection_status; /* struct nf_conn, 0: unknown */
	/* struct net: the functions at the hooks of a family, 0: this kernel has none */
	__u32 net_hooks_ipv4;
	__u32 net_hooks_ipv6;
	__u32 net_hooks_arp;
	__u32 net_hooks_bridge;
	/* what a bridge notes of a frame that meets the hooks of IP */
	__u32 bridge_extension; /* SKB_EXT_BRIDGE_NF, plus one; 0: this kernel has none */
	__u32 bridge_port; /* struct nf_bridge_info: physinif, of older kernels physindev */
	__u32 bridge_port_is_device; /* the latter */
};

#endif
