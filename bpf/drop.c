/* skb:kfree_skb: the death of a packet, with its reason, place, stack and first bytes. */

inline_always void put_place(struct drop_record *record, const struct place *place)
{
	record->ifindex = place->ifindex;
	record->netns = place->netns;
	__builtin_memcpy(record->ifname, place->name, sizeof(record->ifname));
}

inline_always void put_buffer(struct drop_record *record, const struct buffer *buffer, u64 network,
			      const struct flow *flow)
{
	record->length = buffer->length;
	record->mark = buffer->mark;
	record->skb_iif = buffer->skb_iif;
	record->protocol = buffer->protocol;
	record->packet_length = put_bytes(record->packet, buffer, network, flow);
}

#define NOT_WANTED -1

/* 1: it matches, 2: it may carry what was asked for, 3: it matches by addresses that it had before or was to get, 0: none
 * of it, but it is on a journey. Finds its flow and its place, and notes what is so there. `origin` is as in struct death. `asked`: the caller needs the flow. */
inline_always int drop_wanted(struct flow *flow, struct place *place, u32 *notes, const struct buffer *buffer,
			      u64 network, const u64 *receiver, const u64 *origin, int asked, union scratch *scratch)
{
	struct settings *wanted = current_settings();
	int journey = is_followed(buffer->address);
	int fits;

	if (!wanted || (!journey && !mark_wanted(wanted, buffer->mark)))
		return NOT_WANTED;
	fits = flow_wanted(flow, wanted, network, buffer->protocol, asked, scratch);
	if (fits == 1 && !expression_fits(wanted, buffer, network, flow, death_level(), scratch))
		fits = flow->is_carrier ? 2 : 0;
	if (HAS_XFRM && !fits && visit_of(buffer->address)) /* ESP in UDP may have any port */
		fits = 2;
	if (HAS_PAST && !fits && (*origin & ORIGIN_FITS))
		fits = wanted->asks_expression ? 2 : 3;
	if (!fits && !journey)
		return NOT_WANTED;
	find_place(place, notes, buffer, 0, wanted->netns_operations, scratch);
	if (!place->netns)
		place->netns = socket_netns(*receiver, wanted->netns_operations, scratch);
	forget(place, sizeof(*place));
	forget(&fits, sizeof(fits));
	if (!journey && (!netns_wanted(wanted, place->netns) ||
			 !iface_wanted(wanted, place->name, place->ifindex, buffer->skb_iif)))
		return NOT_WANTED;
	return fits;
}

/* What has no header may be a segment that was to get one, else it is a buffer of sockets that are no network's. */
inline_always int is_headless(const struct buffer *buffer)
{
	return !buffer->protocol && !buffer->network;
}

#define PACKET_BROADCAST 1 /* linux/if_packet.h */
#define PACKET_MULTICAST 2
#define PACKET_OTHERHOST 3
#define PACKET_LOOPBACK 5

/* For whom its frame was. */
inline_always u32 frame_notes(u64 skb, union scratch *scratch)
{
	u8 type = read_u8(scratch, skb + BIT_sk_buff__pkt_type / 8) >> BIT_sk_buff__pkt_type % 8 & 7;

	if (type == PACKET_LOOPBACK)
		return NOTE_LOOPED_BACK;
	if (type == PACKET_BROADCAST)
		return NOTE_TO_MANY;
	if (type == PACKET_MULTICAST)
		return NOTE_TO_MANY | NOTE_TO_GROUP;
	return HAS_FLOOD && type == PACKET_OTHERHOST && was_flooded(skb, scratch) ? NOTE_FLOODED : 0;
}

#define COUNT_LATER 1 /* in place of a time */

#define ECHO_REQUEST6 128 /* linux/icmpv6.h */
#define ECHO_REPLY6 129

/* Not where each packet is wanted, nor where user space has to look at each: what may carry the flow, and messages of IPv6
 * that are harmless or not by what is in them. */
inline_always int is_countable(const struct flow *flow, int fits)
{
	struct settings *wanted = current_settings();
	u8 type = *(const u8 *)&flow->what;

	if (SUMMARY)
		return 1;
	if (!FOLDS || !wanted || !wanted->first_of_a_sort || !(fits & 1))
		return 0;
	return flow->proto != PROTO_ICMPV6 || type == ECHO_REQUEST6 || type == ECHO_REPLY6;
}

/* A purged queue tells by its callers whose it was. */
inline_always u64 sum_of_callers(void *ctx, struct death *death)
{
	u64 sum = 0;

	__builtin_memset(death->callers, 0, sizeof(death->callers));
	bpf_get_stack(ctx, death->callers, sizeof(death->callers), 0);
#pragma clang loop unroll(disable)
	for (int i = 0; i < CALLERS; i++)
		sum = (sum ^ death->callers[i]) * 0x9e3779b97f4a7c15ULL;
	return sum;
}

