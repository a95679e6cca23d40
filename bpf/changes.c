/* When something that user space reads after a drop was changed last: what is read then may not be what the packet met. */

#define NETLINK_ROUTE 0 /* linux/netlink.h */

/* linux/rtnetlink.h: RTNLGRP_*, what is told to whoever listens to routing, and to nobody where nobody does */
#define GROUP_LINK 1
#define GROUP_IPV4_ADDRESS 5
#define GROUP_IPV4_ROUTE 7
#define GROUP_IPV4_RULE 8
#define GROUP_IPV6_ADDRESS 9
#define GROUP_IPV6_ROUTE 11
#define GROUP_IPV6_RULE 19
#define GROUP_NEXTHOP 32
#define MESSAGE_NEWAE 0x1e /* XFRM_MSG_NEWAE of linux/xfrm.h: only counters of an SA moved */

/* The time of the last change of each kind (enum change), by the number of the namespace. Numbers share a place when they
 * agree in their last bits: then a change of one counts for the other as well, and none is ever pushed out. In place
 * 0 is what changed for all. User space maps it into its memory, as xt_changes (bpf/netfilter.c). */
BPF_F_TABLE("array", int, u64, change_times, CHANGE_PLACES *CHANGE_KINDS, 1 << 10);

inline_always void note_change(u32 inode, u32 kind)
{
	int at = (inode & (CHANGE_PLACES - 1)) * CHANGE_KINDS + kind;
	u64 *time = change_times.lookup(&at);

	if (time)
		*time = bpf_ktime_get_ns();
}

inline_always void note_change_in(u64 net, u32 kind)
{
	struct settings *wanted = current_settings();
	union scratch scratch;
	u32 inode = wanted ? netns_inode(net, wanted->netns_operations, &scratch) : 0;

	if (inode)
		note_change(inode, kind);
}

/* loopback_net_init(net): a namespace begins, which has its number already (net_ns_net_init, net/core/net_namespace.c). */
int on_netns_begin(struct pt_regs *ctx)
{
	note_change_in(PT_REGS_PARM1(ctx), CHANGE_NAMESPACE);
	return 0;
}

/* nlmsg_notify(sk, skb, portid, group, ...): of rtnetlink by rtnl_notify, which may be inlined where links change. */
int on_netlink_notify(struct pt_regs *ctx)
{
	union scratch scratch;
	u64 sock = PT_REGS_PARM1(ctx);
	u32 group = PT_REGS_PARM4(ctx);
	u64 net;

	if (read_u16(&scratch, sock + OFF_sock__sk_protocol) != NETLINK_ROUTE)
		return 0;
	net = read_pointer(&scratch, sock + OFF_sock____sk_common__skc_net);
	if (group == GROUP_LINK)
		note_change_in(net, CHANGE_LINKS);
	if (group == GROUP_LINK || group == GROUP_IPV4_ADDRESS || group == GROUP_IPV6_ADDRESS ||
	    group == GROUP_IPV4_ROUTE || group == GROUP_IPV6_ROUTE || group == GROUP_IPV4_RULE ||
	    group == GROUP_IPV6_RULE || group == GROUP_NEXTHOP)
		note_change_in(net, CHANGE_ROUTES);
	return 0;
}

/* km_policy_notify(xp, dir, c): NULL for a flush; but each that goes is xfrm_policy_kill(policy)'s, also of old age */
int on_policy_change(struct pt_regs *ctx)
{
	union scratch scratch;

	note_change_in(read_pointer(&scratch, PT_REGS_PARM1(ctx) + OFF_xfrm_policy__xp_net), CHANGE_POLICIES);
	return 0;
}

inline_always void note_state(u64 state)
{
	union scratch scratch;

	note_change_in(read_pointer(&scratch, state + OFF_xfrm_state__xs_net), CHANGE_SAS);
}

/* __xfrm_state_delete(x) */
int on_state_end(struct pt_regs *ctx)
{
	note_state(PT_REGS_PARM1(ctx));
	return 0;
}

/* km_state_notify(x, c): NULL for a flush; but each that goes has its end. */
int on_state_notify(struct pt_regs *ctx)
{
	union scratch scratch;

	if (read_u32(&scratch, PT_REGS_PARM2(ctx) + OFF_km_event__event) != MESSAGE_NEWAE)
		note_state(PT_REGS_PARM1(ctx));
	return 0;
}

/* km_migrate: policies and SAs get other addresses, in a namespace that it does not always say. */
int on_migrate(struct pt_regs *ctx)
{
	note_change(0, CHANGE_POLICIES);
	note_change(0, CHANGE_SAS);
	return 0;
}

/* proc_sys_write: at its beginning and its end. Which, and whose, only the file would tell. */
int on_sysctl_write(struct pt_regs *ctx)
{
	note_change(0, CHANGE_SYSCTLS);
	return 0;
}
