/* skb:kfree_skb: the death of a packet, with its reason, place, stack and first bytes. */

struct place {
	u32 ifindex;
	u32 netns;
	char name[NAME_BYTES] __attribute__((aligned(8)));
};

inline_always int use_device(struct place *place, u64 device, u64 netns_operations, union scratch *scratch)
{
	u32 netns;

	if (!device)
		return 0;
	netns = netns_inode(read_pointer(scratch, device + OFF_net_device__nd_net), netns_operations, scratch);
	if (!netns)
		return 0;
	place->netns = netns;
	place->ifindex = read_u32(scratch, device + OFF_net_device__ifindex);
	/* as a string: behind the NUL there may be the rest of the name it had before (strscpy in dev_change_name) */
	bpf_probe_read_kernel_str(place->name, sizeof(place->name), (void *)(device + OFF_net_device__name));
	return 1;
}

inline_always u32 socket_netns(u64 sock, u64 netns_operations, union scratch *scratch)
{
	if (!sock)
		return 0;
	return netns_inode(read_pointer(scratch, sock + OFF_sock____sk_common__skc_net), netns_operations, scratch);
}

/* Where the packet is. skb->dev is a union that queues reuse, and empty on the way out before a device is chosen, and in
 * TCP: then the route's device, the receiving socket and the owner tell. The route of what is for this host leads to
 * the loopback: through which device it came in is told by its index alone. */
inline_always void find_place(struct place *place, const struct buffer *buffer, u64 receiver, u64 netns_operations,
			      union scratch *scratch)
{
	if (use_device(place, buffer->device, netns_operations, scratch))
		return;
	if (!buffer->dst ||
	    !use_device(place, read_pointer(scratch, buffer->dst + OFF_dst_entry__dev), netns_operations, scratch)) {
		place->netns = socket_netns(receiver, netns_operations, scratch);
		if (!place->netns)
			place->netns = socket_netns(buffer->sock, netns_operations, scratch);
	}
	if (buffer->skb_iif && buffer->skb_iif != place->ifindex) {
		place->ifindex = buffer->skb_iif;
		__builtin_memset(place->name, 0, sizeof(place->name));
	}
}

/* 0: nobody asked for it, 1: it matches, 2: it may carry what was asked for. */
inline_always int flow_wanted(struct flow *flow, const struct settings *wanted, u64 network, union scratch *scratch)
{
#ifdef SUMMARY
	read_flow(flow, network, scratch);
	if (!wanted->asks_flow)
		return 1;
#else
	if (!wanted->asks_flow)
		return 1;
	read_flow(flow, network, scratch);
#endif
	if (!flow->family)
		return 0;
	if (flow_matches(flow, wanted))
		return 1;
	return flow->is_carrier ? 2 : 0;
}

inline_always void copy_packet(struct drop_record *record, u64 network, u64 end)
{
	u64 length = end - network;

	if (end <= network)
		length = 0;
	if (length > PACKET_BYTES)
		length = PACKET_BYTES;
	record->packet_length = read_bytes(record->packet, length, network) ? 0 : length;
}

/* Who knows more of this death than can be told at once: enum drop_detail. */
inline_always u32 netfilter_detail(u64 skb, u64 location, const struct netfilter_layout *layout)
{
#ifdef FAMILY_NFT
	if (nft_has_detail(skb, location, layout))
		return DETAIL_NFT;
#endif
#ifdef FAMILY_XT
	if (xt_has_detail(skb, location, layout))
		return DETAIL_XT;
#endif
#ifdef FAMILY_EBT
	if (ebt_visit_of(skb))
		return DETAIL_EBT;
#endif
#ifdef FAMILY_HOOKS
	if (nobody_refused(skb, location, layout))
		return DETAIL_HOOKS;
#endif
	return 0;
}

inline_always void begin_death(u64 skb, u64 location)
{
	struct netfilter_layout *layout = current_layout();
	struct death *death = current_death();

	if (!death || !layout)
		return;
	death->skb = skb;
	death->detail = 0;
	death->search = SEARCH_NONE;
	if (is_killer(layout, KILLER_HOOK_SLOW, location) || is_killer(layout, KILLER_DO_CHAIN, location) ||
	    is_killer(layout, KILLER_BRIDGE, location) || is_killer(layout, KILLER_REINJECT, location))
		death->detail = netfilter_detail(skb, location, layout);
}

/* enum record_type of the record that follows the DROP record, 0: none */
inline_always u32 detail_to_come(void)
{
	struct death *death = current_death();

	switch (death ? death->detail : 0) {
	case DETAIL_NFT:
		return RECORD_NFT;
	case DETAIL_XT:
		return RECORD_XT;
	case DETAIL_EBT:
		return RECORD_EBT;
	case DETAIL_HOOKS:
		return RECORD_HOOKS;
	}
	return 0;
}

