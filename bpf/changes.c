/* When something that user space reads after a drop was changed last: what is read then may not be what the packet met. */

#define NETLINK_ROUTE 0 /* linux/netlink.h */
#define NLMSG_TYPE 4 /* offset in struct nlmsghdr */

/* linux/rtnetlink.h: RTNLGRP_*, what is told to whoever listens to routing, and to nobody where nobody does */
#define GROUP_LINK 1
#define GROUP_IPV4_ADDRESS 5
#define GROUP_IPV4_ROUTE 7
#define GROUP_IPV4_RULE 8
#define GROUP_IPV6_ADDRESS 9
#define GROUP_IPV6_ROUTE 11
#define GROUP_IPV6_RULE 19
#define GROUP_MPLS_ROUTE 27
#define GROUP_NEXTHOP 32
#define MESSAGE_DELLINK 17 /* RTM_DELLINK of linux/rtnetlink.h */
#define MESSAGE_DELADDR 21
#define LINK_INDEX (16 + 4) /* struct nlmsghdr; offset of ifi_index in struct ifinfomsg */
#define FIRST_ATTRIBUTE (16 + 8) /* struct nlmsghdr, struct ifaddrmsg */
#define ATTRIBUTE_DATA 4 /* struct rtattr */
#define MESSAGE_UPDSA 0x1a /* XFRM_MSG_UPDSA of linux/xfrm.h: it keeps its age, and may get another if_id */
#define MESSAGE_NEWAE 0x1e /* XFRM_MSG_NEWAE: only counters of an SA moved */

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

#define MOST_LEVELS 33 /* of user namespaces: create_user_ns, kernel/user_namespace.c */

/* Who made the outermost user namespace that it is in: he can make others inside, for all users that he may map. 0: root */
inline_always u32 maker(u64 net, union scratch *scratch)
{
	u64 users = read_pointer(scratch, net + OFF_net__user_ns);
	u32 user = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < MOST_LEVELS; i++) {
		u64 parent = read_pointer(scratch, users + OFF_user_namespace__parent);
		if (!parent)
			break;
		user = read_u32(scratch, users + OFF_user_namespace__owner);
		users = parent;
		end_of_body(i);
	}
	return user;
}

/* When an address, a joined group or an interface went, by a sum of it and its namespace: again one that goes counts for all
 * that share a place, but only where something went from their namespace as well (CHANGE_DEPARTURES). */
BPF_F_TABLE("array", int, u64, departure_times, CHANGE_PLACES, 1 << 10);

struct departed {
	u32 address[4]; /* of IPv6; ::ffff:a.b.c.d, or the number of an interface alone */
};

#define MAPPED bpf_htonl(0xffff)

inline_always void note_departure(u64 net, const struct departed *what)
{
	struct settings *wanted = current_settings();
	union scratch scratch;
	u32 inode = wanted ? netns_inode(net, wanted->netns_operations, &scratch) : 0;
	u32 sum = inode;
	u64 *time;
	int at;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 4; i++)
		sum = (sum ^ what->address[i]) * 0x9e3779b1;
	at = sum >> 20;
	time = departure_times.lookup(&at);
	if (!inode || !time)
		return;
	*time = bpf_ktime_get_ns();
	note_change(inode, CHANGE_DEPARTURES);
}

/* IFA_LOCAL is one of the first two attributes, IFA_ADDRESS the other one, if there is (inet_fill_ifaddr in
 * net/ipv4/devinet.c, inet6_fill_ifaddr in net/ipv6/addrconf.c, which writes the own address first). */
inline_always void note_address_left(u64 net, u64 message, u32 group, union scratch *scratch)
{
	u64 first = message + FIRST_ATTRIBUTE + ATTRIBUTE_DATA;
	struct departed left = {};

	if (group == GROUP_IPV6_ADDRESS) {
		read_bytes(left.address, sizeof(left.address), first);
		note_departure(net, &left);
		return;
	}
	left.address[2] = MAPPED;
	left.address[3] = read_u32(scratch, first);
	note_departure(net, &left);
	left.address[3] = read_u32(scratch, first + sizeof(u32) + ATTRIBUTE_DATA);
	note_departure(net, &left);
}

inline_always void note_user(u64 net)
{
	struct settings *wanted = current_settings();
	union scratch scratch;
	u32 inode = wanted ? netns_inode(net, wanted->netns_operations, &scratch) : 0;
	u32 *user = inode ? user_of(inode) : NULL;

	if (user)
		*user = maker(net, &scratch);
}

/* loopback_net_init(net): a namespace begins, which has its number already (net_ns_net_init, net/core/net_namespace.c). */
int on_netns_begin(struct pt_regs *ctx)
{
	note_change_in(PT_REGS_PARM1(ctx), CHANGE_NAMESPACE);
	note_user(PT_REGS_PARM1(ctx));
	return 0;
}

/* nlmsg_notify(sk, skb, portid, group, ...): of rtnetlink by rtnl_notify, which may be inlined where links change. The
 * message is at skb->data. */
