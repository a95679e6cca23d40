/* Deaths that pass no kfree_skb: what refuses the packet tells. */

/* What it is counted by, in place of count_drop(): the kernel gives no reason, and nothing is searched. */
inline_always int count_refused(struct row *row, struct flow *flow, u64 now)
{
	row->proto = flow->proto;
	if (SUMMARY) {
		count_flow(flow);
		return count_row(row);
	}
	__builtin_memcpy(row->saddr, flow->saddr, sizeof(row->saddr));
	__builtin_memcpy(row->daddr, flow->daddr, sizeof(row->daddr));
	row->dport = flow->dport;
	row->what = flow->what;
	return is_first(row, now);
}

/* What a SYN had in skb->_nfct before TCP took it off; 0: nothing, or nobody knows. It may be an earlier packet's that was
 * at the same address. */
inline_always u64 entry_before(u64 skb)
{
	struct engines_visit *visit = engines_visit_of(skb);

	return visit ? visit->entry : 0;
}

inline_always int is_its_own(u64 entry, const struct flow *flow, union scratch *scratch)
{
	struct tuples *of = (struct tuples *)scratch->bytes;

	return read_connection(of, entry) && is_of_connection(flow, of);
}

/* `entry`: the one of conntrack that the packet had before, 0: none. Not 0: it is told, and `detail`, if there, follows. */
inline_always int send_refused(struct pt_regs *ctx, u64 skb, struct refused *death, u32 source, u32 detail, u64 entry,
			       u64 now, union scratch *scratch)
{
	struct settings *wanted = current_settings();
	struct drop_record *record;
	struct row *row = &death->row;
	struct buffer *buffer = &death->buffer;
	struct place *place = &death->place;
	struct flow *flow = &death->flow;
	u64 network;
	u64 origin = 0;
	u32 notes = NOTE_NOT_OWN;
	int fits;

	*flow = (struct flow){};
	*place = (struct place){};
	if (!wanted || !read_buffer(buffer, skb, scratch))
		return 0;
	network = network_header(buffer, scratch);
	if (entry)
		origin = origin_of(skb, entry, scratch);
	forget(&origin, sizeof(origin));
	fits = drop_wanted(flow, place, &notes, buffer, network, &death->sock, &origin, 1, scratch);
	forget(&fits, sizeof(fits));
	forget(&notes, sizeof(notes));
	if (entry && !is_its_own(entry, flow, scratch)) {
		origin = 0;
		if (fits == 3)
			return 0;
	}
	forget(&origin, sizeof(origin));
	if (fits == NOT_WANTED)
		return 0;
	notes |= origin & NOTE_PAST;
	*row = (struct row){};
	if (SUMMARY || (FOLDS && wanted->first_of_a_sort && (fits & 1))) {
		*row = (struct row){.location = death->function, .object = death->sock, .reason = REFUSED_ALL};
		row->protocol = buffer->protocol;
		row->skb_iif = SUMMARY ? 0 : buffer->skb_iif;
		row->netns = place->netns;
		row->ifindex = place->ifindex;
		row->is_carrier = fits == 2;
		row->detail = detail;
		row->callers = SUMMARY ? 0 : origin;
		row->bits = death->bits;
		if (!count_refused(row, flow, now))
			return 0;
	}
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		if (!SUMMARY && !(row->location && fold(row)))
			count_unsent(LOSS_RING_FULL);
		return 0;
	}
	begin_drop_record(record, ctx, now, skb);
	record->row = *row;
	record->journey = journey_number(skb);
	record->location = death->function;
	record->source = source;
	record->is_carrier = fits == 2;
	record->notes = notes;
	record->detail = detail;
	if (HAS_CGROUP && death->sock)
		record->cgroup = socket_cgroup(death->sock, scratch);
	put_place(record, place);
	put_buffer(record, buffer, network, flow);
	events.ringbuf_submit(record, 0);
	if (HAS_PAST && (origin & NOTE_PAST))
		put_past(skb, entry, now, NULL, NULL, scratch);
	return 1;
}

inline_always void send_refused_syn(struct pt_regs *ctx, u64 skb, struct listener_visit *visit, union scratch *scratch)
{
	u64 now = bpf_ktime_get_ns();
	u64 entry = 0;

	if (HAS_ENGINES && HAS_PAST)
		entry = entry_before(skb);
	forget(&entry, sizeof(entry));
	visit->death.bits = visit->record.has_overflowed | visit->record.is_syn_queue_full << 1;
	if (send_refused(ctx, skb, &visit->death, SOURCE_TCP_CONN_REQUEST, RECORD_LISTENER, entry, now, scratch))
		put_listener(visit, skb, now);
}

/* Nothing follows: the packet says it all. */
inline_always void send_not_allowed(struct pt_regs *ctx, u64 skb, struct refused *death, union scratch *scratch)
{
	send_refused(ctx, skb, death, SOURCE_WG_ALLOWEDIPS_LOOKUP_SRC, 0, 0, bpf_ktime_get_ns(), scratch);
}

inline_always void send_discarded(struct pt_regs *ctx, u64 skb, struct refused *death, union scratch *scratch)
{
	u64 now = bpf_ktime_get_ns();

	if (send_refused(ctx, skb, death, SOURCE___KFREE_SKB, RECORD_CONNECTION, 0, now, scratch))
		put_connection(death->sock, skb, now, scratch);
}