#ifdef SUMMARY
/* What did it, as far as it is known without a search, beside enum drop_detail. */
inline_always u64 row_object(const struct buffer *buffer, u64 receiver)
{
	struct death *death = current_death();

	switch (death ? death->detail : 0) {
#ifdef FAMILY_NFT
	case DETAIL_NFT:
		return nft_object(buffer->address);
#endif
#ifdef FAMILY_XT
	case DETAIL_XT:
		return death->search == SEARCH_TOLD ? death->object : xt_object(buffer->address);
#endif
	}
#ifdef FAMILY_ENGINES
	struct engines_visit *visit = engines_visit_of(buffer->address);

	if (visit && visit->record.refuser)
		return visit->record.refuser;
#endif
	return receiver;
}

/* Counts the drop; not 0 when it is to be sent as well. */
inline_always int count_drop(struct row *row, const struct buffer *buffer, struct flow *flow, u64 receiver,
			     union scratch *scratch)
{
	row->protocol = buffer->protocol;
	row->proto = flow->proto;
	row->detail = detail_to_come();
	row->object = row_object(buffer, receiver);
#ifdef FAMILY_XFRM
	count_xfrm(row, buffer, scratch);
#endif
	forget(row, sizeof(*row));
	if (flow->family)
		count_flow(flow);
	return count_row(row);
}
#endif

#ifndef TRACE
inline_always u64 journey_number(u64 skb)
{
	return 0;
}
#endif

#define COUNT_LATER 1 /* in place of a time */

/* The time of the DROP record, 0 when there is none. */
inline_always u64 send_drop(void *ctx, const struct buffer *buffer, u64 location, s64 reason, u64 receiver, u32 notes,
			    union scratch *scratch)
{
	struct settings *wanted = current_settings();
	struct drop_record *record;
	struct place place = {};
	struct flow flow = {};
	u64 journey = journey_number(buffer->address);
	u64 network;
	u64 now;
	int fits;

	if (!wanted)
		return 0;
	if (!buffer->protocol && !buffer->network && !wanted->send_all) {
		count_unsent(NOT_A_PACKET);
		return 0;
	}
	if (!journey && !mark_wanted(wanted, buffer->mark))
		return 0;
	network = network_header(buffer, scratch);
	fits = flow_wanted(&flow, wanted, network, scratch);
#ifdef FAMILY_XFRM
	if (!fits && is_visiting(buffer->address)) /* ESP in UDP may have any port */
		fits = 2;
#endif
	if (!fits && !journey)
		return 0;
	find_place(&place, buffer, receiver, wanted->netns_operations, scratch);
	forget(&place, sizeof(place));
	forget(&fits, sizeof(fits));
	if (!journey &&
	    (!netns_wanted(wanted, place.netns) || !iface_wanted(wanted, place.name, place.ifindex, buffer->skb_iif)))
		return 0;

#ifdef SUMMARY
	struct row row = {
		.location = location,
		.reason = reason,
		.netns = place.netns,
		.ifindex = place.ifindex,
		.notes = notes,
		.is_carrier = fits == 2,
	};
#ifdef FAMILY_XT
	if (xt_search_first(buffer->address, notes))
		return COUNT_LATER;
#endif
	if (!count_drop(&row, buffer, &flow, receiver, scratch))
		return 0;
#endif
	now = bpf_ktime_get_ns();
#ifdef FAMILY_XFRM
	send_xfrm(buffer, now, scratch);
#endif
#ifdef FAMILY_ENGINES
	send_engines(buffer->address, now, scratch);
#endif
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
#ifndef SUMMARY /* there it was a sample, and has been counted */
		count_unsent(LOSS_RING_FULL);
#endif
		return 0;
	}
	record->header.time_ns = now;
	record->header.skb = buffer->address;
	record->header.type = RECORD_DROP;
	record->header.size = sizeof(*record);
#ifdef SUMMARY
	record->row = row;
#else
	__builtin_memset(&record->row, 0, sizeof(record->row));
#endif
	record->journey = journey;
	record->location = location;
	record->source = SOURCE_KFREE_SKB;
	record->reason = reason;
	record->has_reason = reason >= 0;
	record->length = buffer->length;
	record->mark = buffer->mark;
	record->ifindex = place.ifindex;
	record->skb_iif = buffer->skb_iif;
	record->netns = place.netns;
	record->pid = bpf_get_current_pid_tgid() >> 32;
	record->cpu = bpf_get_smp_processor_id();
	record->is_carrier = fits == 2;
	record->protocol = buffer->protocol;
	record->notes = notes;
	record->detail = detail_to_come();
	__builtin_memcpy(record->ifname, place.name, sizeof(record->ifname));
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	record->stack_bytes = bpf_get_stack(ctx, record->stack, sizeof(record->stack), 0);
	copy_packet(record, network, buffer->end);
	events.ringbuf_submit(record, 0);
	return now;
}

/* With the packet's death, asked for or not: the next packet may get its address, and must not get its guilt. What
 * the detail's program needs is left to it. */