/* The time of the DROP record, 0 when there is none. `network` is 0 of what has no header: then `flow` is known. */
inline_always u64 send_drop(void *ctx, const struct buffer *buffer, u64 network, struct flow *flow, s64 reason,
			    u32 notes, union scratch *scratch)
{
	struct bpf_raw_tracepoint_args *arguments = ctx;
	u64 location = arguments->args[1];
	struct death *death = current_death();
	struct drop_record *record;
	struct place place = {};
	struct row *row;
	u64 now;
	int fits;
	int counted;

	if (!death)
		return 0;
	row = &death->row;
	fits = drop_wanted(flow, &place, &notes, buffer, network, &death->receiver, &death->origin, 0, scratch);
	if (fits == NOT_WANTED)
		return 0;
	if (HAS_PAST)
		notes |= death->origin & NOTE_PAST;
	if (death->cgroup_refuser)
		notes |= NOTE_CGROUP_REFUSED;
	if (!(notes & NOTE_PROBES_OFF))
		notes |= frame_notes(buffer->address, scratch);
	now = bpf_ktime_get_ns();
	counted = is_countable(flow, fits);
	if (HAS_XT && counted && xt_search_first(death, notes))
		return COUNT_LATER;
	if (FOLDS && counted && death->detail == RECORD_XT && !death->object)
		counted = 0; /* which rule it was, only user space can find out */
	if (counted) {
		*row = (struct row){.location = location, .reason = reason, .netns = place.netns, .notes = notes};
		row->ifindex = place.ifindex;
		row->is_carrier = fits == 2;
		if (FOLDS)
			row->callers = sum_of_callers(ctx, death) + (HAS_PAST ? death->origin : 0);
		if (!count_drop(death, buffer, flow, death->receiver, now, scratch))
			return 0;
	}
	forget(&counted, sizeof(counted));
	if (network)
		send_notes(buffer, now, scratch);
	/* All that can be known before the record is reserved: before 6.3 the verifier takes no two ways for one from there on. */
	if (!SUMMARY) {
		death->link_length = put_frame_header(death->link, buffer, network, scratch);
		death->owner = owner_of(death, buffer, death->receiver);
		death->cgroup = HAS_CGROUP ? socket_cgroup(death->owner, scratch) : 0;
	}
	/* in a summary there is no room on the stack to look */
	death->not_own = SUMMARY || !is_own(death->owner, scratch) ? NOTE_NOT_OWN : 0;
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		if (SUMMARY || (counted && fold(row))) /* in a summary it was a sample, and has been counted */
			return 0;
		merge(row, location, reason, place.netns);
		if (!FOLDS || !(fits & 1) || !fold_rest(row))
			count_unsent(LOSS_RING_FULL);
		return 0;
	}
	begin_drop_record(record, ctx, now, buffer->address);
	if (counted)
		record->row = *row;
	record->journey = journey_number(buffer->address);
	record->location = location;
	record->source = SOURCE_KFREE_SKB;
	record->reason = reason;
	record->has_reason = reason >= 0;
	record->is_carrier = fits == 2;
	record->notes = notes | death->not_own;
	record->detail = death->detail;
	put_place(record, &place);
	put_buffer(record, buffer, network, flow);
	put_link(record, death_level(), death->link, SUMMARY ? 0 : death->link_length);
	if (!SUMMARY)
		record->cgroup = death->cgroup;
	events.ringbuf_submit(record, 0);
	return now;
}

/* The rest of a death, after its DROP record: enum record_type of what is to follow it, 0: nothing. */
inline_always u32 finish(u64 skb, u64 sent)
{
	struct death *death = current_death();
	u32 detail;

	end_journey(skb);
	if (!death || death->skb != skb)
		return 0;
	detail = death->detail;
	if (!sent && detail != RECORD_XT)
		detail = 0; /* nobody asked; but the counters of its table have risen */
	end_visits(skb, detail);
	death->time = sent ? sent : bpf_ktime_get_ns();
	death->is_sent = !!sent;
	if (HAS_PAST && sent && (death->origin & NOTE_PAST))
		return RECORD_PAST; /* and then what death->detail says */
	return detail;
}

/* The kernel runs no kprobe while another one runs on that CPU, nor the BPF program of one while user space changes a
 * map: whom an interrupt brought at such a moment, no probe has seen. A note of enum note, or 0. */
