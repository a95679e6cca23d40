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

/* `notes`, if there: of the device of the packet itself, which is to send it. */
inline_always int use_device(struct place *place, u32 *notes, u64 device, u64 netns_operations, union scratch *scratch)
{
	u32 netns;

	if (!device)
		return 0;
	netns = netns_inode(read_pointer(scratch, device + OFF_net_device__nd_net), netns_operations, scratch);
	if (!netns)
		return 0;
	place->netns = netns;
	if (notes && is_without_carrier(device, scratch))
		*notes |= NOTE_NO_CARRIER;
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
inline_always void find_place(struct place *place, u32 *notes, const struct buffer *buffer, u64 receiver,
			      u64 netns_operations, union scratch *scratch)
{
	if (use_device(place, notes, buffer->device, netns_operations, scratch))
		return;
	if (!buffer->dst || !use_device(place, NULL, read_pointer(scratch, buffer->dst + OFF_dst_entry__dev),
					netns_operations, scratch)) {
		place->netns = socket_netns(receiver, netns_operations, scratch);
		if (!place->netns)
			place->netns = socket_netns(buffer->sock, netns_operations, scratch);
	}
	if (buffer->skb_iif && buffer->skb_iif != place->ifindex) {
		place->ifindex = buffer->skb_iif;
		__builtin_memset(place->name, 0, sizeof(place->name));
	}
}
