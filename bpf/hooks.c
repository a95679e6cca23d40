/* Which functions are registered at netfilter's hooks, where a packet died in the loop over them and no probe saw one
 * of them answer drop. Which of them it can have been is for user space to see. */

/* linux/if_ether.h */
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV6 0x86dd
#define ARP_HOOKS 3 /* NF_ARP_NUMHOOKS of linux/netfilter_defs.h */

/* It died in the loop over the functions, and of those whose answers are watched none refused it. */
inline_always int nobody_refused(u64 skb, u64 location, const struct netfilter_layout *layout)
{
	struct engines_visit *visit = HAS_ENGINES ? engines_visit_of(skb) : NULL;

	if (visit && visit->record.refuser)
		return 0;
	return is_killer(layout, KILLER_HOOK_SLOW, location);
}

inline_always u64 if_net(u64 net, u64 netns_operations, union scratch *scratch)
{
	return netns_inode(net, netns_operations, scratch) ? net : 0;
}

/* In the order of find_place (bpf/place.c). */
inline_always u64 net_of(u64 skb, u64 netns_operations, union scratch *scratch)
{
	u64 device = read_pointer(scratch, skb + OFF_sk_buff__dev);
	u64 net = if_net(read_pointer(scratch, device + OFF_net_device__nd_net), netns_operations, scratch);
	u64 sock;

	if (net)
		return net;
	device = read_pointer(scratch, skb + OFF_sk_buff___skb_refdst) & ~1ULL; /* struct dst_entry */
	device = read_pointer(scratch, device + OFF_dst_entry__dev);
	net = if_net(read_pointer(scratch, device + OFF_net_device__nd_net), netns_operations, scratch);
	if (net)
		return net;
	sock = read_pointer(scratch, skb + OFF_sk_buff__sk);
	return if_net(read_pointer(scratch, sock + OFF_sock____sk_common__skc_net), netns_operations, scratch);
}

/* NFPROTO_* whose functions routed packets of an ethertype meet, 0: none that are known */
inline_always u32 hooked_family(u32 protocol)
{
	if (protocol == ETHERTYPE_IPV4)
		return NFPROTO_IPV4;
	if (protocol == ETHERTYPE_IPV6)
		return NFPROTO_IPV6;
	return protocol == ETHERTYPE_ARP ? NFPROTO_ARP : 0;
}

inline_always u32 hooks_of(u32 family, const struct netfilter_layout *layout)
{
	if (family == NFPROTO_IPV4)
		return layout->net_hooks_ipv4;
	if (family == NFPROTO_IPV6)
		return layout->net_hooks_ipv6;
	return family == NFPROTO_ARP ? layout->net_hooks_arp : 0;
}

/* `offset`: in struct net, of the pointers to the functions of a family, one for each hook; 0: there are none */
inline_always void read_hooks(struct hook_functions *found, u64 net, u32 offset, u32 hooks, union scratch *scratch)
{
#pragma clang loop unroll(disable)
	for (u32 hook = 0; hook < NF_HOOKS; hook++) {
		u64 list = read_pointer(scratch, net + offset + hook * sizeof(u64));
		u64 at = list + OFF_nf_hook_entries__hooks + OFF_nf_hook_entry__hook;
		u32 registered = read_u16(scratch, list + OFF_nf_hook_entries__num_hook_entries);

		if (!net || !offset || hook >= hooks || !list)
			registered = 0;
		found[hook].registered = registered;
		found[hook].pad = 0;
#pragma clang loop unroll(disable)
		for (u32 i = 0; i < HOOK_FUNCTIONS; i++) {
			found[hook].function[i] = read_pointer(scratch, at) & -is_less(i, registered);
			at += SIZE_nf_hook_entry;
			end_of_body(i);
		}
		end_of_body(hook);
	}
}

int send_hooks(struct bpf_raw_tracepoint_args *ctx)
{
	struct netfilter_layout *layout = current_layout();
	struct settings *wanted = current_settings();
	struct death *death = current_death();
	struct hooks_record *record;
	union scratch scratch;
	u32 family;
	u64 net;

	if (!layout || !wanted || !death || death->skb != ctx->args[0])
		return out_of_hand();
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		count_unsent(LOSS_DETAIL);
		return out_of_hand();
	}
	begin_record(record, death->time, death->skb, RECORD_HOOKS);
	net = net_of(ctx->args[0], wanted->netns_operations, &scratch);
	family = hooked_family(bpf_ntohs(read_u16(&scratch, ctx->args[0] + OFF_sk_buff__protocol)));
	record->family = family;
	record->pad = 0;
	read_hooks(record->own, net, hooks_of(family, layout), family == NFPROTO_ARP ? ARP_HOOKS : NF_HOOKS, &scratch);
	read_hooks(record->bridge, net, layout->net_hooks_bridge, NF_HOOKS, &scratch);
	events.ringbuf_submit(record, 0);
	return out_of_hand();
}
