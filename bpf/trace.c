/* The journey of a packet: what it meets on its way, step by step. A packet is followed from where the filter first fits,
 * by the address of its struct sk_buff, until that is freed: it stays the same when its addresses change or it is encrypted. */

/* What a probe knows of a step, for the program that tells of it. */
struct step_seen {
	u64 skb;
	u64 function;
	u64 sp;
	u64 value;
	u64 socket;
	u64 table; /* of a verdict: address of the struct nft_chain or xt_table */
	u32 step; /* enum step */
	u32 may_begin; /* a packet that is not followed is from here on, if it fits */
	u32 hook;
	u32 family;
};

/* The first for probes: none runs while another one does. The others, by enum step, for tracepoints. */
BPF_PERCPU_ARRAY(steps_seen, struct step_seen, STEPS);
#define OF_PROBES 0

#define NFPROTO_BRIDGE 7

BPF_ARRAY(step_fields, struct step_field, STEP_FIELDS);
BPF_PROG_ARRAY(tell_of_probe, 1);
BPF_PROG_ARRAY(tell_of_tracepoint, 1);

struct step_call {
	u64 skb;
	u64 journey;
	u64 function;
	u64 table;
	u32 hook;
	u32 family;
};

/* Calls whose return is watched, by their stack pointer. A function that jumps to another at its end shares that with it, and
 * both return at once, the last one first. */
#define TAILS 4
struct calls_here {
	u32 count;
	u32 pad;
	struct step_call call[TAILS];
};

#define STEP_CALLS 8192
BPF_TABLE("lru_hash", u64, struct calls_here, step_calls, STEP_CALLS);

inline_always struct step_seen *new_step(u32 step, int place)
{
	struct step_seen *seen = steps_seen.lookup(&place);

	if (seen) {
		__builtin_memset(seen, 0, sizeof(*seen));
		seen->step = step;
	}
	return seen;
}

/* The journey that the packet is on, or begins here. */
inline_always struct journey *journey_of(const struct step_seen *seen, const struct buffer *buffer,
					 const struct place *place, u64 network, union scratch *scratch)
{
	struct journey *journey = journeys.lookup((u64 *)&buffer->address);
	struct settings *wanted = current_settings();
	struct flow flow = {};
	u32 fits;

	if (!wanted || (journey && journey->fits == 1) || (!journey && !seen->may_begin))
		return journey;
	read_flow(&flow, network, scratch);
	fits = !flow.family ? !wanted->asks_flow : flow_matches(&flow, wanted) ? 1 : flow.is_carrier ? 2 : 0;
	if (journey) {
		if (fits == 1)
			journey->fits = 1;
		return journey;
	}
	if (!fits || !mark_wanted(wanted, buffer->mark) || !netns_wanted(wanted, place->netns) ||
	    !iface_wanted(wanted, place->name, place->ifindex, buffer->skb_iif))
		return NULL;
	return begin_journey(buffer->address, fits);
}

inline_always void read_fields(struct step_record *record, const struct buffer *buffer)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < STEP_FIELDS; i++) {
		int key = i;
		struct step_field *field = step_fields.lookup(&key);
		u64 base = field && field->is_shared ? buffer->end : buffer->address;
		record->fields[i & (STEP_FIELDS - 1)] = 0;
		if (field && field->place)
			read_bytes(&record->fields[i & (STEP_FIELDS - 1)], sizeof(u64), base + field->place - 1);
		end_of_body(i);
	}
}

inline_always void read_names(struct step_record *record, u64 table, u32 family, u32 hook, union scratch *scratch)
{
	struct netfilter_layout *layout = current_layout();

	record->table[0] = 0;
	record->chain[0] = 0;
	record->hook = hook;
	record->family = family;
	if (!layout || !table)
		return;
#ifdef FAMILY_NFT
	if (!family) { /* a chain of nf_tables */
		bpf_probe_read_kernel_str(record->chain, sizeof(record->chain),
					  (void *)read_pointer(scratch, table + layout->chain_name));
		record->hook = read_u32(scratch, table - layout->base_chain + OFF_nf_hook_ops__hooknum);
		table = read_pointer(scratch, table + layout->chain_table);
		record->family = read_u16(scratch, table + layout->table_handle + 12) & 0x3f; /* as in read_table() */
		bpf_probe_read_kernel_str(record->table, sizeof(record->table),
					  (void *)read_pointer(scratch, table + layout->table_name));
		return;
	}
#endif
	table += family == NFPROTO_BRIDGE ? layout->ebt_name : layout->xt_name;
	bpf_probe_read_kernel_str(record->table, sizeof(record->table), (void *)table);
}

inline_always struct step_record *new_record(void)
{
	struct step_record *record = events.ringbuf_reserve(sizeof(*record));

	if (!record)
		count_unsent(LOSS_STEPS);
	return record;
}

