/* The IPsec output path where it refuses: the search for policy and SA. It is made for a flow, often before there is
 * a packet: then a DROP record is made here of what the flow says. Where a packet waits for the answer, that is
 * noted for its death. */

#define LOWEST_ERROR ((u64)-4095) /* IS_ERR */
#define EREMOTE 66 /* no SA yet: xfrm_lookup_route gives a blackhole route instead, in which the packet will die */
#define LOOKUP_ICMP 1 /* XFRM_LOOKUP_ICMP: the kernel tries whether it may send an ICMP error, and has another way */

BPF_PERCPU_ARRAY(xfrm_lookups, struct xfrm_lookup, CALLS);

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
	u64 sp = PT_REGS_SP(ctx);
	int slot = call_slot(sp);
	struct xfrm_lookup *lookup = xfrm_lookups.lookup(&slot);

	if (!lookup)
		return 0;
	lookup->sp = PT_REGS_PARM5(ctx) & LOOKUP_ICMP ? 0 : sp;
	lookup->function = PT_REGS_IP(ctx);
	lookup->net = PT_REGS_PARM1(ctx);
	lookup->dst = PT_REGS_PARM2(ctx);
	lookup->flow = PT_REGS_PARM3(ctx);
	lookup->if_id = PT_REGS_PARM6(ctx);
	return 0;
}

inline_always void send_refused_flow(struct pt_regs *ctx, const struct xfrm_lookup *lookup, s32 error)
{
	struct settings *wanted = current_settings();
	struct drop_record *record;
	struct xfrm_record *note;
	struct flow flow = {};
	union scratch scratch;
	u32 netns;
	u32 mark;
	u64 now;

	count_seen(SOURCE_XFRM_LOOKUP);
	if (!wanted || !read_flowi(&flow, lookup, &scratch))
		return;
	mark = read_u32(&scratch, lookup->flow + OFF_flowi_common__flowic_mark);
	netns = netns_inode(lookup->net, wanted->netns_operations, &scratch);
	if (!netns_wanted(wanted, netns) || !mark_wanted(wanted, mark))
		return;
	if (wanted->asks_flow && !flow_matches(&flow, wanted))
		return;
	now = bpf_ktime_get_ns();
	note = begin_xfrm_record(lookup->flow, now, RECORD_XFRM);
	if (note) {
		note->lookup_errno = error;
		note->lookup_if_id = lookup->if_id;
		events.ringbuf_submit(note, 0);
	}
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		count_unsent(LOSS_RING_FULL);
		return;
	}
	record->header.time_ns = now;
	record->header.skb = lookup->flow;
	record->header.type = RECORD_DROP;
	record->header.size = sizeof(*record);
	__builtin_memset(&record->row, 0, sizeof(record->row));
	record->journey = 0;
	record->location = lookup->function;
	record->source = SOURCE_XFRM_LOOKUP;
	record->reason = 0;
	record->has_reason = 0;
	record->length = 0;
	record->mark = mark;
	record->ifindex = 0;
	record->skb_iif = 0;
	record->netns = netns;
	record->pid = bpf_get_current_pid_tgid() >> 32;
	record->cpu = bpf_get_smp_processor_id();
	record->is_carrier = 0;
	record->protocol = 0;
	record->notes = is_on_task_stack(PT_REGS_SP(ctx), &scratch) ? NOTE_TASK_STACK : 0;
	record->detail = 0;
	record->ifname[0] = 0;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	record->stack_bytes = bpf_get_stack(ctx, record->stack, sizeof(record->stack), 0);
	put_header(record, &flow);
	events.ringbuf_submit(record, 0);
}

inline_always const struct xfrm_lookup *lookup_that_returns(u64 sp)
{
#pragma clang loop unroll(disable)
	for (int slot = 0; slot < CALLS; slot++) {
		int key = slot;
		struct xfrm_lookup *lookup = xfrm_lookups.lookup(&key);

		if (lookup && returns_from(lookup->sp, sp))
			return lookup;
	}
	return NULL;
}

/* Of a packet that waits the first answer counts: the next may be for an ICMP error about it. */
int on_xfrm_lookup_return(struct pt_regs *ctx)
{
	struct xfrm_waiting *waiting = current_waiting();
	struct xfrm_refusal *refusal = current_refusal();
	u64 answer = PT_REGS_RC(ctx);
	int failed = answer >= LOWEST_ERROR;
	const struct xfrm_lookup *lookup;

	if (!waiting || !refusal)
		return 0;
	if (waiting->skb && waiting->task == bpf_get_current_pid_tgid()) {
		if (waiting->route)
			return 0;
		waiting->route = answer;
		lookup = failed ? lookup_that_returns(PT_REGS_SP(ctx)) : NULL;
		if (!lookup)
			return 0;
		refusal->skb = waiting->skb;
		refusal->lookup_errno = answer;
		refusal->if_id = lookup->if_id;
		refusal->audit = 0;
	} else if (failed && answer != (u64)-EREMOTE) {
		lookup = lookup_that_returns(PT_REGS_SP(ctx));
		if (lookup)
			send_refused_flow(ctx, lookup, answer);
	}
	return 0;
}
