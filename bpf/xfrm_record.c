/* What is told of IPsec: of a packet with its death, and of an SA when it is deleted. */

inline_always struct xfrm_record *begin_xfrm_record(u64 skb, u64 now, enum record_type type)
{
	struct xfrm_record *record = events.ringbuf_reserve(sizeof(*record));

	if (!record) {
		count_unsent(LOSS_DETAIL);
		return NULL;
	}
	begin_record(record, now, skb, type);
	record->audit = 0;
	record->counters = 0;
	record->has_state = 0;
	record->check_counters = 0;
	record->is_outbound = 0;
	record->is_refused = 0;
	record->check_dir = 0;
	record->check_mark = 0;
	record->lookup_errno = 0;
	record->lookup_if_id = 0;
	record->is_blackholed = 0;
	record->mtu = 0;
	record->netns = 0;
	record->pid = 0;
	record->comm[0] = 0;
	record->policy.found = POLICY_UNKNOWN;
	return record;
}

inline_always void put_notes(struct xfrm_record *record, const struct xfrm_visit *visit, const struct xfrm_check *check,
			     const struct xfrm_refusal *refusal)
{
	if (visit) {
		record->audit = visit->audit;
		__builtin_memcpy(record->spi_seen, visit->spi, sizeof(visit->spi));
		__builtin_memcpy(record->seq_seen, visit->seq, sizeof(visit->seq));
		record->counters = visit->risen;
	}
	if (check) {
		record->is_refused = 1;
		record->check_dir = check->direction;
		record->check_mark = check->mark;
		record->check_counters = check->risen;
		copy_found(&record->policy, &check->policy);
	}
	if (refusal) {
		record->audit |= refusal->audit;
		record->lookup_errno = refusal->lookup_errno;
		record->lookup_if_id = refusal->if_id;
		copy_found(&record->policy, &refusal->policy);
	}
}

/* Sends what is known of the packet's IPsec side, just before its DROP record. */
inline_always void send_xfrm(const struct buffer *buffer, u64 now, union scratch *scratch)
{
	struct xfrm_visit *visit = visit_of(buffer->address);
	struct xfrm_check *check = refusing_check_of(buffer->address);
	struct xfrm_refusal *refusal = refusal_of(buffer->address);
	struct xfrm_waiting *waiting = current_waiting();
	u64 state = last_state(buffer, scratch);
	u64 route = waiting && waiting->skb == buffer->address && waiting->route ? waiting->route : buffer->dst;
	u64 through = route ? read_pointer(scratch, route + OFF_dst_entry__xfrm) : 0;
	int blackholed = is_blackhole(buffer->dst, scratch);
	int came_in = is_there(visit) || is_there(check);
	struct xfrm_record *record;

	/* the SA of its route only counts once it is beyond what it came through */
	if (came_in)
		through = 0;
	if (!state && !came_in && !is_there(refusal) && !through && !blackholed)
		return;
	record = begin_xfrm_record(buffer->address, now, RECORD_XFRM);
	if (!record)
		return;
	put_notes(record, visit, check, refusal);
	record->is_blackholed = blackholed;
	if (through) {
		record->is_outbound = 1;
		record->mtu = route_mtu(route, scratch);
		state = through;
	}
	record->has_state = !!state;
	if (state)
		read_state(record, state, scratch);
	events.ringbuf_submit(record, 0);
}

/* An SA is an object too; what was noted of the packet tells its causes apart. */
inline_always void count_xfrm(struct row *row, const struct buffer *buffer, union scratch *scratch)
{
	struct xfrm_visit *visit = visit_of(buffer->address);
	struct xfrm_check *check = refusing_check_of(buffer->address);
	struct xfrm_refusal *refusal = refusal_of(buffer->address);

	if (visit) {
		row->bits = visit->risen;
		row->notes |= visit->audit << 28;
	}
	if (check)
		row->bits = check->risen | 1ULL << 63;
	if (refusal) {
		row->bits = (u32)refusal->lookup_errno;
		row->notes |= refusal->audit << 28;
	}
	if (!row->object)
		row->object = last_state(buffer, scratch);
	if (!row->object && buffer->dst)
		row->object = read_pointer(scratch, buffer->dst + OFF_dst_entry__xfrm);
}

/* (x): whoever does it, for whatever reason. An SA that has been deleted already is passed over. */
int on_state_delete(struct pt_regs *ctx)
{
	struct settings *wanted = current_settings();
	u64 state = PT_REGS_PARM1(ctx);
	struct xfrm_record *record;
	union scratch scratch;
	u32 netns;

	if (!wanted || read_u8(&scratch, state + OFF_xfrm_state__km__state) == ENUM_XFRM_STATE_DEAD)
		return 0;
	netns = netns_inode(read_pointer(&scratch, state + OFF_xfrm_state__xs_net), wanted->netns_operations, &scratch);
	if (!netns_wanted(wanted, netns))
		return 0;
	record = begin_xfrm_record(0, bpf_ktime_get_ns(), RECORD_XFRM_GONE);
	if (!record)
		return 0;
	record->netns = netns;
	record->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	record->has_state = 1;
	read_state(record, state, &scratch);
	events.ringbuf_submit(record, 0);
	return 0;
}