inline_always void tell(void *ctx, struct step_seen *seen, u64 sp)
{
	struct settings *wanted = current_settings();
	struct step_record *record;
	struct journey *journey;
	struct buffer buffer;
	struct place place = {};
	struct place route = {};
	union scratch scratch;
	u64 network;
	u64 length;

	if (!wanted || !seen || !read_buffer(&buffer, seen->skb, &scratch))
		return;
	network = network_header(&buffer, &scratch);
	find_place(&place, &buffer, seen->socket, wanted->netns_operations, &scratch);
	journey = journey_of(seen, &buffer, &place, network, &scratch);
	if (!journey)
		return;
	record = new_record();
	if (!record)
		goto out;
	if (buffer.dst)
		use_device(&route, read_pointer(&scratch, buffer.dst + OFF_dst_entry__dev), wanted->netns_operations,
			   &scratch);
	record->header.time_ns = bpf_ktime_get_ns();
	record->header.skb = buffer.address;
	record->header.type = RECORD_STEP;
	record->header.size = sizeof(*record);
	record->journey = journey->number;
	record->fits = journey->fits;
	record->function = seen->function;
	record->sp = seen->sp;
	record->value = seen->value;
	record->step = seen->step;
	record->cpu = bpf_get_smp_processor_id();
	record->pid = bpf_get_current_pid_tgid() >> 32;
	record->is_task = is_on_task_stack(sp, &scratch);
	record->netns = place.netns;
	record->ifindex = place.ifindex;
	record->route_ifindex = route.ifindex;
	record->length = buffer.length;
	record->mark = buffer.mark;
	record->protocol = buffer.protocol;
	record->pad = 0;
	__builtin_memcpy(record->ifname, place.name, sizeof(record->ifname));
	__builtin_memcpy(record->route_ifname, route.name, sizeof(record->route_ifname));
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	read_names(record, seen->table, seen->family, seen->hook, &scratch);
	read_fields(record, &buffer);
	record->callers_bytes = 0;
	if (seen->step == STEP_CONSUMED)
		record->callers_bytes = bpf_get_stack(ctx, record->callers, sizeof(record->callers), 0);
	length = buffer.end > network ? buffer.end - network : 0;
	if (length > STEP_PACKET_BYTES)
		length = STEP_PACKET_BYTES;
	record->packet_length = read_bytes(record->packet, length, network) ? 0 : length;
	events.ringbuf_submit(record, 0);
out:
	if (seen->step == STEP_CONSUMED)
		journeys.delete(&buffer.address);
}

int tell_probe(struct pt_regs *ctx)
{
	int place = OF_PROBES;
	struct step_seen *seen = steps_seen.lookup(&place);

	if (seen)
		tell(ctx, seen, PT_REGS_SP(ctx));
	return 0;
}

/* Functions, by which argument is the packet, from 1. */
inline_always int on_call(struct pt_regs *ctx, u64 skb, u64 socket, u32 may_begin)
{
	struct step_seen *seen;

	if (!may_begin && !is_followed(skb))
		return 0;
	seen = new_step(STEP_CALL, OF_PROBES);
	if (!seen)
		return 0;
	seen->skb = skb;
	seen->function = PT_REGS_IP(ctx);
	seen->sp = PT_REGS_SP(ctx);
	seen->socket = socket;
	seen->may_begin = may_begin;
	tell_of_probe.call(ctx, 0);
	return 0;
}

int on_call_1(struct pt_regs *ctx)
{
	return on_call(ctx, PT_REGS_PARM1(ctx), 0, 0);
}

int on_call_2(struct pt_regs *ctx)
{
	return on_call(ctx, PT_REGS_PARM2(ctx), 0, 0);
}

/* (struct sock *, struct sk_buff *, ...) */
int on_socket_call(struct pt_regs *ctx)
{
	return on_call(ctx, PT_REGS_PARM2(ctx), PT_REGS_PARM1(ctx), 0);
}

int on_call_3(struct pt_regs *ctx)
{
	return on_call(ctx, PT_REGS_PARM3(ctx), 0, 0);
}

int on_call_4(struct pt_regs *ctx)
{
	return on_call(ctx, PT_REGS_PARM4(ctx), 0, 0);
}

int on_call_5(struct pt_regs *ctx)
{
	return on_call(ctx, PT_REGS_PARM5(ctx), 0, 0);
}

/* (struct net *, struct sock *, struct sk_buff *): sent by this host */
int on_first_call(struct pt_regs *ctx)
{
	return on_call(ctx, PT_REGS_PARM3(ctx), PT_REGS_PARM2(ctx), 1);
}

