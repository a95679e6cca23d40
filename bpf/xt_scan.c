/* The legacy tables: which counters of a table's rules rose since they were read last. */

#define XT_CHUNK                                                                                                       \
	512 /* entries that one program looks at; 32 programs may follow each other. With bpf_loop one looks at all */
#define XT_MOST_CHUNKS 48 /* xt_chunks has room for more: a packet may meet several tables */
/* ... of them before a packet is counted */
#define XT_MOST_BEFORE (HAS_BPF_LOOP ? XT_MOST_CHUNKS : 24)
#define XT_TARGET_BYTES 32 /* struct xt_entry_target */
#define XT_CONTINUE 0xffffffff /* the next rule decides: linux/netfilter/x_tables.h */
#define XT_DROP (-NF_DROP - 1) /* as struct xt_standard_target has it */
/* Packets that are not shown may take one part of XT_PAUSE of a CPU's time, that of XT_BURST_NS in advance. */
#define XT_PAUSE (SUMMARY ? 8 : 16)
#define XT_BURST_NS (SUMMARY ? 1000000000ull : 0ull)

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
	u32 place; /* of the next entry in its chunk; finds: what is done with it. Both with bpf_loop only */
	u32 finds;
	u32 candidate[XT_CANDIDATES];
};

BPF_PERCPU_ARRAY(xt_scans, struct xt_scan, 1);
BPF_PERCPU_ARRAY(xt_first_scans, struct xt_scan, 1);
BPF_PERCPU_ARRAY(xt_blank, struct xt_chunk, 1);
/* Each CPU has its own part of it (BPF_F_NO_COMMON_LRU): a shared one is cleared out long before it is full. */
BPF_F_TABLE("lru_hash", struct xt_chunk_key, struct xt_chunk, xt_chunks, XT_CHUNKS, 1 << 1);

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
	scan->exact = visit->of.verdict;
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

/* What was read of the entries before; of one that is new there is nothing to compare with. */
inline_always struct xt_chunk *chunk_of(struct xt_scan *scan, u32 *is_new)
{
	struct xt_chunk *chunk = xt_chunks.lookup(&scan->key);
	struct xt_chunk *blank;
	int zero = 0;

	if (chunk)
		return chunk;
	*is_new = 1;
	scan->incomplete = 1;
	blank = xt_blank.lookup(&zero);
	if (blank)
		xt_chunks.update(&scan->key, blank);
	return xt_chunks.lookup(&scan->key);
}

/* What is done with the entries of a chunk, beside reading their counters. A constant: the verifier follows all that a
 * loop may do, and more than once. */
#define READ_ONLY 0
#define FIND_EXACT 1 /* whose target dropped the packet */
#define FIND_RISEN 2 /* that drop, and whose counter has risen since it was read before */

/* The entry at this offset, which is number `place` of its chunk; the offset becomes that of the next. 0: there is none. */
inline_always int read_entry(struct xt_scan *scan, struct xt_chunk *chunk, const struct netfilter_layout *layout,
			     u64 cpu_offset, u32 place, u32 *offset, const int finds, union scratch *scratch)
{
	u32 family = scan->family & 3;
	u64 entry = scan->entries + *offset;
	u64 counter = entry + layout->xt_entry[family].counters;
	u32 lengths; /* target_offset, next_offset */
	u32 target;
	u32 count;
	u32 rise;

	if (*offset >= scan->size)
		return 0;
	lengths = read_u32(scratch, entry + layout->xt_entry[family].offsets);
	target = (u16)lengths;
	if (!(lengths >> 16))
		return 0;
	if (!layout->one_cpu)
		counter = read_pointer(scratch, counter) + cpu_offset;
	count = read_u32(scratch, counter);
	rise = count - chunk->counts[place];
	chunk->counts[place] = count;
	if (finds == FIND_EXACT && entry + target + XT_TARGET_BYTES == scan->exact) {
		scan->is_exact = 1;
		scan->candidate[0] = *offset;
	}
	if (finds == FIND_RISEN && rise && is_drop(entry + target, layout, scratch)) {
		add_candidate(scan, *offset);
		scan->risen += rise;
	}
	*offset += lengths >> 16;
	return 1;
}

/* Not 0 when there are more entries. */
inline_always int read_chunk(struct xt_scan *scan, struct xt_chunk *chunk, const struct netfilter_layout *layout,
			     u64 cpu_offset, const int finds, union scratch *scratch)
{
	u32 offset = scan->offset;

#pragma clang loop unroll(disable)
	for (int i = 0; i < XT_CHUNK; i++) {
		if (!read_entry(scan, chunk, layout, cpu_offset, i, &offset, finds, scratch))
			break;
	}
	scan->offset = offset;
	scan->key.chunk++;
	return offset < scan->size;
}

/* The next chunk of entries. Not 0 when there are more. */
inline_always int scan_chunk(struct xt_scan *scan, const struct netfilter_layout *layout, u64 cpu_offset,
			     const int finds, union scratch *scratch)
{
	u32 is_new = 0;
	struct xt_chunk *chunk = chunk_of(scan, &is_new);

	if (!chunk || (!layout->one_cpu && !cpu_offset)) {
		scan->incomplete = 1;
		return 0;
	}
	if (finds == READ_ONLY)
		return read_chunk(scan, chunk, layout, cpu_offset, READ_ONLY, scratch);
	if (is_new || scan->exact)
		return read_chunk(scan, chunk, layout, cpu_offset, FIND_EXACT, scratch);
	return read_chunk(scan, chunk, layout, cpu_offset, FIND_RISEN, scratch);
}
