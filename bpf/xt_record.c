/* The legacy tables: what is told of a death: the rules that it can have been, and the way to them. */

inline_always void fill_xt(struct xt_record *record, const struct xt_scan *scan, const struct xt_visit *visit,
			   const struct netfilter_layout *layout, union scratch *scratch)
{
	u64 jumpstack = read_pointer(scratch, visit->private + layout->xt_jumpstack);
	u64 length;
	u64 entry;

	record->function = visit->of.verdict ? visit->function : 0;
	record->family = visit->family;
	record->hook = visit->hook;
	record->entries = read_u32(scratch, visit->private + layout->xt_number);
	record->size = scan->size;
	record->policy = scan->policy;
	record->generation = scan->key.generation;
	record->exact = scan->is_exact;
	record->incomplete = scan->incomplete || was_interrupted();
	record->risen = scan->risen;
	record->candidates = scan->is_exact ? 1 : scan->candidates;
	__builtin_memcpy(record->candidate, scan->candidate, sizeof(record->candidate));
	bpf_probe_read_kernel_str(record->table, sizeof(record->table), (void *)(visit->table + layout->xt_name));
	__builtin_memset(record->rule, 0, sizeof(record->rule));
	entry = scan->entries + scan->candidate[0];
	length = read_u32(scratch, entry + layout->xt_entry[scan->family & 3].offsets) >> 16;
	if (length > sizeof(record->rule))
		length = sizeof(record->rule);
	read_bytes(record->rule, length, entry);
	jumpstack = read_pointer(scratch, jumpstack + scan->key.cpu * sizeof(u64));
	record->jumps = XT_JUMPS;
#pragma clang loop unroll(disable)
	for (int i = 0; i < XT_JUMPS; i++)
		record->jump[i] = read_pointer(scratch, jumpstack + i * sizeof(u64)) - scan->entries;
}

/* The counters have been read: from here on packets are unaccounted for again, and reading takes a rest. */
inline_always void end_scan(struct xt_scan *scan)
{
	u64 now = bpf_ktime_get_ns();
	struct xt_chunk *chunk;
	u64 from;

	scan->skb = 0;
	scan->key.chunk = 0;
	chunk = xt_chunks.lookup(&scan->key);
	if (!chunk)
		return;
	from = chunk->pause_until > now ? chunk->pause_until : now;
	if (from > now + XT_BURST_NS)
		from = now + XT_BURST_NS;
	chunk->unaccounted = 0;
	chunk->pause_until = from + (now - scan->begun) * XT_PAUSE;
}

int send_xt(struct bpf_raw_tracepoint_args *ctx)
{
	struct netfilter_layout *layout = current_layout();
	struct death *death = current_death();
	struct xt_visit *visit = xt_visit_of(ctx->args[0]);
	int zero = 0;
	struct xt_scan *scan = xt_scans.lookup(&zero);
	struct xt_record *record = NULL;
	union scratch scratch;

	if (!layout || !death || !scan || !visit || scan->skb != ctx->args[0])
		return out_of_hand();
	end_scan(scan);
	if (HAS_HOOKS && death->is_sent && !scan->is_exact && !scan->candidates && !scan->incomplete &&
	    !was_interrupted()) {
		end_visit(&visit->of);
		drop_details.call(ctx, RECORD_HOOKS); /* its rules did not do it */
	}
	if (death->is_sent) {
		record = events.ringbuf_reserve(sizeof(*record));
		if (!record)
			count_unsent(LOSS_DETAIL);
	}
	if (record) {
		begin_record(record, death->time, death->skb, RECORD_XT);
		record->unaccounted = scan->unaccounted;
		fill_xt(record, scan, visit, layout, &scratch);
		events.ringbuf_submit(record, 0);
	}
	end_visit(&visit->of);
	return out_of_hand();
}