/* A call whose return is to be told. */
inline_always void watch_return(struct pt_regs *ctx, u64 skb, u64 table, u32 family, u32 hook)
{
	struct journey *journey = journeys.lookup(&skb);
	u64 sp = PT_REGS_SP(ctx);
	struct calls_here none = {};
	struct calls_here *here;
	struct step_call *call;
	u32 at;

	if (!journey)
		return;
	here = step_calls.lookup_or_try_init(&sp, &none);
	if (!here)
		return;
	at = here->count < TAILS ? here->count : 0; /* so many are calls whose return was missed */
	call = &here->call[at & (TAILS - 1)];
	call->skb = skb;
	call->journey = journey->number;
	call->function = PT_REGS_IP(ctx);
	call->table = table;
	call->hook = hook;
	call->family = family;
	here->count = at + 1;
}

int on_watched_call_1(struct pt_regs *ctx)
{
	watch_return(ctx, PT_REGS_PARM1(ctx), 0, 0, 0);
	return 0;
}

int on_watched_call_2(struct pt_regs *ctx)
{
	watch_return(ctx, PT_REGS_PARM2(ctx), 0, 0, 0);
	return 0;
}

int on_watched_call_3(struct pt_regs *ctx)
{
	watch_return(ctx, PT_REGS_PARM3(ctx), 0, 0, 0);
	return 0;
}

int on_watched_call_4(struct pt_regs *ctx)
{
	watch_return(ctx, PT_REGS_PARM4(ctx), 0, 0, 0);
	return 0;
}

int on_watched_call_5(struct pt_regs *ctx)
{
	watch_return(ctx, PT_REGS_PARM5(ctx), 0, 0, 0);
	return 0;
}

/* The call that returns here: the machine has taken the return address, on some, and the trampoline may have put one. */
inline_always int returning_call(struct pt_regs *ctx, struct step_call *found, u64 *sp)
{
#pragma clang loop unroll(disable)
	for (int words = 0; words < 3; words++) {
		u64 key = PT_REGS_SP(ctx) - words * sizeof(u64);
		struct calls_here *here = step_calls.lookup(&key);
		if (here && here->count) {
			here->count--;
			*found = here->call[here->count & (TAILS - 1)];
			*sp = key;
			if (!here->count)
				step_calls.delete(&key);
			return 1;
		}
	}
	return 0;
}

/* What a call returned whose packet may be gone: nothing is said of that. */
inline_always void tell_returned(struct pt_regs *ctx, const struct step_call *call, u64 sp, u32 step)
{
	struct step_record *record = new_record();
	union scratch scratch;

	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	record->header.time_ns = bpf_ktime_get_ns();
	record->header.skb = call->skb;
	record->header.type = RECORD_STEP;
	record->header.size = sizeof(*record);
	record->step = step;
	record->journey = call->journey;
	record->function = call->function;
	record->sp = sp;
	record->value = PT_REGS_RC(ctx);
	if (step == STEP_VERDICT)
		read_names(record, call->table, call->family, call->hook, &scratch);
	events.ringbuf_submit(record, 0);
}

/* Most of the calls that a packet was in return after its death. */
int on_return(struct pt_regs *ctx)
{
	struct step_call call;
	u64 sp;

	if (returning_call(ctx, &call, &sp))
		tell_returned(ctx, &call, sp, STEP_RETURN);
	return 0;
}

/* Netfilter: which chain or table answered what. */
int on_chain(struct pt_regs *ctx)
{
	u64 packet = PT_REGS_PARM1(ctx);
	u64 skb = 0;

	read_member(skb, packet, 0); /* struct nft_pktinfo begins with it */
	watch_return(ctx, skb, PT_REGS_PARM2(ctx), 0, 0);
	return 0;
}

/* struct nf_hook_state begins with the hook's number */
inline_always void watch_table(struct pt_regs *ctx, u32 table_first, u32 family)
{
	struct netfilter_layout *layout = current_layout();
	struct table_call call;
	union scratch scratch;

	read_table_call(&call, ctx, table_first);
	if (layout && !family)
		family = read_u8(&scratch, call.table + layout->xt_af);
	watch_return(ctx, call.skb, call.table, family, read_u8(&scratch, call.state));
}

/* ipt_do_table, ip6t_do_table, arpt_do_table */
int on_table(struct pt_regs *ctx)
{
	struct netfilter_layout *layout = current_layout();

	if (layout)
		watch_table(ctx, layout->xt_table_first, 0);
	return 0;
}

/* ebt_do_table */
int on_bridge_table(struct pt_regs *ctx)
{
	struct netfilter_layout *layout = current_layout();

	if (layout)
		watch_table(ctx, layout->ebt_table_first, NFPROTO_BRIDGE);
	return 0;
}

