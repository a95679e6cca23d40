/* nf_tables: what is told of a death: the rule, its table, and the chains that the packet was in. */

inline_always void read_chain(struct nft_chain_seen *seen, u64 chain, const struct netfilter_layout *layout,
			      union scratch *scratch)
{
	seen->handle = read_pointer(scratch, chain + layout->chain_handle);
	bpf_probe_read_kernel_str(seen->name, sizeof(seen->name),
				  (void *)read_pointer(scratch, chain + layout->chain_name));
}

inline_always int holds(u64 chain, u64 expression, const struct netfilter_layout *layout, union scratch *scratch)
{
	for (int generation = 0; generation < 2; generation++) {
		u64 blob = read_pointer(scratch, chain + layout->chain_rules[generation]);
		u64 size = read_pointer(scratch, blob); /* struct nft_rule_blob */
		if (expression - blob - sizeof(u64) < size)
			return 1;
	}
	return 0;
}

inline_always void read_table(struct nft_record *record, u64 chain, const struct netfilter_layout *layout,
			      union scratch *scratch)
{
	u64 table = read_pointer(scratch, chain + layout->chain_table);
	u64 base = chain - layout->base_chain;

	record->table_handle = read_pointer(scratch, table + layout->table_handle);
	/* after the handle: u32 use; u16 family:6, flags:8, genmask:2 */
	record->family = read_u16(scratch, table + layout->table_handle + 12) & 0x3f;
	bpf_probe_read_kernel_str(record->table, sizeof(record->table),
				  (void *)read_pointer(scratch, table + layout->table_name));
	record->hook = read_u32(scratch, base + OFF_nf_hook_ops__hooknum);
	record->priority = read_u32(scratch, base + OFF_nf_hook_ops__priority);
	record->policy = read_u8(scratch, base + layout->base_policy);
}

/* The chain that holds the expression, among those that the packet was in; and those, oldest first. */
inline_always u64 read_way(struct nft_record *record, const struct nft_visit *visit,
			   const struct netfilter_layout *layout, union scratch *scratch)
{
	u32 oldest = visit->visits > NFT_VISITED ? visit->visits - NFT_VISITED : 0;
	u64 found = 0;

	record->visits = visit->visits;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < NFT_VISITED; i++) {
		u64 chain = visit->visited[(oldest + i) % NFT_VISITED];
		record->visited[i].handle = 0;
		record->visited[i].name[0] = 0;
		if (i >= visit->visits)
			chain = 0;
		if (chain)
			read_chain(&record->visited[i], chain, layout, scratch);
		if (chain && layout->chain_has_blob && visit->of.verdict &&
		    holds(chain, visit->of.verdict, layout, scratch))
			found = chain;
		end_of_body(i);
	}
	if (layout->chain_has_blob && visit->of.verdict && holds(visit->base, visit->of.verdict, layout, scratch))
		found = visit->base;
	return found;
}

int send_nft(struct bpf_raw_tracepoint_args *ctx)
{
	int zero = 0;
	struct nft_search *search = nft_searches.lookup(&zero);
	struct netfilter_layout *layout = current_layout();
	struct nft_visit *visit = nft_visit_of(ctx->args[0]);
	struct death *death = current_death();
	struct nft_record *record;
	union scratch scratch;
	u64 chain;

	if (!layout || !visit || !search || !death || death->skb != ctx->args[0])
		return out_of_hand();
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		count_unsent(LOSS_DETAIL);
		goto out;
	}
	begin_record(record, death->time, death->skb, RECORD_NFT);
	record->function = visit->of.verdict ? visit->function : 0;
	record->verdict = visit->of.verdict ? NFT_RULE : NFT_NO_VERDICT;
	read_table(record, visit->base, layout, &scratch);
	read_chain(&record->base, visit->base, layout, &scratch);
	chain = read_way(record, visit, layout, &scratch);
	record->chain.handle = 0;
	record->chain.name[0] = 0;
	if (chain)
		read_chain(&record->chain, chain, layout, &scratch);
	record->rule_handle = search->skb == death->skb ? search->found : 0;
	events.ringbuf_submit(record, 0);
out:
	search->skb = 0;
	end_visit(&visit->of);
	return out_of_hand();
}
