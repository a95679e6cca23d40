/* The summary: drops are counted here, by what they have in common, and of each sort only some are sent, from which user
 * space learns what the sort is. */
#define ROWS (SUMMARY ? 4096 : 1)
#define FLOWS (SUMMARY ? 1024 : 1)

struct row_count {
	u64 packets;
};

BPF_TABLE("percpu_hash", struct row, struct row_count, rows, ROWS);
BPF_TABLE("lru_hash", struct flow, u64, flows, FLOWS);

/* The flows of what is counted, without the port of the side that chose it freely. */
inline_always void count_flow(struct flow *flow)
{
	u64 one = 1;
	u64 *packets;

	flow->sport = 0;
	packets = flows.lookup(flow);
	if (packets)
		__sync_fetch_and_add(packets, 1);
	else
		flows.insert(flow, &one);
}

/* Counts the drop; not 0 when it is one to be sent: the first, the second, the fourth of its sort on this CPU... */
inline_always int count_row(struct row *row)
{
	struct row_count first = {1};
	struct row_count *count = rows.lookup(row);
	u64 packets;

	if (!count) {
		/* an interrupt may have made it meanwhile */
		if (!rows.insert(row, &first))
			return 1;
		count = rows.lookup(row);
		if (!count) {
			count_unsent(LOSS_ROWS);
			return 0;
		}
	}
	packets = count->packets + 1;
	__sync_fetch_and_add(&count->packets, 1);
	return !(packets & (packets - 1));
}
