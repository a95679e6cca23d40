/* The legacy tables of iptables, ip6tables and arptables: which rule dropped it, from the rules' own counters.
 *
 * ipt_do_table calls nothing for a rule, but adds to the counter of each rule that fits, one for each CPU
 * (net/ipv4/netfilter/ip_tables.c). A rule that drops counts only packets that die, so between two deaths no more
 * than one such counter rises. The counters are read when a packet dies; the first packet of a table has them
 * read before its rules run. */

#define XT_CHUNK 512 /* entries that one program looks at; 32 programs may follow each other */
#define XT_MOST_BEFORE 24 /* ... of them before a packet is counted */
#define XT_TARGET_BYTES 32 /* struct xt_entry_target */
#define XT_CONTINUE 0xffffffff /* the next rule decides: linux/netfilter/x_tables.h */
#define XT_DROP (-NF_DROP - 1) /* as struct xt_standard_target has it */
/* Packets that are not shown may take one part of XT_PAUSE of a CPU's time, that of XT_BURST_NS in advance. */
#ifdef SUMMARY
#define XT_PAUSE 8
#define XT_BURST_NS 1000000000ull
#else
#define XT_PAUSE 16
#define XT_BURST_NS 0ull
#endif

enum xt_family {
	XT_IP = 0,
	XT_IP6 = 1,
	XT_ARP = 2,
};

struct xt_visit {
	u64 skb;
	u64 table;
	u64 private;
	u64 exact; /* struct xt_entry_target's data of the target that was called and drops, 0: none */
	u64 function; /* that target's */
	u32 family; /* enum xt_family */
	u32 hook;
};

struct xt_chunk_key {
	u64 private;
	u32 generation; /* of all legacy tables */
	u16 cpu;
	u16 chunk;
};

struct xt_chunk {
	u64 pause_until; /* these two count in chunk 0 only */
	u32 unaccounted; /* packets that died in this table, with the counters left unread */
	u32 pad;
	u32 counts[XT_CHUNK]; /* low halves */
};

struct xt_scan {
	u64 skb; /* 0 while the counters are read for the first time */
	u64 begun;
	u64 entries; /* address */
	u64 exact;
	struct xt_chunk_key key;
	u32 size;
	u32 offset;
	u32 family;
	u32 policy;
	u32 risen;
	u32 candidates;
	u32 incomplete;
	u32 is_exact;
	u32 unaccounted; /* struct xt_chunk's, when the scan began */
	u32 candidate[XT_CANDIDATES];
};

BPF_PERCPU_ARRAY(xt_visits, struct xt_visit, SLOTS *WAYS);
BPF_PERCPU_ARRAY(xt_scans, struct xt_scan, 1);
BPF_PERCPU_ARRAY(xt_first_scans, struct xt_scan, 1);
BPF_PERCPU_ARRAY(xt_blank, struct xt_chunk, 1);
/* Each CPU has its own part of it (BPF_F_NO_COMMON_LRU): a shared one is cleared out long before it is full. */
BPF_F_TABLE("lru_hash", struct xt_chunk_key, struct xt_chunk, xt_chunks, XT_CHUNKS, 1 << 1);
BPF_PERCPU_ARRAY(target_calls, struct call, CALLS);
BPF_PROG_ARRAY(xt_first, 1);

inline_always struct xt_visit *xt_visit_of(u64 skb)
{
	int slot = slot_of(skb);
	struct xt_visit *visit = xt_visits.lookup(&slot);

	if (visit && visit->skb == skb)
		return visit;
	slot++;
	visit = xt_visits.lookup(&slot);
	return visit && visit->skb == skb ? visit : NULL;
}

/* REJECT sends its answer through the tables before the packet itself dies. */
inline_always struct xt_visit *new_xt_visit(u64 skb)
{
	int slot = slot_of(skb);
	struct xt_visit *first = xt_visits.lookup(&slot);
	struct xt_visit *second;

	slot++;
	second = xt_visits.lookup(&slot);
	if (!first || !second)
		return NULL;
	if (first->skb != skb && first->exact)
		return second;
	if (second->skb == skb)
		second->skb = 0;
	return first;
}

/* Of the table's first chunk on this CPU. */
inline_always void set_key(struct xt_chunk_key *key, const struct xt_visit *visit)
{
	key->private = visit->private;
	key->generation = table_changes();
	key->cpu = bpf_get_smp_processor_id();
	key->chunk = 0;
}

