/* A step of a journey: a probe notes it, and one program tells of it. */

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
	u32 fits_by_connection; /* it is what the filter asks for by other addresses of its connection */
	u32 pad;
};

/* The first for probes: none runs while another one does. The others, by enum step, for tracepoints. */
BPF_PERCPU_ARRAY(steps_seen, struct step_seen, STEPS);
#define OF_PROBES 0

BPF_ARRAY(step_fields, struct step_field, STEP_FIELDS);
BPF_PROG_ARRAY(tell_of_probe, 1);
BPF_PROG_ARRAY(tell_of_tracepoint, 1);

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
					 const struct place *place, u64 network, int frame, union scratch *scratch)
{
	struct journey *journey = journeys.lookup((u64 *)&buffer->address);
	struct settings *wanted = current_settings();
	struct flow flow = {};
	u32 fits;

	if (!wanted || (journey && journey->fits == 1) || (!journey && !seen->may_begin))
		return journey;
	read_flow(&flow, network, scratch);
	fits = flow_fits(&flow, wanted, buffer->protocol);
	if (fits == 1 && !expression_fits(wanted, buffer, network, &flow, frame, scratch))
		fits = flow.is_carrier ? 2 : 0;
	if (seen->fits_by_connection && fits != 1)
		fits = wanted->asks_expression ? 2 : 1;
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
	if (HAS_NFT && !family) { /* a chain of nf_tables */
		bpf_probe_read_kernel_str(record->chain, sizeof(record->chain),
					  (void *)read_pointer(scratch, table + layout->chain_name));
		record->hook = read_u32(scratch, table - layout->base_chain + OFF_nf_hook_ops__hooknum);
		table = read_pointer(scratch, table + layout->chain_table);
		record->family = read_u16(scratch, table + layout->table_handle + 12) & 0x3f; /* as in read_table() */
		bpf_probe_read_kernel_str(record->table, sizeof(record->table),
					  (void *)read_pointer(scratch, table + layout->table_name));
		return;
	}
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

inline_always void put_step(struct step_record *record, const struct step_seen *seen, const struct journey *journey)
{
	begin_record(record, bpf_ktime_get_ns(), seen->skb, RECORD_STEP);
	record->journey = journey->number;
	record->fits = journey->fits;
	record->function = seen->function;
	record->sp = seen->sp;
	record->value = seen->value;
	record->step = seen->step;
	record->cpu = bpf_get_smp_processor_id();
	record->pid = bpf_get_current_pid_tgid() >> 32;
	record->pad = 0;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
}

/* The packet as it is at this step. */
inline_always void put_packet(struct step_record *record, const struct buffer *buffer, const struct place *place,
			      u64 network, union scratch *scratch)
{
	struct settings *wanted = current_settings();
	u64 length = buffer->end > network ? buffer->end - network : 0;
	struct place route = {};

	if (wanted && buffer->dst)
		use_device(&route, read_pointer(scratch, buffer->dst + OFF_dst_entry__dev), wanted->netns_operations,
			   scratch);
	record->netns = place->netns;
	record->ifindex = place->ifindex;
	record->route_ifindex = route.ifindex;
	record->length = buffer->length;
	record->mark = buffer->mark;
	record->protocol = buffer->protocol;
	__builtin_memcpy(record->ifname, place->name, sizeof(record->ifname));
	__builtin_memcpy(record->route_ifname, route.name, sizeof(record->route_ifname));
	if (length > STEP_PACKET_BYTES)
		length = STEP_PACKET_BYTES;
	record->packet_length = read_bytes(record->packet, length, network) ? 0 : length;
}

inline_always void tell(void *ctx, struct step_seen *seen, u64 sp, int frame)
{
	struct settings *wanted = current_settings();
	struct step_record *record;
	struct journey *journey;
	struct buffer buffer;
	struct place place = {};
	union scratch scratch;
	u64 network;

	if (!wanted || !seen || !read_buffer(&buffer, seen->skb, &scratch))
		return;
	forget_no_mark(&buffer, &scratch);
	network = network_header(&buffer, &scratch);
	find_place(&place, NULL, &buffer, seen->socket, wanted->netns_operations, &scratch);
	journey = journey_of(seen, &buffer, &place, network, frame, &scratch);
	if (!journey)
		return;
	record = new_record();
	if (record) {
		put_step(record, seen, journey);
		put_packet(record, &buffer, &place, network, &scratch);
		record->is_task = is_on_task_stack(sp, &scratch);
		read_names(record, seen->table, seen->family, seen->hook, &scratch);
		read_fields(record, &buffer);
		record->callers_bytes = 0;
		if (seen->step == STEP_CONSUMED)
			record->callers_bytes = bpf_get_stack(ctx, record->callers, sizeof(record->callers), 0);
		events.ringbuf_submit(record, 0);
	}
	if (seen->step == STEP_CONSUMED)
		end_journey(buffer.address);
}

int tell_probe(struct pt_regs *ctx)
{
	int place = OF_PROBES;
	struct step_seen *seen = steps_seen.lookup(&place);

	if (seen)
		tell(ctx, seen, PT_REGS_SP(ctx), FRAME_OF_PROBE);
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
	tell(ctx, seen, stack, FRAME_OF_TRACEPOINT);
	seen->skb = 0;
	return 0;
}
