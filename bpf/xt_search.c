/* The legacy tables: after a death, the table is searched for the rule; in a summary before the packet is counted. */

/* Not 0 when the rule is to be searched before the packet is counted. In a flood on a large table that takes too much:
 * then the table and the hook are what it is counted by. */
inline_always int xt_search_first(u64 skb, u32 notes)
{
	struct xt_visit *visit = xt_visit_of(skb);
	struct death *death = current_death();
	struct xt_chunk_key key;
	struct xt_chunk *chunk;

	if (!death || !visit || death->detail != RECORD_XT || death->search != SEARCH_NONE || visit->of.verdict)
		return 0;
	death->time = bpf_ktime_get_ns();
	set_key(&key, visit);
	chunk = xt_chunks.lookup(&key);
	if (!chunk || death->time + XT_BURST_NS < chunk->pause_until)
		return 0;
	death->search = SEARCH_GOES_ON;
	death->notes = notes;
	death->is_sent = 1; /* it is wanted */
	return 1;
}

/* The entry of the one rule that did it, which may be the chain's policy; the table and the hook where none is sure. */
inline_always u64 xt_found(const struct xt_scan *scan, u64 table)
{
	if (scan->offset < scan->size || scan->incomplete || scan->candidates != 1 ||
	    scan->risen != scan->unaccounted + 1 || was_interrupted())
		return table;
	return scan->entries + scan->candidate[0];
}

/* Goes back to on_kfree_skb when it waits for that. */
inline_always void count_by(struct bpf_raw_tracepoint_args *ctx, struct death *death, u64 object)
{
	if (!SUMMARY || death->search != SEARCH_GOES_ON)
		return;
	death->object = object;
	death->search = SEARCH_DONE;
	drop_details.call(ctx, DETAIL_COUNT);
	death->search = SEARCH_NONE;
	count_unsent(LOSS_ROWS);
}

/* A packet that nobody asked for rises a counter as well. Its table is read too, unless that takes too much. */
inline_always int worth_reading(struct xt_scan *scan, const struct death *death)
{
	struct xt_chunk *chunk = xt_chunks.lookup(&scan->key);

	scan->unaccounted = chunk ? chunk->unaccounted : 0;
	if (death->is_sent || !chunk)
		return death->is_sent;
	if (death->time + XT_BURST_NS >= chunk->pause_until)
		return 1;
	chunk->unaccounted++;
	return 0;
}

/* First of the programs that read a table: they follow each other, chunk by chunk. */
int scan_xt(struct bpf_raw_tracepoint_args *ctx)
{
	struct netfilter_layout *layout = current_layout();
	struct death *death = current_death();
	struct xt_visit *visit = xt_visit_of(ctx->args[0]);
	int zero = 0;
	struct xt_scan *scan = xt_scans.lookup(&zero);
	union scratch scratch;
	u64 table;

	if (!layout || !death || !scan || death->skb != ctx->args[0])
		return out_of_hand();
	if (!visit) { /* an interrupt's packet has its slot */
		count_by(ctx, death, 0);
		return out_of_hand();
	}
	if (scan->skb != death->skb) {
		begin_scan(scan, visit, layout, &scratch);
		if (!worth_reading(scan, death)) {
			end_visit(&visit->of);
			return out_of_hand();
		}
		scan->skb = death->skb;
	}
	/* as a number: the verifier takes each place of a note for another pointer */
	table = visit->private + visit->hook;
	if (scan->offset < scan->size && scan_chunk(scan, layout, this_cpu_offset(), FIND_RISEN, &scratch)) {
		if (SUMMARY && scan->key.chunk >= XT_MOST_BEFORE)
			count_by(ctx, death, xt_found(scan, table));
		drop_details.call(ctx, RECORD_XT);
	}
	if (SUMMARY)
		count_by(ctx, death, xt_found(scan, table));
	drop_details.call(ctx, DETAIL_SEND_XT);
	scan->skb = 0; /* more entries than programs may follow each other: given up */
	return out_of_hand();
}
