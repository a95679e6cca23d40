/* Drops are counted here, by what they have in common, and of each sort only some are sent, from which user space learns
 * what the sort is. In a summary all are counted; else those beyond the first of each second, which are sent. */
#define ROWS (SUMMARY ? 4096 : FOLDS ? 8192 : 1)
#define FLOWS (SUMMARY ? 1024 : 1)
#define OWNERS (SUMMARY || FOLDS ? 1024 : 1)

/* Sorts of one namespace, or of all that one user has made without being root: anybody can make up ethertypes, interfaces
 * and flows in one of their own. */
#define ROWS_OF_ONE (SUMMARY ? 512 : 4096)

#define SECOND_SHIFT 30 /* of nanoseconds */
#define FIRST_OF_ALL 500 /* sent in a second on a CPU, of all sorts beyond the first of each */

struct row_count {
	u64 packets; /* of a summary; else those that were not sent */
	u32 second; /* the last in which one came: of its time the bits from SECOND_SHIFT on */
	u32 sent; /* in that second */
};

/* What this CPU has sent of all sorts beyond the first of each; `first` is the count that a new row begins with. */
struct sent {
	u32 second;
	u32 packets;
	struct row_count first;
};

BPF_PERCPU_ARRAY(sent_in_all, struct sent, 1);

BPF_TABLE("percpu_hash", struct row, struct row_count, rows, ROWS);
BPF_TABLE("lru_hash", struct flow, u64, flows, FLOWS);

BPF_TABLE("lru_hash", u32, u32, row_owners, OWNERS); /* rows by namespace or user */

/* Whose namespaces are, by the last bits of their numbers, which are given anew from the lowest on; 0: root's, or older. */
BPF_ARRAY(netns_users, u32, CHANGE_PLACES);

inline_always u32 *user_of(u32 netns)
{
	int at = netns & (CHANGE_PLACES - 1);

	return netns_users.lookup(&at);
}

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

/* Whether the namespace, or the user whose it is, may have one more. */
inline_always int has_room(u32 *netns)
{
	u32 *user = user_of(*netns);
	u32 *owner = user && *user ? user : netns;
	u32 *have = row_owners.lookup(owner);
	u32 one = 1;

	if (!have)
		row_owners.insert(owner, &one);
	else if (*have >= ROWS_OF_ONE)
		return 0;
	else
		__sync_fetch_and_add(have, 1);
	return 1;
}

/* A sort of all that died there for that reason in this namespace: samples tell them apart. */
inline_always void merge(struct row *row, u64 location, u32 reason, u32 netns)
{
	*row = (struct row){.location = location, .reason = reason, .netns = netns, .is_rest = 1};
}

/* NULL: there is no room, nor for the rest of its namespace; or, where is_new, it counts one packet now. */
inline_always struct row_count *row_of(struct row *row, struct row_count *first, int *is_new)
{
	struct row_count *count = rows.lookup(row);

	*is_new = 0;
	if (!count && !has_room(&row->netns)) {
		merge(row, row->location, row->reason, row->netns);
		count = rows.lookup(row);
	}
	if (count)
		return count;
	/* an interrupt may have made it meanwhile */
	if (!rows.insert(row, first)) {
		count_unsent(NEW_ROWS);
		*is_new = 1;
		return NULL;
	}
	return rows.lookup(row);
}

/* Counts the drop; not 0 when it is one to be sent: the first, the second, the fourth of its sort on this CPU... */
inline_always int count_row(struct row *row)
{
	struct row_count first = {.packets = 1};
	int is_new;
	struct row_count *count = row_of(row, &first, &is_new);
	u64 packets;

	if (is_new)
		return 1;
	if (!count) {
		count_unsent(LOSS_ROWS);
		return 0;
	}
	packets = count->packets + 1;
	__sync_fetch_and_add(&count->packets, 1);
	return !(packets & (packets - 1));
}

/* It is not sent, but counted. 0: it has no row. */
inline_always int fold_in(struct row_count *count)
{
	if (!count)
		return 0;
	__sync_fetch_and_add(&count->packets, 1);
	count_unsent(FOLDED);
	return 1;
}

inline_always int fold(struct row *row)
{
	return fold_in(rows.lookup(row));
}

/* One of a row of many, which it may have to itself. 0: it could not be counted. */
inline_always int fold_rest(struct row *row)
{
	struct settings *wanted = current_settings();
	int zero = 0;
	struct sent *sent = sent_in_all.lookup(&zero);

	if (!sent || !wanted || !wanted->first_of_a_sort)
		return 0;
	if (fold(row))
		return 1;
	sent->first = (struct row_count){.packets = 1};
	if (rows.insert(row, &sent->first))
		return fold(row); /* an interrupt has made it meanwhile */
	count_unsent(NEW_ROWS);
	count_unsent(FOLDED);
	return 1;
}

/* Whether this CPU may send one more than the first of each sort. */
inline_always int has_time(struct sent *sent, u32 second)
{
	if (sent->second != second) {
		sent->second = second;
		sent->packets = 0;
	}
	return sent->packets++ < FIRST_OF_ALL;
}

/* Whether it is one to be sent; else it has been counted. One that has no room to be counted is sent. */
inline_always int is_first(struct row *row, u64 now)
{
	struct settings *wanted = current_settings();
	u32 second = now >> SECOND_SHIFT;
	int zero = 0;
	struct sent *sent = sent_in_all.lookup(&zero);
	struct row_count *count;

	if (!sent || !wanted)
		return 1;
	sent->first = (struct row_count){.second = second, .sent = 1};
	count = row_of(row, &sent->first, &zero);
	if (!count)
		return 1;
	if (count->second != second) {
		count->second = second;
		count->sent = 0;
	}
	if (!count->sent || (count->sent < wanted->first_of_a_sort && has_time(sent, second))) {
		count->sent++;
		return 1;
	}
	return !fold_in(count);
}
