/* The summary: drops are counted here, by what they have in common, and of each sort only some are sent, from which user
 * space learns what the sort is. */
#define ROWS (SUMMARY ? 4096 : 1)
#define FLOWS (SUMMARY ? 1024 : 1)

#define ROWS_OF_ONE 512 /* sorts of one namespace: anybody can make up ethertypes and interfaces in one of their own */

struct row_count {
	u64 packets;
};

BPF_TABLE("percpu_hash", struct row, struct row_count, rows, ROWS);
BPF_TABLE("lru_hash", struct flow, u64, flows, FLOWS);

BPF_TABLE("lru_hash", u32, u32, row_owners, FLOWS); /* rows by namespace */

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

/* Whether the namespace may have one more. */
inline_always int has_room(u32 *netns)
{
	u32 *have = row_owners.lookup(netns);
	u32 one = 1;

	if (!have)
		row_owners.insert(netns, &one);
	else if (*have >= ROWS_OF_ONE)
		return 0;
	else
		__sync_fetch_and_add(have, 1);
	return 1;
}

/* A sort of all that died there for that reason in this namespace: samples tell them apart. */
inline_always void merge(struct row *row)
{
	row->object = row->bits = 0;
	row->ifindex = row->protocol = row->is_carrier = 0;
	row->notes = row->proto = row->detail = 0;
}

/* Counts the drop; not 0 when it is one to be sent: the first, the second, the fourth of its sort on this CPU... */
inline_always int count_row(struct row *row)
{
	struct row_count first = {1};
	struct row_count *count = rows.lookup(row);
	u64 packets;

	if (!count && !has_room(&row->netns)) {
		merge(row);
		count = rows.lookup(row);
	}
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