inline_always void begin_scan(struct xt_scan *scan, const struct xt_visit *visit, const struct netfilter_layout *layout,
			      union scratch *scratch)
{
	scan->begun = bpf_ktime_get_ns();
	scan->entries = visit->private + layout->xt_entries;
	scan->exact = visit->exact;
	set_key(&scan->key, visit);
	scan->size = read_u32(scratch, visit->private + layout->xt_size);
	scan->offset = 0;
	scan->family = visit->family;
	scan->policy = read_u32(scratch, visit->private + layout->xt_underflow + (visit->hook & 7) * sizeof(u32));
	scan->risen = 0;
	scan->candidates = 0;
	scan->incomplete = 0;
	scan->is_exact = 0;
}

/* A standard target with the verdict DROP: its struct xt_target has no name. */
inline_always int is_drop(u64 target, const struct netfilter_layout *layout, union scratch *scratch)
{
	if (read_u8(scratch, read_pointer(scratch, target + sizeof(u64)) + layout->xt_target_name))
		return 0;
	return (s32)read_u32(scratch, target + XT_TARGET_BYTES) == XT_DROP;
}

inline_always void add_candidate(struct xt_scan *scan, u32 offset)
{
	u32 place = scan->candidates;

	if (place < XT_CANDIDATES)
		scan->candidate[place] = offset;
	scan->candidates = place + 1;
}

/* One chunk of entries against what was read of them before. Not 0 when there are more. */
inline_always int scan_chunk(struct xt_scan *scan, const struct netfilter_layout *layout, u64 cpu_offset,
			     union scratch *scratch)
{
	u32 family = scan->family & 3;
	u32 offsets = layout->xt_entry[family].offsets;
	u32 counters = layout->xt_entry[family].counters;
	u32 offset = scan->offset;
	struct xt_chunk *chunk = xt_chunks.lookup(&scan->key);
	int is_new = !chunk;

	if (is_new) {
		int zero = 0;
		struct xt_chunk *blank = xt_blank.lookup(&zero);
		if (blank)
			xt_chunks.update(&scan->key, blank);
		chunk = xt_chunks.lookup(&scan->key);
		scan->incomplete = 1;
	}
	if (!chunk)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < XT_CHUNK; i++) {
		u64 entry = scan->entries + offset;
		u64 counter = entry + counters;
		u32 lengths;
		u32 target;
		u32 count;
		u32 rise;

		if (offset >= scan->size)
			break;
		lengths = read_u32(scratch, entry + offsets); /* target_offset, next_offset */
		target = (u16)lengths;
		if (!(lengths >> 16))
			return 0;
		if (!layout->one_cpu)
			counter = read_pointer(scratch, counter) + cpu_offset;
		count = read_u32(scratch, counter);
		rise = count - chunk->counts[i];
		chunk->counts[i] = count;
		if (scan->exact && entry + target + XT_TARGET_BYTES == scan->exact) {
			scan->is_exact = 1;
			scan->candidate[0] = offset;
		}
		if (rise && !is_new && !scan->is_exact && is_drop(entry + target, layout, scratch)) {
			add_candidate(scan, offset);
			scan->risen += rise;
		}
		offset += lengths >> 16;
	}
	scan->offset = offset;
	scan->key.chunk++;
	return offset < scan->size;
}

int read_first(struct pt_regs *ctx)
{
	struct netfilter_layout *layout = current_layout();
	int zero = 0;
	struct xt_scan *scan = xt_first_scans.lookup(&zero);
	union scratch scratch;

	if (scan && layout && scan_chunk(scan, layout, this_cpu_offset(&scratch), &scratch))
		xt_first.call(ctx, 0);
	return 0;
}

/* Of the NFPROTO_* that a struct xt_table has (linux/netfilter.h). */
inline_always u32 family_of(u8 protocol)
{
	return protocol == 2 ? XT_IP : protocol == 10 ? XT_IP6 : XT_ARP;
}

