/* The expression of pcap-filter(7) in the user's filter. libpcap compiles it, dropwatch/probe/programs/expression.py translates
 * that, and the loader calls it where CALL_EXPRESSION stands. It reads a frame of Ethernet, which is made here: what is left of
 * the link header, the ethertype, and the bytes that the DROP record has. dropwatch/match/expression.py makes the same frame. */

#define LINK_BYTES 14
#define TAG_BYTES 4
#define ADDRESS_BYTES 12 /* both of Ethernet */
#define NO_LINK_HEADER 0xffff

enum frame_place {
	FRAME_OF_DEATH, /* and 1: that of an interrupt meanwhile */
	FRAME_OF_PROBE = 2,
	FRAME_OF_TRACEPOINT = 3,
	FRAMES,
};

BPF_PERCPU_ARRAY(frames, struct frame, FRAMES);

/* The bytes that there are of a packet; of one without a header, that it was to have as well. How many. */
inline_always u32 put_bytes(u8 *to, const struct buffer *buffer, u64 network, const struct flow *flow)
{
	u64 length = buffer->end > network ? buffer->end - network : 0;

	if (!network)
		return put_segment(to, buffer, flow);
	if (length > PACKET_BYTES)
		length = PACKET_BYTES;
	return read_bytes(to, length, network) ? 0 : length;
}

inline_always void put_u16(u8 *to, u16 value)
{
	to[0] = value >> 8;
	to[1] = value;
}

/* The addresses, where it has a header of Ethernet; else zeros. Whether it has one. */
inline_always int put_addresses(u8 *to, const struct buffer *buffer, u64 network, union scratch *scratch)
{
	u16 start = read_u16(scratch, buffer->address + OFF_sk_buff__mac_header);
	u64 link = buffer->head + start;

	if (start != NO_LINK_HEADER && link + LINK_BYTES == network && !read_bytes(to, ADDRESS_BYTES, link))
		return 1;
	__builtin_memset(to, 0, ADDRESS_BYTES);
	return 0;
}

/* Kernels from 6.2 on have no bit for it (354259fa73e2): there it is zeros. */
inline_always u32 tag_of(u64 skb, union scratch *scratch)
{
	u64 present = VLAN_PRESENT_BIT;
	u16 type;

	if (present && !(read_u8(scratch, skb + present / 8) >> present % 8 & 1))
		return 0;
	type = read_u16(scratch, skb + OFF_sk_buff__vlan_proto);
	return type ? (u32)bpf_ntohs(type) << 16 | read_u16(scratch, skb + OFF_sk_buff__vlan_tci) : 0;
}

inline_always void put_tag(u8 *to, u32 tag)
{
	put_u16(to, tag >> 16);
	put_u16(to + 2, tag);
}

/* Of IP the bytes tell: what is sent may not have got its protocol yet. How long it says that it is, 0: it does not. */
inline_always u32 put_type(u8 *packet, u32 captured, u16 type)
{
	u32 length = 0;

	if (captured && (!type || type == ETH_P_IP || type == ETH_P_IPV6)) {
		if (packet[0] >> 4 == 4) {
			type = ETH_P_IP;
			length = captured < 20 ? 0 : u16_at(packet + 2);
		} else if (packet[0] >> 4 == 6) {
			type = ETH_P_IPV6;
			length = captured < 40 || !u16_at(packet + 4) ? 0 : u16_at(packet + 4) + 40;
		}
	}
	put_u16(packet - 2, type);
	return length;
}

/* Whether the packet fits: 1 where there is no expression. `place` is enum frame_place. */
inline_always int expression_fits(const struct settings *wanted, const struct buffer *buffer, u64 network,
				  const struct flow *flow, int place, union scratch *scratch)
{
	struct frame *frame;
	u32 header = LINK_BYTES;
	u32 length;
	u8 *packet;

	if (!wanted->asks_expression)
		return 1;
	frame = frames.lookup(&place);
	if (!frame)
		return 1;
	put_addresses(frame->bytes, buffer, network, scratch);
	frame->tag = tag_of(buffer->address, scratch);
	if (frame->tag && wanted->asks_expression == EXPRESSION_TAG) {
		put_tag(frame->bytes + ADDRESS_BYTES, frame->tag);
		header = LINK_BYTES + TAG_BYTES;
	}
	packet = frame->bytes + header;
	frame->captured = put_bytes(packet, buffer, network, flow);
	length = put_type(packet, frame->captured, buffer->protocol);
	frame->captured += header;
	frame->length = header + (length ? length : buffer->length);
	return !!CALL_EXPRESSION(frame);
}

#define ETH_P_MPLS 0x8847
#define LABEL_BYTES 4

/* The header of a frame whose first label of MPLS has been taken off, with that label. Its length, or 0. */
inline_always u32 put_label(u8 *to, const struct buffer *buffer, u64 network, union scratch *scratch)
{
	u64 link = buffer->head + read_u16(scratch, buffer->address + OFF_sk_buff__mac_header);

	if (buffer->protocol != ETH_P_MPLS || link + LINK_BYTES + LABEL_BYTES != network)
		return 0;
	return read_bytes(to, LINK_BYTES + LABEL_BYTES, link) ? 0 : LINK_BYTES + LABEL_BYTES;
}

/* The header that a bridge goes by, of a packet that has one. Its length, or 0. */
inline_always u32 put_frame_header(u8 *to, const struct buffer *buffer, u64 network, union scratch *scratch)
{
	u32 header = ADDRESS_BYTES;
	u32 tag;

	if (!put_addresses(to, buffer, network, scratch))
		return put_label(to, buffer, network, scratch);
	tag = tag_of(buffer->address, scratch);
	if (tag) {
		put_tag(to + ADDRESS_BYTES, tag);
		header += TAG_BYTES;
	}
	put_u16(to + header, buffer->protocol);
	return header + 2;
}

/* With what the expression has seen of its link header, else with this. */
inline_always void put_link(struct drop_record *record, int place, const u8 *link, u32 length)
{
	struct settings *wanted = current_settings();
	struct frame *frame = wanted && wanted->asks_expression ? frames.lookup(&place) : NULL;

	record->link_length = 0;
	if (!frame) {
		__builtin_memcpy(record->link, link, LINK_BYTES + TAG_BYTES);
		record->link_length = length;
		return;
	}
	__builtin_memcpy(record->link, frame->bytes, LINK_BYTES);
	record->link_length = LINK_BYTES;
	if (!frame->tag)
		return;
	if (wanted->asks_expression == EXPRESSION_TAG)
		__builtin_memcpy(record->link + LINK_BYTES, frame->bytes + LINK_BYTES, TAG_BYTES);
	else
		__builtin_memcpy(record->link + LINK_BYTES + 2, frame->bytes + ADDRESS_BYTES, 2);
	put_tag(record->link + ADDRESS_BYTES, frame->tag);
	record->link_length = LINK_BYTES + TAG_BYTES;
}
