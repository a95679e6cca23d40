/* The legacy tables: all entries of a table by one program, where the kernel has bpf_loop. The verifier looks at the reading
 * of an entry once then; as a loop it takes a fourth of what starting takes. */

/* What is the same for all entries, but for the chunk. On the stack of the program that loops: as numbers stand in struct
 * xt_scan, the verifier takes those here for known, and each time round for another case. */
struct xt_reading {
	struct xt_scan *scan;
	struct xt_chunk *chunk;
	struct netfilter_layout *layout;
	u64 cpu_offset;
};

/* The chunk that begins. 0: there is no room for it. */
inline_always struct xt_chunk *next_chunk(struct xt_scan *scan, u32 finds)
{
	u32 is_new = 0;
	struct xt_chunk *chunk = chunk_of(scan, &is_new);

	scan->place = 0;
	scan->finds = finds == FIND_RISEN && (is_new || scan->exact) ? FIND_EXACT : finds;
	return chunk;
}

/* Called by bpf_loop; the loader gives it the reading. Not 0 when there are no more entries. */
int read_xt_entry(void *ctx)
{
	struct xt_reading *reading;
	struct xt_chunk *chunk;
	struct xt_scan *scan;
	union scratch scratch;
	u32 offset;
	u32 place;

	asm volatile("%0 = %1" : "=r"(reading) : "r"(ctx)); /* bcc takes what a context points to for the kernel's */
	scan = reading->scan;
	chunk = reading->chunk;
	offset = scan->offset;
	place = scan->place & (XT_CHUNK - 1);
	if (!read_entry(scan, chunk, reading->layout, reading->cpu_offset, place, &offset, scan->finds, &scratch))
		return 1;
	scan->offset = offset;
	scan->place = place + 1;
	if (place + 1 < XT_CHUNK)
		return 0;
	scan->key.chunk++;
	chunk = next_chunk(scan, scan->finds == READ_ONLY ? READ_ONLY : FIND_RISEN);
	if (!chunk) {
		scan->incomplete = 1;
		return 1;
	}
	reading->chunk = chunk;
	return 0;
}

inline_always void scan_all(struct xt_scan *scan, struct netfilter_layout *layout, u64 cpu_offset, u32 finds)
{
	struct xt_reading reading = {scan, next_chunk(scan, finds), layout, cpu_offset};

	if (!reading.chunk || (!layout->one_cpu && !cpu_offset)) {
		scan->incomplete = 1;
		return;
	}
	bpf_loop(XT_MOST_CHUNKS * XT_CHUNK, (void *)CALLBACK_read_xt_entry, &reading, 0);
	if (scan->offset < scan->size)
		scan->incomplete = 1;
}