/* Not 0 when the table's counters must be read for the first time. */
inline_always int visit_table(struct pt_regs *ctx, union scratch *scratch)
{
	struct netfilter_layout *layout = current_layout();
	int zero = 0;
	struct xt_scan *scan = xt_first_scans.lookup(&zero);
	struct table_call call;
	struct xt_visit *visit;

	if (!layout || !scan)
		return 0;
	read_table_call(&call, ctx, layout->xt_table_first);
	visit = new_xt_visit(call.skb);
	if (!visit)
		return 0;
	visit->skb = call.skb;
	visit->table = call.table;
	visit->private = read_pointer(scratch, visit->table + layout->xt_private);
	visit->exact = 0;
	visit->function = 0;
	visit->family = family_of(read_u8(scratch, call.table + layout->xt_af));
	/* struct nf_hook_state begins with the hook: an int, on newer kernels a u8 */
	visit->hook = read_u8(scratch, call.state);
	set_key(&scan->key, visit);
	if (xt_chunks.lookup(&scan->key))
		return 0;
	begin_scan(scan, visit, layout, scratch);
	return 1;
}

/* ipt_do_table, ip6t_do_table, arpt_do_table */
int on_do_table(struct pt_regs *ctx)
{
	union scratch scratch;

	if (visit_table(ctx, &scratch))
		xt_first.call(ctx, 0);
	return 0;
}

/* A target's function dropped the packet: (skb, struct xt_action_param *), whose second member points to the target's
 * data. That lies in the entry of a legacy table, or in an expression of nf_tables (net/netfilter/nft_compat.c). */
inline_always void note_target(u64 skb, u64 parameters, u64 function, union scratch *scratch)
{
	struct netfilter_layout *layout = current_layout();
	struct xt_visit *visit = xt_visit_of(skb);
	u64 data = read_pointer(scratch, parameters + sizeof(u64));

	if (layout && visit) {
		u64 entries = visit->private + layout->xt_entries;
		if (data - entries < read_u32(scratch, visit->private + layout->xt_size)) {
			visit->exact = data;
			visit->function = function;
			return;
		}
	}
#ifdef FAMILY_NFT
	struct nft_visit *nft = nft_visit_of(skb);

	if (nft) {
		nft->expression = data - sizeof(u64);
		nft->function = function;
	}
#endif
}

/* reject_tg and reject_tg6 always drop, after they have answered. */
int on_drop_target(struct pt_regs *ctx)
{
	union scratch scratch;

	note_target(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_IP(ctx), &scratch);
	return 0;
}

/* Others may drop or not. */
int on_target(struct pt_regs *ctx)
{
	u64 sp = PT_REGS_SP(ctx);
	int slot = call_slot(sp);
	struct call *call = target_calls.lookup(&slot);

	if (!call)
		return 0;
	call->sp = sp;
	call->function = PT_REGS_IP(ctx);
	call->skb = PT_REGS_PARM1(ctx);
	call->registers = PT_REGS_PARM2(ctx);
	return 0;
}

int on_target_return(struct pt_regs *ctx)
{
	union scratch scratch;
	u64 sp = PT_REGS_SP(ctx);

	if ((u32)PT_REGS_RC(ctx) == XT_CONTINUE || (PT_REGS_RC(ctx) & NF_VERDICT_MASK) != NF_DROP)
		return 0;
#pragma clang loop unroll(disable)
	for (int slot = 0; slot < CALLS; slot++) {
		int key = slot;
		struct call *call = target_calls.lookup(&key);
		if (call && returns_from(call->sp, sp)) {
			note_target(call->skb, call->registers, call->function, &scratch);
			return 0;
		}
	}
	return 0;
}

inline_always int xt_has_detail(u64 skb, u64 location, const struct netfilter_layout *layout)
{
	return xt_visit_of(skb) && is_killer(layout, KILLER_HOOK_SLOW, location);
}

/* The entry that decided, where its target is a function; else the table and the hook. */
inline_always u64 xt_object(u64 skb)
{
	struct xt_visit *visit = xt_visit_of(skb);

	if (!visit)
		return 0;
	return visit->exact ? visit->exact : visit->private + visit->hook;
}

#ifdef SUMMARY
/* Not 0 when the rule is to be searched before the packet is counted. In a flood on a large table that takes too much:
 * then the table and the hook are what it is counted by. */
