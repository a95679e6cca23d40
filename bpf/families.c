/* What a death asks of each family: what it knows of the packet, what it counts by, and to forget it. */

/* Who knows more of this death than can be told at once: enum record_type of the record that follows. */
inline_always u32 netfilter_detail(u64 skb, u64 location, const struct netfilter_layout *layout)
{
	if (HAS_NFT && nft_has_detail(skb, location, layout))
		return RECORD_NFT;
	if (HAS_XT && xt_has_detail(skb, location, layout))
		return RECORD_XT;
	if (HAS_EBT && ebt_visit_of(skb))
		return RECORD_EBT;
	if (HAS_HOOKS && nobody_refused(skb, location, layout))
		return RECORD_HOOKS;
	return 0;
}

inline_always void refused_by(struct death *death, u32 record, u64 sock, u64 location)
{
	if (!sock || !location || death->detail)
		return;
	death->detail = record;
	death->sock = sock;
}

/* `receiver`: the struct sock that the tracepoint names, 0: none, or this kernel does not say */
inline_always void begin_death(u64 skb, u64 location, u64 receiver, s64 reason, union scratch *scratch)
{
	struct netfilter_layout *layout = current_layout();
	struct death *death = current_death();

	if (!death || !layout)
		return;
	death->skb = skb;
	death->detail = 0;
	death->search = SEARCH_NONE;
	death->origin = 0;
	death->is_again = 0;
	if (HAS_XFRM)
		begin_xfrm_death(skb, scratch);
	if (is_killer(layout, KILLER_HOOK_SLOW, location) || is_killer(layout, KILLER_DO_CHAIN, location) ||
	    is_killer(layout, KILLER_BRIDGE, location) || is_killer(layout, KILLER_REINJECT, location))
		death->detail = netfilter_detail(skb, location, layout);
	death->sock = 0;
	if (HAS_SOCKET)
		refused_by(death, RECORD_SOCKET, refusing_socket(skb, receiver, reason, scratch), location);
	if (HAS_LISTEN)
		refused_by(death, RECORD_LISTENER, refusing_listener(skb), location);
	if (HAS_CONNECTION)
		refused_by(death, RECORD_CONNECTION, refusing_connection(skb, receiver, scratch), location);
	death->cgroup_refuser = HAS_CGROUP_FILTER ? refused_in_cgroup_of(skb) : 0;
	if (!death->sock)
		death->sock = death->cgroup_refuser;
	death->receiver = KFREE_SKB_SOCKET_ARGUMENT ? receiver : death->sock;
}

/* What did it, as far as it is known without a search, beside the record that follows. */
inline_always u64 row_object(const struct death *death, const struct buffer *buffer, u64 receiver)
{
	struct engines_visit *visit;

	if (death->sock && death->detail != RECORD_CONNECTION)
		return death->sock;
	if (HAS_NFT && death->detail == RECORD_NFT)
		return nft_object(buffer->address);
	if (HAS_XT && death->detail == RECORD_XT)
		return death->object;
	visit = HAS_ENGINES ? engines_visit_of(buffer->address) : NULL;
	return visit && visit->record.refuser ? visit->record.refuser : receiver;
}

#define ROW_INVALID (1ULL << 62) /* in row.bits, beside those of count_xfrm */

/* Counts the drop; not 0 when it is to be sent as well. */
inline_always int count_drop(struct death *death, const struct buffer *buffer, struct flow *flow, u64 receiver, u64 now,
			     union scratch *scratch)
{
	struct row *row = &death->row;

	row->protocol = buffer->protocol;
	row->proto = flow->proto;
	row->detail = death->detail;
	row->object = row_object(death, buffer, receiver);
	if (HAS_XFRM)
		count_xfrm(row, buffer, scratch);
	if (!SUMMARY) {
		__builtin_memcpy(row->saddr, flow->saddr, sizeof(row->saddr));
		__builtin_memcpy(row->daddr, flow->daddr, sizeof(row->daddr));
		row->dport = flow->dport;
		row->what = flow->what;
		row->skb_iif = buffer->skb_iif;
		if (HAS_ENGINES && is_invalid(buffer->address))
			row->bits |= ROW_INVALID;
		return is_first(row, now);
	}
	if (flow->family)
		count_flow(flow);
	return count_row(row);
}

/* The records of what is known at once: they come before the DROP record. */
inline_always void send_notes(const struct buffer *buffer, u64 now, union scratch *scratch)
{
	if (HAS_XFRM)
		send_xfrm(buffer, now, scratch);
	if (HAS_ENGINES)
		send_engines(buffer->address, now, scratch);
}

/* The socket that the packet was for, or that sent it: struct sock, 0: unknown. */
inline_always u64 owner_of(const struct death *death, const struct buffer *buffer, u64 receiver)
{
	if (death->sock)
		return death->sock;
	return receiver ? receiver : buffer->sock;
}

/* With the packet's death, asked for or not: the next packet may get its address, and must not get its guilt. What
 * the detail's program needs is left to it. */
inline_always void end_visits(u64 skb, u32 detail)
{
	if (HAS_XFRM)
		end_xfrm_visit(skb);
	if (HAS_ENGINES)
		end_engines_visit(skb);
	if (HAS_NFT && detail != RECORD_NFT)
		end_nft_visit(skb);
	if (HAS_XT && detail != RECORD_XT)
		end_xt_visit(skb);
	if (HAS_EBT && detail != RECORD_EBT)
		end_ebt_visit(skb);
}
