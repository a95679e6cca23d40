/* The legacy tables: after a death, the table is searched for the rule; before the packet is counted, if it is to be. */

/* Not 0 when the rule is to be searched before the packet is counted. */
inline_always int xt_search_first(struct death *death, u32 notes)
{
	if (TRACE || death->detail != RECORD_XT || death->search != SEARCH_NONE)
		return 0;
	death->search = SEARCH_GOES_ON;
	death->time = bpf_ktime_get_ns();
	death->notes = notes;
	death->is_sent = 1; /* it is wanted */
	return 1;
}

/* In the summary of a flood on a large table searching takes too much: the table and the hook are what it is counted by. A
 * packet that is told is searched for anyway, but where the table takes more programs than may follow, it is told at once. */
inline_always int has_time_to_search(const struct xt_visit *visit, const struct death *death,
				     const struct netfilter_layout *layout, union scratch *scratch)
{
	struct xt_chunk_key key;
	struct xt_chunk *chunk;

	if (!SUMMARY)
		return read_u32(scratch, visit->private + layout->xt_number) <= XT_MOST_BEFORE * XT_CHUNK;
	set_key(&key, visit);
	chunk = xt_chunks.lookup(&key);
	return chunk && death->time + XT_BURST_NS >= chunk->pause_until;
}

/* The entry of the one rule that did it, which may be the chain's policy; where none is sure `otherwise`. */
inline_always u64 xt_found(const struct xt_scan *scan, u64 otherwise)
{
	if (scan->offset < scan->size || scan->incomplete || scan->candidates != 1 ||
	    scan->risen != scan->unaccounted + 1 || was_interrupted())
		return otherwise;
	return scan->entries + scan->candidate[0];
}

/* Goes back to on_kfree_skb when it waits for that. */
inline_always void count_by(struct bpf_raw_tracepoint_args *ctx, struct death *death, u64 object)
{
	if (TRACE || death->search != SEARCH_GOES_ON)
		return;
	/* an address is of one rule as long as none changes */
	death->object = SUMMARY || !object ? object : object ^ (u64)table_changes() << 48;
	death->search = SEARCH_DONE;
	death->is_again = 1;
	drop_details.call(ctx, DETAIL_COUNT);
	death->is_again = 0;
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
	u64 table; /* what is counted by where no rule is sure; 0: nothing, the packet is told */

	if (!layout || !death || !scan || death->skb != ctx->args[0])
		return out_of_hand();
	if (!visit) { /* an interrupt's packet has its slot */
		count_by(ctx, death, 0);
		return out_of_hand();
	}
	/* as a number: the verifier takes each place of a note for another pointer */
	table = SUMMARY ? visit->private + visit->hook : 0;
	if (scan->skb != death->skb) {
		if (visit->of.verdict)
			count_by(ctx, death, visit->of.verdict);
		if (!has_time_to_search(visit, death, layout, &scratch))
			count_by(ctx, death, table);
		begin_scan(scan, visit, layout, &scratch);
		if (!worth_reading(scan, death)) {
			end_visit(&visit->of);
			return out_of_hand();
		}
		scan->skb = death->skb;
	}
	if (HAS_BPF_LOOP) {
		scan_all(scan, layout, this_cpu_offset(), FIND_RISEN);
	} else if (scan->offset < scan->size && scan_chunk(scan, layout, this_cpu_offset(), FIND_RISEN, &scratch)) {
		if (scan->key.chunk >= XT_MOST_BEFORE)
			count_by(ctx, death, xt_found(scan, table));
		drop_details.call(ctx, RECORD_XT);
	}
	count_by(ctx, death, xt_found(scan, table));
	drop_details.call(ctx, DETAIL_SEND_XT);
	scan->skb = 0; /* more entries than programs may follow each other: given up */
	return out_of_hand();
}
