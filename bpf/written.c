/* What a program writes to a tun or tap device, and the device refuses: it may not have a protocol, a network header or a device
 * yet (tun_get_user and tun_xdp_one in drivers/net/tun.c). */

#define IFF_TAP 2 /* linux/if_tun.h */
#define ETHERTYPE 12 /* where it stands in a header of Ethernet */

BPF_ARRAY(tun_layout, struct tun_layout, 1);

inline_always const struct tun_layout *current_tun_layout(void)
{
	int zero = 0;
	return tun_layout.lookup(&zero);
}

/* Where its network header is, when it died where it was written, before it had the number of its queue (skb_record_rx_queue),
 * which it gets when all is well; else 0. Notes its device, and the ethertype of a frame. `reason` is negative where the
 * kernel gives none. */
inline_always u64 header_as_written(struct buffer *buffer, u64 location, s64 reason, union scratch *scratch)
{
	const struct tun_layout *layout = current_tun_layout();
	u64 is_here = 0;
	u64 tun = 0;

	if (!layout || buffer->skb_iif)
		return 0;
	if (reason >= 0 && !REASON_COPY_FAULT) /* and so it does not tell that not all of it could be read */
		return 0;
	for (int i = 0; i < TUN_WRITERS; i++)
		is_here |= location - layout->writer[i].start < layout->writer[i].end - layout->writer[i].start;
	if (!is_here || read_u16(scratch, buffer->address + OFF_sk_buff__queue_mapping))
		return 0;
	if (layout->device && buffer->sock)
		tun = read_pointer(scratch, buffer->sock + layout->tun);
	if (tun) {
		buffer->device = read_pointer(scratch, tun + layout->device);
		if (!(read_u32(scratch, tun + layout->flags) & IFF_TAP))
			return buffer->data;
	}
	/* what has no socket is a frame: it came from vhost, or with IFF_NAPI_FRAGS */
	buffer->protocol = bpf_ntohs(read_u16(scratch, buffer->data + ETHERTYPE));
	return buffer->data + LINK_BYTES;
}
