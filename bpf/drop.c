/* skb:kfree_skb: the death of a packet, with its reason, place, stack and first bytes. */

inline_always void copy_packet(struct drop_record *record, u64 network, u64 end)
{
	u64 length = end - network;

	if (end <= network)
		length = 0;
	if (length > PACKET_BYTES)
		length = PACKET_BYTES;
	record->packet_length = read_bytes(record->packet, length, network) ? 0 : length;
}

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

/* The rest of a death, after its DROP record: enum record_type of what is to follow it, 0: nothing. */
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
	if (!sent && detail != RECORD_XT)
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
inline_always u32 begin(u64 skb, u64 location, u64 receiver, union scratch *scratch)
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
	begin_death(skb, notes & NOTE_PROBES_OFF ? 0 : location, receiver, scratch);
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

#ifdef KFREE_SKB_SOCKET_ARGUMENT
	receiver = ctx->args[KFREE_SKB_SOCKET_ARGUMENT];
#endif
#ifdef SUMMARY
	struct death *death = current_death();

	if (death && death->skb == ctx->args[0] && death->search == SEARCH_DONE) {
		death->search = SEARCH_TOLD;
		notes = death->notes;
	} else
#endif
		notes = begin(ctx->args[0], ctx->args[1], receiver, &scratch);
#ifdef KFREE_SKB_REASON_ARGUMENT
	reason = (u32)ctx->args[KFREE_SKB_REASON_ARGUMENT];
#endif
	if (read_buffer(&buffer, ctx->args[0], &scratch))
		sent = send_drop(ctx, &buffer, ctx->args[1], reason, receiver, notes, &scratch);
#ifdef SUMMARY
	if (sent == COUNT_LATER) {
		drop_details.call(ctx, RECORD_XT);
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
