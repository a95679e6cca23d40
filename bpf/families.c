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

/* `receiver`: the struct sock that the tracepoint names, 0: none, or this kernel does not say */
inline_always void begin_death(u64 skb, u64 location, u64 receiver, union scratch *scratch)
{
	struct netfilter_layout *layout = current_layout();
	struct death *death = current_death();
	u64 sock;

	if (!death || !layout)
		return;
	death->skb = skb;
	death->detail = 0;
	death->search = SEARCH_NONE;
	if (is_killer(layout, KILLER_HOOK_SLOW, location) || is_killer(layout, KILLER_DO_CHAIN, location) ||
	    is_killer(layout, KILLER_BRIDGE, location) || is_killer(layout, KILLER_REINJECT, location))
		death->detail = netfilter_detail(skb, location, layout);
	sock = HAS_SOCKET ? refusing_socket(skb, receiver, scratch) : 0;
	if (sock && location && !death->detail) {
		death->detail = RECORD_SOCKET;
		death->object = sock;
	}
}

/* enum record_type of the record that follows the DROP record, 0: none */
inline_always u32 detail_to_come(void)
{
	struct death *death = current_death();

	return death ? death->detail : 0;
}

/* What did it, as far as it is known without a search, beside the record that follows. */
inline_always u64 row_object(const struct buffer *buffer, u64 receiver)
{
	struct death *death = current_death();
	struct engines_visit *visit;

	if (HAS_SOCKET && death && death->detail == RECORD_SOCKET)
		return death->object;
	if (HAS_NFT && death && death->detail == RECORD_NFT)
		return nft_object(buffer->address);
	if (HAS_XT && death && death->detail == RECORD_XT)
		return death->search == SEARCH_TOLD ? death->object : xt_object(buffer->address);
	visit = HAS_ENGINES ? engines_visit_of(buffer->address) : NULL;
	return visit && visit->record.refuser ? visit->record.refuser : receiver;
}

#define ROW_INVALID (1ULL << 62) /* in row.bits, beside those of count_xfrm */

/* Counts the drop; not 0 when it is to be sent as well. */
inline_always int count_drop(struct row *row, const struct buffer *buffer, struct flow *flow, u64 receiver, u64 now,
			     union scratch *scratch)
{
	row->protocol = buffer->protocol;
	row->proto = flow->proto;
	row->detail = detail_to_come();
	row->object = row_object(buffer, receiver);
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