inline_always void end_visits(u64 skb, u32 detail)
{
#ifdef FAMILY_XFRM
	end_visit(skb);
#endif
#ifdef FAMILY_ENGINES
	end_engines_visit(skb);
#endif
#ifdef FAMILY_NFT
	if (detail != DETAIL_NFT)
		end_nft_visit(skb);
#endif
#ifdef FAMILY_XT
	if (detail != DETAIL_XT)
		end_xt_visit(skb);
#endif
#ifdef FAMILY_EBT
	if (detail != DETAIL_EBT)
		end_ebt_visit(skb);
#endif
}

/* The rest of a death, after its DROP record: enum drop_detail of what is to follow it, 0: nothing. */
inline_always u32 finish(u64 skb, u64 sent)
{
	struct death *death = current_death();
	u32 detail;

#ifdef TRACE
	journeys.delete(&skb);
#endif
	if (!death || death->skb != skb)
		return 0;
	detail = death->detail;
	if (!sent && detail != DETAIL_XT)
		detail = 0; /* nobody asked; but the counters of its table have risen */
	end_visits(skb, detail);
	death->time = sent ? sent : bpf_ktime_get_ns();
	death->is_sent = !!sent;
	return detail;
}

/* The kernel runs no kprobe while another one runs on that CPU, nor the BPF program of one while user space changes a
 * map: whom an interrupt brought at such a moment, no probe has seen. */
inline_always int probes_are_off(union scratch *scratch)
{
	struct settings *wanted = current_settings();
	struct in_hand *now = current_in_hand();

	if (!wanted || !now)
		return 0;
	if (!now->cpu_offset)
		now->cpu_offset = this_cpu_offset(scratch);
	if (!now->cpu_offset)
		return 0;
	return (wanted->current_kprobe && read_pointer(scratch, now->cpu_offset + wanted->current_kprobe)) ||
	       (wanted->bpf_prog_active && read_u32(scratch, now->cpu_offset + wanted->bpf_prog_active));
}

/* Of a packet that is met for the first time: enum note. */
inline_always u32 begin(u64 skb, u64 location, union scratch *scratch)
{
	u32 notes = 0;

	take_in_hand(skb);
	count_seen(SOURCE_KFREE_SKB);
#ifdef FAMILY_TCP
	notes = tcp_notes(skb);
#endif
	if (probes_are_off(scratch)) {
		notes = NOTE_PROBES_OFF;
		end_visits(skb, 0); /* what there is was of another packet at the same address */
	}
	forget(&notes, sizeof(notes));
	begin_death(skb, notes & NOTE_PROBES_OFF ? 0 : location);
	return notes;
}

int on_kfree_skb(struct bpf_raw_tracepoint_args *ctx)
{
	struct buffer buffer;
	union scratch scratch;
	s64 reason = -1;
	u64 receiver = 0;
	u64 sent = 0;
	u32 notes;
	u32 detail;

#ifdef SUMMARY
	struct death *death = current_death();

	if (death && death->skb == ctx->args[0] && death->search == SEARCH_DONE) {
		death->search = SEARCH_TOLD;
		notes = death->notes;
	} else
#endif
		notes = begin(ctx->args[0], ctx->args[1], &scratch);
#ifdef KFREE_SKB_REASON_ARGUMENT
	reason = (u32)ctx->args[KFREE_SKB_REASON_ARGUMENT];
#endif
#ifdef KFREE_SKB_SOCKET_ARGUMENT
	receiver = ctx->args[KFREE_SKB_SOCKET_ARGUMENT];
#endif
	if (read_buffer(&buffer, ctx->args[0], &scratch))
		sent = send_drop(ctx, &buffer, ctx->args[1], reason, receiver, notes, &scratch);
#ifdef SUMMARY
	if (sent == COUNT_LATER) {
		drop_details.call(ctx, DETAIL_XT);
		count_unsent(LOSS_ROWS);
		sent = 0;
	}
#endif
	detail = finish(ctx->args[0], sent);
	if (detail)
		drop_details.call(ctx, detail);
	return out_of_hand();
}

BPF_PROG_ARRAY(interrupting_drops, 1); /* on_kfree_skb */

/* Attached to the same tracepoint, after on_kfree_skb. That is not run again on a CPU where an interrupt, or another task,
 * found it running (prog->active, __bpf_trace_run in kernel/trace/bpf_trace.c, since 6.1), and what dies then would be
 * missed: this one sees that on_kfree_skb has not had it, and jumps there. */
int on_kfree_skb_again(struct bpf_raw_tracepoint_args *ctx)
{
	struct in_hand *now = current_in_hand();
	u64 *place = had_place(ctx->args[0]);

	if (!now || !place)
		return 0;
	if (*place == ctx->args[0]) {
		*place = 0;
		return 0;
	}
	now->interrupted = now->skb;
	now->was_interrupted = 1;
	now->is_again = 1;
	count_unsent(INTERRUPTING);
	interrupting_drops.call(ctx, 0);
	now->is_again = 0;
	return out_of_hand();
}
