/* Where a packet is: namespace and device. */

struct place {
	u32 ifindex;
	u32 netns;
	char name[NAME_BYTES] __attribute__((aligned(8)));
};

/* As netif_running() and netif_carrier_ok() see it (linux/netdevice.h). */
inline_always int is_without_carrier(u64 device, union scratch *scratch)
{
	u64 state = read_pointer(scratch, device + OFF_net_device__state);

	return !(state & 1 << ENUM___LINK_STATE_START) || state & 1 << ENUM___LINK_STATE_NOCARRIER;
}

/* Until the link watcher has run, and while a qdisc is replaced, a device's queue has one that drops all (dev_activate and
 * dev_deactivate in net/sched/sch_generic.c). */
inline_always int has_no_queue(const struct buffer *buffer, union scratch *scratch)
{
	u64 queues = read_pointer(scratch, buffer->device + OFF_net_device___tx);
	u64 number = read_u16(scratch, buffer->address + OFF_sk_buff__queue_mapping);
	u64 qdisc = read_pointer(scratch, queues + number * SIZE_netdev_queue + OFF_netdev_queue__qdisc);
	u64 operations = read_pointer(scratch, qdisc + OFF_Qdisc__ops);
	union {
		char text[8];
		u64 number;
	} name = {}, noop = {"noop"};

	bpf_probe_read_kernel_str(name.text, sizeof(name.text), (void *)(operations + OFF_Qdisc_ops__id));
	return name.number == noop.number;
}

inline_always u32 sending_notes(const struct buffer *buffer, union scratch *scratch)
{
	return (is_without_carrier(buffer->device, scratch) ? NOTE_NO_CARRIER : 0) |
	       (has_no_queue(buffer, scratch) ? NOTE_NO_QUEUE : 0);
}

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
 * the loopback: through which device it came in is told by its index alone. `notes`, if there: of the packet's own device,
 * which may be to send it. */
inline_always void find_place(struct place *place, u32 *notes, const struct buffer *buffer, u64 receiver,
			      u64 netns_operations, union scratch *scratch)
{
	if (use_device(place, buffer->device, netns_operations, scratch)) {
		if (notes)
			*notes |= sending_notes(buffer, scratch);
		return;
	}
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
