/* Legacy ebtables: which rules a frame counted in, before it died. ebt_do_table adds to the counter of each rule that
 * fits, on this CPU (net/bridge/netfilter/ebtables.c); the counters are one array, so a small table is copied at
 * entry. Which of the rules drops is for user space to see. */

struct ebt_counter { /* linux/netfilter_bridge/ebtables.h */
	u64 packets;
	u64 bytes;
};

struct ebt_visit {
	u64 skb;
	u64 table;
	u64 counters; /* this CPU's */
	u32 hook;
	u32 entries;
	u32 generation;
	u32 watched;
	struct ebt_counter before[EBT_WATCHED];
};

BPF_PERCPU_ARRAY(ebt_visits, struct ebt_visit, SLOTS);

inline_always struct ebt_visit *ebt_visit_of(u64 skb)
{
	int slot = slot_of(skb);
	struct ebt_visit *visit = ebt_visits.lookup(&slot);

	return visit && visit->skb == skb ? visit : NULL;
}

int on_ebt_do_table(struct pt_regs *ctx)
{
	struct netfilter_layout *layout = current_layout();
	union scratch scratch;
	struct ebt_visit *visit;
	struct table_call call;
	u64 private;
	u64 size;
	int slot;

	if (!layout)
		return 0;
	read_table_call(&call, ctx, layout->ebt_table_first);
	slot = slot_of(call.skb);
	visit = ebt_visits.lookup(&slot);
	if (!visit)
		return 0;
	visit->skb = call.skb;
	visit->table = call.table;
	visit->hook = read_u8(&scratch, call.state);
	private = read_pointer(&scratch, visit->table + layout->ebt_private);
	visit->entries = read_u32(&scratch, private + layout->ebt_nentries);
	visit->generation = table_changes();
	visit->watched = 0;
	if (!visit->entries || visit->entries > EBT_WATCHED)
		return 0;
	size = visit->entries * sizeof(struct ebt_counter);
	/* COUNTER_OFFSET: each CPU's part begins on a cache line */
	visit->counters =
		private + layout->ebt_counters +
		(u64)bpf_get_smp_processor_id() * ((size + layout->cache_line - 1) & -(u64)layout->cache_line);
	asm volatile("" : "+r"(size)); /* the compiler knows the bound, the verifier has to see it */
	if (size > sizeof(visit->before))
		return 0;
	visit->watched = !read_bytes(visit->before, size, visit->counters);
	return 0;
}

inline_always void end_ebt_visit(u64 skb)
{
	struct ebt_visit *visit = ebt_visit_of(skb);

	if (visit)
		visit->skb = 0;
}

int send_ebt(struct bpf_raw_tracepoint_args *ctx)
{
	struct netfilter_layout *layout = current_layout();
	struct ebt_visit *visit = ebt_visit_of(ctx->args[0]);
	struct death *death = current_death();
	struct ebt_record *record;
	union scratch scratch;

	if (!layout || !visit || !death || death->skb != ctx->args[0])
		return out_of_hand();
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		count_unsent(LOSS_DETAIL);
		goto out;
	}
	begin_record(record, death->time, death->skb, RECORD_EBT);
	record->hook = visit->hook;
	record->entries = visit->entries;
	record->generation = visit->generation;
	record->watched = visit->watched && visit->generation == table_changes();
	__builtin_memset(record->counted, 0, sizeof(record->counted));
	bpf_probe_read_kernel_str(record->table, sizeof(record->table), (void *)(visit->table + layout->ebt_name));
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < EBT_WATCHED; i++) {
		if (!visit->watched || i >= visit->entries)
			break;
		if (read_pointer(&scratch, visit->counters + i * sizeof(struct ebt_counter)) !=
		    visit->before[i].packets)
			record->counted[i / 64] |= 1ULL << i % 64;
	}
	events.ringbuf_submit(record, 0);
out:
	visit->skb = 0;
	return out_of_hand();
}