inline_always int xt_search_first(u64 skb, u32 notes)
{
	struct xt_visit *visit = xt_visit_of(skb);
	struct death *death = current_death();
	struct xt_chunk_key key;
	struct xt_chunk *chunk;

	if (!death || !visit || death->detail != DETAIL_XT || death->search != SEARCH_NONE || visit->exact)
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
inline_always u64 xt_found(const struct xt_scan *scan, const struct xt_visit *visit)
{
	if (scan->offset < scan->size || scan->incomplete || scan->candidates != 1 ||
	    scan->risen != scan->unaccounted + 1 || was_interrupted())
		return visit->private + visit->hook;
	return scan->entries + scan->candidate[0];
}

/* Goes back to on_kfree_skb when it waits for that. */
inline_always void count_by(struct bpf_raw_tracepoint_args *ctx, struct death *death, u64 object)
{
	if (death->search != SEARCH_GOES_ON)
		return;
	death->object = object;
	death->search = SEARCH_DONE;
	drop_details.call(ctx, DETAIL_COUNT);
	death->search = SEARCH_NONE;
	count_unsent(LOSS_ROWS);
}
#endif

inline_always void end_xt_visit(u64 skb)
{
	struct xt_visit *visit = xt_visit_of(skb);

	if (visit) {
		visit->skb = 0;
		visit->exact = 0;
	}
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

	if (!layout || !death || !scan || death->skb != ctx->args[0])
		return out_of_hand();
	if (!visit) { /* an interrupt's packet has its slot */
#ifdef SUMMARY
		count_by(ctx, death, 0);
#endif
		return out_of_hand();
	}
	if (scan->skb != death->skb) {
		begin_scan(scan, visit, layout, &scratch);
		if (!worth_reading(scan, death)) {
			visit->skb = 0;
			visit->exact = 0;
			return out_of_hand();
		}
		scan->skb = death->skb;
	}
	if (scan->offset < scan->size && scan_chunk(scan, layout, this_cpu_offset(&scratch), &scratch)) {
#ifdef SUMMARY
		if (scan->key.chunk >= XT_MOST_BEFORE)
			count_by(ctx, death, xt_found(scan, visit));
#endif
		drop_details.call(ctx, DETAIL_XT);
	}
#ifdef SUMMARY
	count_by(ctx, death, xt_found(scan, visit));
#endif
	drop_details.call(ctx, DETAIL_XT_SEND);
	scan->skb = 0; /* more entries than programs may follow each other: given up */
	return out_of_hand();
}

inline_always void fill_xt(struct xt_record *record, const struct xt_scan *scan, const struct xt_visit *visit,
			   const struct netfilter_layout *layout, union scratch *scratch)
{
	u64 jumpstack = read_pointer(scratch, visit->private + layout->xt_jumpstack);
	u64 length;
	u64 entry;

	record->function = visit->exact ? visit->function : 0;
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

int send_xt(struct bpf_raw_tracepoint_args *ctx)
{
	struct netfilter_layout *layout = current_layout();
	struct death *death = current_death();
	struct xt_visit *visit = xt_visit_of(ctx->args[0]);
	int zero = 0;
	struct xt_scan *scan = xt_scans.lookup(&zero);
	struct xt_record *record = NULL;
	struct xt_chunk *chunk;
	union scratch scratch;
	u64 now = bpf_ktime_get_ns();

	if (!layout || !death || !scan || !visit || scan->skb != ctx->args[0])
		return out_of_hand();
	scan->skb = 0;
	scan->key.chunk = 0;
	chunk = xt_chunks.lookup(&scan->key);
	if (chunk) {
		u64 from = chunk->pause_until > now ? chunk->pause_until : now;

		if (from > now + XT_BURST_NS)
			from = now + XT_BURST_NS;
		chunk->unaccounted = 0;
		chunk->pause_until = from + (now - scan->begun) * XT_PAUSE;
	}
#ifdef FAMILY_HOOKS
	if (death->is_sent && !scan->is_exact && !scan->candidates && !scan->incomplete && !was_interrupted()) {
		visit->skb = 0;
		visit->exact = 0;
		drop_details.call(ctx, DETAIL_HOOKS); /* its rules did not do it */
	}
#endif
	if (death->is_sent) {
		record = events.ringbuf_reserve(sizeof(*record));
		if (!record)
			count_unsent(LOSS_DETAIL);
	}
	if (record) {
		record->header.time_ns = death->time;
		record->header.skb = death->skb;
		record->header.type = RECORD_XT;
		record->header.size = sizeof(*record);
		record->unaccounted = scan->unaccounted;
		fill_xt(record, scan, visit, layout, &scratch);
		events.ringbuf_submit(record, 0);
	}
	visit->skb = 0;
	visit->exact = 0;
	return out_of_hand();
}
