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

/* Where the packet is. skb->dev is a union that queues reuse, and empty on the way out before a device is chosen:
 * then the route's device, the receiving socket and the owner tell. */
inline_always void find_place(struct place *place, const struct buffer *buffer, u64 receiver, u64 netns_operations,
			      union scratch *scratch)
{
	if (use_device(place, buffer->device, netns_operations, scratch))
		return;
	if (buffer->dst &&
	    use_device(place, read_pointer(scratch, buffer->dst + OFF_dst_entry__dev), netns_operations, scratch))
		return;
	place->netns = socket_netns(receiver, netns_operations, scratch);
	if (!place->netns)
		place->netns = socket_netns(buffer->sock, netns_operations, scratch);
}

/* 0: nobody asked for it, 1: it matches, 2: it may carry what was asked for. */
inline_always int flow_wanted(const struct settings *wanted, u64 network, union scratch *scratch)
{
	struct flow flow = {};

	if (!wanted->asks_flow)
		return 1;
	read_flow(&flow, network, scratch);
	if (!flow.family)
		return 0;
	if (flow_matches(&flow, wanted))
		return 1;
	return flow.is_carrier ? 2 : 0;
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

inline_always void send_drop(void *ctx, const struct buffer *buffer, u64 location, s64 reason, u64 receiver, u32 notes,
			     union scratch *scratch)
{
	struct settings *wanted = current_settings();
	struct drop_record *record;
	struct place place = {};
	u64 network;
	u64 now;
	int fits;

	if (!wanted)
		return;
	if (!buffer->protocol && !buffer->network) {
		count_unsent(NOT_A_PACKET);
		if (!wanted->send_all)
			return;
	}
	if (!mark_wanted(wanted, buffer->mark))
		return;
	network = network_header(buffer, scratch);
	fits = flow_wanted(wanted, network, scratch);
	if (!fits)
		return;
	find_place(&place, buffer, receiver, wanted->netns_operations, scratch);
	if (!netns_wanted(wanted, place.netns) || !iface_wanted(wanted, place.name, place.ifindex, buffer->skb_iif))
		return;

	now = bpf_ktime_get_ns();
#ifdef FAMILY_XFRM
	send_xfrm(buffer, now, scratch);
#endif
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		count_unsent(LOSS_RING_FULL);
		return;
	}
	record->header.time_ns = now;
	record->header.skb = buffer->address;
	record->header.type = RECORD_DROP;
	record->header.size = sizeof(*record);
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
	record->pad = 0;
	__builtin_memcpy(record->ifname, place.name, sizeof(record->ifname));
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	record->stack_bytes = bpf_get_stack(ctx, record->stack, sizeof(record->stack), 0);
	copy_packet(record, network, buffer->end);
	events.ringbuf_submit(record, 0);
}

int on_kfree_skb(struct bpf_raw_tracepoint_args *ctx)
{
	struct buffer buffer;
	union scratch scratch;
	s64 reason = -1;
	u64 receiver = 0;
	u32 notes = 0;

	count_seen(SOURCE_KFREE_SKB);
#ifdef FAMILY_TCP
	notes = tcp_notes(ctx->args[0]);
#endif
#ifdef KFREE_SKB_REASON_ARGUMENT
	reason = (u32)ctx->args[KFREE_SKB_REASON_ARGUMENT];
#endif
#ifdef KFREE_SKB_SOCKET_ARGUMENT
	receiver = ctx->args[KFREE_SKB_SOCKET_ARGUMENT];
#endif
	if (read_buffer(&buffer, ctx->args[0], &scratch))
		send_drop(ctx, &buffer, ctx->args[1], reason, receiver, notes, &scratch);
#ifdef FAMILY_XFRM
	end_visit(ctx->args[0]);
#endif
	return 0;
}