inline_always u32 probes_note(union scratch *scratch)
{
	struct settings *wanted = current_settings();
	struct in_hand *now = current_in_hand();

	if (!wanted || !now || !wanted->per_cpu_value)
		return NOTE_PROBES_UNKNOWN;
	if (!now->cpu_offset)
		now->cpu_offset = this_cpu_offset();
	if ((wanted->current_kprobe && read_pointer(scratch, now->cpu_offset + wanted->current_kprobe)) ||
	    (wanted->bpf_prog_active && read_u32(scratch, now->cpu_offset + wanted->bpf_prog_active)))
		return NOTE_PROBES_OFF;
	return wanted->current_kprobe && wanted->bpf_prog_active ? 0 : NOTE_PROBES_UNKNOWN;
}

inline_always s64 reason_of(struct bpf_raw_tracepoint_args *ctx)
{
	return KFREE_SKB_REASON_ARGUMENT ? (s64)(u32)ctx->args[2] : -1;
}

/* Of a packet that is met for the first time: enum note. */
inline_always u32 begin(u64 skb, u64 location, u64 receiver, s64 reason, union scratch *scratch)
{
	u32 notes = 0;
	u32 probes;

	take_in_hand(skb);
	count_seen(SOURCE_KFREE_SKB);
	if (HAS_TCP)
		notes = tcp_notes(skb);
	if (HAS_ANSWERS)
		notes |= answer_notes(skb, scratch);
	probes = probes_note(scratch);
	notes |= probes;
	if (probes == NOTE_PROBES_OFF) {
		notes = NOTE_PROBES_OFF;
		end_visits(skb, 0); /* what there is was of another packet at the same address */
	}
	forget(&notes, sizeof(notes));
	begin_death(skb, notes & NOTE_PROBES_OFF ? 0 : location, receiver, reason, scratch);
	return notes;
}

inline_always int send_all(void)
{
	struct settings *wanted = current_settings();

	return wanted && wanted->send_all;
}

/* By a program with a stack of its own. */
inline_always void tell_segment(struct bpf_raw_tracepoint_args *ctx, u32 notes)
{
	struct death *death = current_death();

	if (!death)
		return;
	death->notes = notes;
	drop_details.call(ctx, DETAIL_SEND_SEGMENT);
}

int send_segment(struct bpf_raw_tracepoint_args *ctx)
{
	struct death *death = current_death();
	struct buffer buffer;
	struct flow flow = {};
	union scratch scratch;
	u64 sent = 0;
	u32 notes = death ? death->notes | NOTE_NO_HEADER : NOTE_NO_HEADER;

	if (read_buffer(&buffer, ctx->args[0], &scratch) && read_segment(&flow, &buffer, &scratch))
		sent = send_drop(ctx, &buffer, 0, &flow, reason_of(ctx), notes, &scratch);
	else
		count_unsent(NOT_A_PACKET);
	finish(ctx->args[0], sent);
	return out_of_hand();
}

int on_kfree_skb(struct bpf_raw_tracepoint_args *ctx)
{
	struct death *death = current_death();
	struct buffer buffer;
	union scratch scratch;
	struct flow flow = {};
	u64 receiver = KFREE_SKB_SOCKET_ARGUMENT ? ctx->args[3] : 0;
	u64 network;
	u64 sent = 0;
	u32 notes;
	u32 detail;

	if (death && death->skb == ctx->args[0] && death->is_again) {
		death->is_again = 0;
		if (!TRACE && death->search == SEARCH_DONE)
			death->search = SEARCH_TOLD;
		notes = death->notes;
	} else {
		notes = begin(ctx->args[0], ctx->args[1], receiver, reason_of(ctx), &scratch);
		if (HAS_PAST && has_past(ctx->args[0], &scratch))
			look_back_at(ctx, notes);
	}
	if (read_buffer(&buffer, ctx->args[0], &scratch)) {
		forget_no_mark(&buffer, &scratch);
		if (is_headless(&buffer) && is_of_network(buffer.sock, &scratch))
			tell_segment(ctx, notes);
		network = HAS_WRITTEN ? header_as_written(&buffer, ctx->args[1], reason_of(ctx), &scratch) : 0;
		if (network)
			notes |= NOTE_AS_WRITTEN;
		else if (!is_headless(&buffer) || send_all())
			network = network_header(&buffer, &scratch);
		if (network)
			sent = send_drop(ctx, &buffer, network, &flow, reason_of(ctx), notes, &scratch);
		else
			count_unsent(NOT_A_PACKET);
	}
	if (!TRACE && sent == COUNT_LATER) {
		drop_details.call(ctx, RECORD_XT);
		count_unsent(LOSS_ROWS);
		sent = 0;
	}
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