int on_verdict(struct pt_regs *ctx)
{
	struct step_call call;
	struct step_seen *seen;
	u64 sp;

	if (!returning_call(ctx, &call, &sp))
		return 0;
	if (journey_number(call.skb) != call.journey) { /* since 6.9 nft_do_chain itself frees what it drops */
		tell_returned(ctx, &call, sp, STEP_VERDICT);
		return 0;
	}
	seen = new_step(STEP_VERDICT, OF_PROBES);
	if (!seen)
		return 0;
	seen->skb = call.skb;
	seen->function = call.function;
	seen->sp = sp;
	seen->value = PT_REGS_RC(ctx);
	seen->table = call.table;
	seen->family = call.family;
	seen->hook = call.hook;
	tell_of_probe.call(ctx, 0);
	return 0;
}

/* Copies and segments. */
inline_always void tell_copied(struct pt_regs *ctx, u64 from, u64 to)
{
	struct step_seen *seen;

	seen = new_step(STEP_COPIED, OF_PROBES);
	if (!seen)
		return;
	seen->skb = from;
	seen->value = to;
	tell_of_probe.call(ctx, 0);
}

#define SEGMENTS 64

int on_copied(struct pt_regs *ctx)
{
	struct step_call call;
	union scratch scratch;
	u64 sp;
	u64 to = PT_REGS_RC(ctx);

	if (!returning_call(ctx, &call, &sp) || !to || to > -4096ULL || !is_followed(call.skb))
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < SEGMENTS; i++) { /* of a list, the first is told */
		u64 next;
		if (!to)
			break;
		continue_journey(call.skb, to);
		next = call.table ? read_pointer(&scratch, to + OFF_sk_buff__next) : 0;
		to = next;
		end_of_body(i);
	}
	tell_copied(ctx, call.skb, PT_REGS_RC(ctx));
	return 0;
}

/* What gives a list of segments back. */
int on_segmented(struct pt_regs *ctx)
{
	watch_return(ctx, PT_REGS_PARM1(ctx), 1, 0, 0);
	return 0;
}

/* ip_copy_metadata(to, from): a fragment is made of a packet */
int on_fragmented(struct pt_regs *ctx)
{
	if (!is_followed(PT_REGS_PARM2(ctx)))
		return 0;
	continue_journey(PT_REGS_PARM2(ctx), PT_REGS_PARM1(ctx));
	tell_copied(ctx, PT_REGS_PARM2(ctx), PT_REGS_PARM1(ctx));
	return 0;
}

/* Freed without a tracepoint: by a socket that has its data. */
int on_freed(struct pt_regs *ctx)
{
	u64 skb = PT_REGS_PARM1(ctx);
	struct step_seen *seen = is_followed(skb) ? new_step(STEP_CONSUMED, OF_PROBES) : NULL;

	if (!seen)
		return 0;
	seen->skb = skb;
	seen->function = PT_REGS_IP(ctx);
	tell_of_probe.call(ctx, 0);
	return 0;
}

/* Tracepoints: the packet is the first argument. */
inline_always void on_tracepoint(struct bpf_raw_tracepoint_args *ctx, u32 step, u32 may_begin)
{
	struct step_seen *seen;

	if (!may_begin && !is_followed(ctx->args[0]))
		return;
	seen = new_step(step, step);
	if (!seen)
		return;
	seen->skb = ctx->args[0];
	seen->may_begin = may_begin;
	tell_of_tracepoint.call(ctx, 0);
}

int on_receive(struct bpf_raw_tracepoint_args *ctx)
{
	on_tracepoint(ctx, STEP_RECEIVE, 1);
	return 0;
}

int on_queue(struct bpf_raw_tracepoint_args *ctx)
{
	on_tracepoint(ctx, STEP_QUEUE, 1);
	return 0;
}

int on_transmit(struct bpf_raw_tracepoint_args *ctx)
{
	on_tracepoint(ctx, STEP_TRANSMIT, 1);
	return 0;
}

int on_consume(struct bpf_raw_tracepoint_args *ctx)
{
	on_tracepoint(ctx, STEP_CONSUMED, 0);
	return 0;
}

int tell_tracepoint(struct bpf_raw_tracepoint_args *ctx)
{
	struct step_seen *seen = NULL;
	const void *arguments = ctx;
	u64 stack = 0;

#pragma clang loop unroll(disable)
	for (int place = STEP_RECEIVE; place <= STEP_CONSUMED; place++) {
		int key = place;
		struct step_seen *one = steps_seen.lookup(&key);
		if (one && one->skb == ctx->args[0])
			seen = one;
		end_of_body(place);
	}
	if (!seen)
		return 0;
	/* the arguments stand on the kernel's stack; read back, their address is a number that may be compared */
	read_bytes(&stack, sizeof(stack), &arguments);
	tell(ctx, seen, stack);
	seen->skb = 0;
	return 0;
}
