/* The mark of a packet. It is in a union with reserved_tailroom (struct sk_buff), and zeroed by nobody who sets that:
 * igmpv3_newpack, mld_newpack, and TCP before 5.17 (f401da475f98), where ip_queue_xmit and ip6_xmit overwrite it. */

#define PROTO_IGMP 2
#define IGMPV3_REPORT 0x22 /* IGMPV3_HOST_MEMBERSHIP_REPORT, linux/igmp.h */
#define MLDV2_REPORT 143 /* ICMPV6_MLD2_REPORT, linux/icmpv6.h */
#define REPORT_BYTES 49 /* IPv6, a router alert, the type */

/* A report of group membership, with the router alert that the kernel gives it. */
inline_always int is_report(u64 network, union scratch *scratch)
{
	const u8 *bytes = scratch->bytes;

	if (read_bytes(scratch->bytes, REPORT_BYTES, network))
		return 0;
	if (bytes[0] >> 4 == 6)
		return bytes[6] == PROTO_HOPOPTS && bytes[40] == PROTO_ICMPV6 && bytes[48] == MLDV2_REPORT;
	return bytes[0] == 0x46 && bytes[9] == PROTO_IGMP && bytes[24] == IGMPV3_REPORT;
}

/* Exactly what skb_tailroom_reserve() keeps free: all but the MTU, or where the MTU takes it all what the device needs. */
inline_always int is_reserved(const struct buffer *buffer, u64 network, union scratch *scratch)
{
	u64 left = buffer->limit + buffer->head - network - buffer->mark;
	u64 mtu = read_u32(scratch, buffer->device + OFF_net_device__mtu);

	if (left == mtu)
		return 1;
	return left < mtu && buffer->mark == read_u16(scratch, buffer->device + OFF_net_device__needed_tailroom);
}

/* Nobody has marked what no protocol has taken in hand: so TCP's segments are before they have a route. */
inline_always int is_no_mark(const struct buffer *buffer, union scratch *scratch)
{
	u64 network = buffer->head + buffer->network;

	if (!buffer->protocol && !buffer->network)
		return 1;
	return is_report(network, scratch) && is_reserved(buffer, network, scratch);
}

inline_always void forget_no_mark(struct buffer *buffer, union scratch *scratch)
{
	u32 mark = buffer->mark && is_no_mark(buffer, scratch) ? 0 : buffer->mark;

	scratch->word = mark;
	forget(&scratch->word, sizeof(scratch->word));
	buffer->mark = scratch->word;
}
