/* The IPsec output path where it refuses: the search for policy and SA. It is made for a flow, often before there is
 * a packet: then a DROP record is made here of what the flow says. Where a packet waits for the answer, that is
 * noted for its death. */

#define EREMOTE 66 /* no SA yet: xfrm_lookup_route gives a blackhole route instead, in which the packet will die */
#define LOOKUP_ICMP 1 /* XFRM_LOOKUP_ICMP: the kernel tries whether it may send an ICMP error, and has another way */

#define CONNECTING (1ULL << 32) /* in call.noted, above the if_id */

BPF_PERCPU_ARRAY(xfrm_lookups, struct calls, 1);

/* Tasks that have called connect() of a datagram socket, and since when they may be in it: whose stack is worth a look. */
BPF_TABLE("lru_hash", u64, u64, connecting_tasks, 256);
#define LONGEST_CONNECT 100000000 /* ns: the return may have been missed */

/* __ip4_datagram_connect, __ip6_datagram_connect */
int on_datagram_connect(struct pt_regs *ctx)
{
	u64 task = bpf_get_current_pid_tgid();
	u64 now = bpf_ktime_get_ns();

	connecting_tasks.update(&task, &now);
	return 0;
}

int on_datagram_connect_return(struct pt_regs *ctx)
{
	u64 task = bpf_get_current_pid_tgid();

	connecting_tasks.delete(&task);
	return 0;
}

/* The stack is whole at the entry of a function; at its return some kernels cannot look beyond the probe, and at the entry
 * neither, where somebody else probes the return: then that the task is in connect() is all that is known. */
inline_always int is_connecting(struct pt_regs *ctx)
{
	u64 task = bpf_get_current_pid_tgid();
	int zero = 0;
	struct send_code *code = send_code.lookup(&zero);
	union scratch scratch;
	u64 *callers = (u64 *)scratch.bytes;
	u64 *since = connecting_tasks.lookup(&task);
	int found = 0;

	if (!code || !since || !is_on_task_stack(PT_REGS_SP(ctx), &scratch))
		return 0;
	__builtin_memset(callers, 0, NEAREST * sizeof(*callers));
	bpf_get_stack(ctx, callers, NEAREST * sizeof(*callers), 0);
#pragma clang loop unroll(disable)
	for (int i = 0; i < NEAREST; i++) {
		if (is_in(&code->connecting[0], callers[i]) || is_in(&code->connecting[1], callers[i]) ||
		    is_in(&code->connecting[2], callers[i]))
			found = 1;
		end_of_body(i);
	}
	if (!callers[2])
		found |= bpf_ktime_get_ns() - *since < LONGEST_CONNECT;
	return found;
}

inline_always void begin_waiting(u64 skb)
{
	struct xfrm_waiting *waiting = current_waiting();

	if (!waiting)
		return;
	waiting->skb = skb;
	waiting->task = bpf_get_current_pid_tgid();
	waiting->route = 0;
}

/* (skb, ...) */
int on_waiting_first(struct pt_regs *ctx)
{
	begin_waiting(PT_REGS_PARM1(ctx));
	return 0;
}

/* (net, sk, skb, ...) */
int on_waiting_third(struct pt_regs *ctx)
{
	begin_waiting(PT_REGS_PARM3(ctx));
	return 0;
}

int on_waiting_return(struct pt_regs *ctx)
{
	struct xfrm_waiting *waiting = current_waiting();

	if (waiting)
		waiting->skb = 0;
	return 0;
}

/* (net, dst_orig, fl, sk, flags, if_id) */
int on_xfrm_lookup(struct pt_regs *ctx)
{
	int zero = 0;
	struct call *lookup = note_call(xfrm_lookups.lookup(&zero), ctx);

	if (!lookup)
		return 0;
	lookup->noted = (u32)PT_REGS_PARM6(ctx);
	if (is_connecting(ctx))
		lookup->noted |= CONNECTING;
	begin_policy_search(ctx);
	if (PT_REGS_PARM5(ctx) & LOOKUP_ICMP)
		lookup->sp = 0;
	return 0;
}

inline_always void send_refusal(const struct call *lookup, const struct policy_search *search, u64 now, s32 error)
{
	struct xfrm_record *record = begin_xfrm_record(lookup->third, now, RECORD_XFRM);

	if (!record)
		return;
	record->lookup_errno = error;
	record->lookup_if_id = lookup->noted;
	read_found(&record->policy, search);
	events.ringbuf_submit(record, 0);
}

/* Of a struct dst_entry: which family the flow is of that it is asked for. */
inline_always u16 family_of_route(u64 route, union scratch *scratch)
{
	return read_u16(scratch, read_pointer(scratch, route + OFF_dst_entry__ops) + OFF_dst_ops__family);
}

inline_always void send_refused_flow(struct pt_regs *ctx, const struct call *lookup, const struct policy_search *search,
				     s32 error)
{
	struct settings *wanted = current_settings();
	struct drop_record *record;
	struct flow flow = {};
	union scratch scratch;
	u32 netns;
	u32 mark;
	u64 now;

	count_seen(SOURCE_XFRM_LOOKUP);
	if (HAS_SENDS && is_on_task_stack(PT_REGS_SP(ctx), &scratch))
		note_send(lookup->fourth, error, 0, BY_POLICY);
	if (!wanted || !read_flowi(&flow, lookup->third, family_of_route(lookup->second, &scratch), &scratch))
		return;
	mark = read_u32(&scratch, lookup->third + OFF_flowi_common__flowic_mark);
	netns = netns_inode(lookup->first, wanted->netns_operations, &scratch);
	if (!netns_wanted(wanted, netns) || !mark_wanted(wanted, mark))
		return;
	if (wanted->asks_flow && !flow_matches(&flow, wanted))
		return;
	now = bpf_ktime_get_ns();
	send_refusal(lookup, search, now, error);
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		count_unsent(LOSS_RING_FULL);
		return;
	}
	begin_drop_record(record, ctx, now, lookup->third);
	record->location = lookup->function;
	record->source = SOURCE_XFRM_LOOKUP;
	record->mark = mark;
	record->netns = netns;
	record->notes = is_on_task_stack(PT_REGS_SP(ctx), &scratch) ? NOTE_TASK_STACK : 0;
	if (lookup->noted & CONNECTING)
		record->notes |= NOTE_CONNECTING;
	record->packet_length = put_header(record->packet, &flow);
	events.ringbuf_submit(record, 0);
}

/* Of a packet that waits the first answer counts: the next may be for an ICMP error about it. */
int on_xfrm_lookup_return(struct pt_regs *ctx)
{
	struct xfrm_waiting *waiting = current_waiting();
	struct xfrm_refusal *refusal = current_refusal();
	u64 answer = PT_REGS_RC(ctx);
	int failed = answer >= LOWEST_ERROR;
	int zero = 0;
	const struct call *lookup = take_call(xfrm_lookups.lookup(&zero), ctx);
	const struct policy_search *search = take_policy_search(ctx);

	if (!waiting || !refusal)
		return 0;
	if (waiting->skb && waiting->task == bpf_get_current_pid_tgid()) {
		if (waiting->route)
			return 0;
		waiting->route = answer;
		if (!lookup || !failed)
			return 0;
		refusal->skb = waiting->skb;
		refusal->lookup_errno = answer;
		refusal->if_id = lookup->noted;
		refusal->audit = 0;
		read_found(&refusal->policy, search);
	} else if (lookup && failed && answer != (u64)-EREMOTE) {
		send_refused_flow(ctx, lookup, search, answer);
	}
	return 0;
}
