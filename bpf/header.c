/* A packet's header, made of its flow: for what dies before it has one. */

#define FLOW_HEADER_BYTES 44 /* of IPv6 with two ports */

inline_always void put_ports(u8 *to, const struct flow *flow)
{
	to[0] = flow->sport >> 8;
	to[1] = flow->sport;
	to[2] = flow->dport >> 8;
	to[3] = flow->dport;
}

/* An IP header without lengths, and the ports where the protocol has them, of ICMP the type and code. */
inline_always void put_header(struct drop_record *record, const struct flow *flow)
{
	u32 header = flow->family == 4 ? 20 : 40;

	__builtin_memset(record->packet, 0, FLOW_HEADER_BYTES);
	if (flow->family == 4) {
		record->packet[0] = 0x45;
		record->packet[9] = flow->proto;
		__builtin_memcpy(record->packet + 12, &flow->saddr[3], 4);
		__builtin_memcpy(record->packet + 16, &flow->daddr[3], 4);
		put_ports(record->packet + 20, flow);
	} else {
		record->packet[0] = 0x60;
		record->packet[6] = flow->proto;
		__builtin_memcpy(record->packet + 8, flow->saddr, 16);
		__builtin_memcpy(record->packet + 24, flow->daddr, 16);
		put_ports(record->packet + 40, flow);
	}
	record->packet_length = header;
	if (flow->has_ports)
		record->packet_length += 4;
	else if (flow->proto == PROTO_ICMP || flow->proto == PROTO_ICMPV6)
		record->packet_length += 2;
}