int on_netlink_notify(struct pt_regs *ctx)
{
	union scratch scratch;
	u64 sock = PT_REGS_PARM1(ctx);
	u64 message = read_pointer(&scratch, PT_REGS_PARM2(ctx) + OFF_sk_buff__data);
	u32 group = PT_REGS_PARM4(ctx);
	u16 kind = read_u16(&scratch, message + NLMSG_TYPE);
	u64 net;

	if (read_u16(&scratch, sock + OFF_sock__sk_protocol) != NETLINK_ROUTE)
		return 0;
	net = read_pointer(&scratch, sock + OFF_sock____sk_common__skc_net);
	if (group == GROUP_LINK)
		note_change_in(net, CHANGE_LINKS);
	if (group == GROUP_LINK || group == GROUP_IPV4_ADDRESS || group == GROUP_IPV6_ADDRESS ||
	    group == GROUP_IPV4_ROUTE || group == GROUP_IPV6_ROUTE || group == GROUP_IPV4_RULE ||
	    group == GROUP_IPV6_RULE || group == GROUP_MPLS_ROUTE || group == GROUP_NEXTHOP)
		note_change_in(net, CHANGE_ROUTES);
	if (group == GROUP_LINK && kind == MESSAGE_DELLINK) { /* with the groups that were joined on it */
		struct departed left = {.address = {0, 0, 0, read_u32(&scratch, message + LINK_INDEX)}};
		note_departure(net, &left);
	}
	if ((group == GROUP_IPV4_ADDRESS || group == GROUP_IPV6_ADDRESS) && kind == MESSAGE_DELADDR)
		note_address_left(net, message, group, &scratch);
	return 0;
}

inline_always void note_group_left(u64 device, const struct departed *left)
{
	union scratch scratch;

	note_departure(read_pointer(&scratch, device + OFF_net_device__nd_net), left);
}

/* __ip_mc_dec_group(in_dev, addr, gfp): a group is left, or only somebody less is in it */
int on_group_left(struct pt_regs *ctx)
{
	struct departed left = {.address = {0, 0, MAPPED, PT_REGS_PARM2(ctx)}};
	union scratch scratch;

	note_group_left(read_pointer(&scratch, PT_REGS_PARM1(ctx) + OFF_in_device__dev), &left);
	return 0;
}

/* __ipv6_dev_mc_dec(idev, addr) */
int on_group6_left(struct pt_regs *ctx)
{
	struct departed left = {};
	union scratch scratch;

	read_bytes(left.address, sizeof(left.address), PT_REGS_PARM2(ctx));
	note_group_left(read_pointer(&scratch, PT_REGS_PARM1(ctx) + OFF_inet6_dev__dev), &left);
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
	u64 state = PT_REGS_PARM1(ctx);
	u32 event = read_u32(&scratch, PT_REGS_PARM2(ctx) + OFF_km_event__event);

	if (event != MESSAGE_NEWAE)
		note_state(state);
	if (event == MESSAGE_UPDSA)
		note_change_in(read_pointer(&scratch, state + OFF_xfrm_state__xs_net), CHANGE_SA_UPDATES);
	return 0;
}

/* km_migrate: policies and SAs get other addresses, in a namespace that it does not always say. */
int on_migrate(struct pt_regs *ctx)
{
	note_change(0, CHANGE_POLICIES);
	note_change(0, CHANGE_SAS);
	note_change(0, CHANGE_SA_UPDATES);
	return 0;
}

/* proc_sys_write: at its beginning and its end. Which, and whose, only the file would tell. */
int on_sysctl_write(struct pt_regs *ctx)
{
	note_change(0, CHANGE_SYSCTLS);
	return 0;
}

/* linux/rtnetlink.h: RTM_NEWQDISC to RTM_DELACTION; of a kind come NEW, DEL, GET and SET */
#define MESSAGE_NEWQDISC 36
#define MESSAGE_DELACTION 49
#define MESSAGE_NEWCHAIN 100
#define MESSAGE_DELCHAIN 101

BPF_TABLE("lru_hash", u64, u32, tc_requests, 64); /* the namespace of a change that a task is about to make */

inline_always int changes_tc(u32 message)
{
	if (message >= MESSAGE_NEWQDISC && message <= MESSAGE_DELACTION)
		return (message & 3) < 2;
	return message == MESSAGE_NEWCHAIN || message == MESSAGE_DELCHAIN;
}

/* rtnetlink_rcv_msg(skb, nlh, extack): newer kernels notify nobody of traffic control where nobody listens. */
int on_rtnetlink(struct pt_regs *ctx)
{
	struct settings *wanted = current_settings();
	u64 task = bpf_get_current_pid_tgid();
	union scratch scratch;
	u64 sock;
	u32 inode;

	if (!wanted || !changes_tc(read_u16(&scratch, PT_REGS_PARM2(ctx) + NLMSG_TYPE)))
		return 0;
	sock = read_pointer(&scratch, PT_REGS_PARM1(ctx) + OFF_sk_buff__sk);
	inode = netns_inode(read_pointer(&scratch, sock + OFF_sock____sk_common__skc_net), wanted->netns_operations,
			    &scratch);
	if (!inode)
		return 0;
	note_change(inode, CHANGE_TC);
	tc_requests.update(&task, &inode);
	return 0;
}

/* What begins before a drop may end after it. */
int on_rtnetlink_done(struct pt_regs *ctx)
{
	u64 task = bpf_get_current_pid_tgid();
	u32 *inode = tc_requests.lookup(&task);

	if (!inode)
		return 0;
	note_change(*inode, CHANGE_TC);
	tc_requests.delete(&task);
	return 0;
}

/* What attaches programs of BPF to cgroups and interfaces, and takes them off, at its beginning and its end. Which cgroup,
 * and whose interface, is not looked at. */
int on_program_change(struct pt_regs *ctx)
{
	note_change(0, CHANGE_PROGRAMS);
	return 0;
}
