/* A packet's header, made of its flow: for what dies before it has one. */

#define FLOW_HEADER_BYTES 44 /* of IPv6 with two ports */

inline_always void put_ports(u8 *to, const struct flow *flow)
{
	to[0] = flow->sport >> 8;
	to[1] = flow->sport;
	to[2] = flow->dport >> 8;
	to[3] = flow->dport;
}

/* An IP header without lengths, and the ports where the protocol has them, of ICMP the type and code. How many bytes. */
inline_always u32 put_header(u8 *packet, const struct flow *flow)
{
	u32 header = flow->family == 4 ? 20 : 40;

	__builtin_memset(packet, 0, FLOW_HEADER_BYTES);
	if (flow->family == 4) {
		packet[0] = 0x45;
		packet[9] = flow->proto;
		__builtin_memcpy(packet + 12, &flow->saddr[3], 4);
		__builtin_memcpy(packet + 16, &flow->daddr[3], 4);
		put_ports(packet + 20, flow);
	} else {
		packet[0] = 0x60;
		packet[6] = flow->proto;
		__builtin_memcpy(packet + 8, flow->saddr, 16);
		__builtin_memcpy(packet + 24, flow->daddr, 16);
		put_ports(packet + 40, flow);
	}
	if (flow->has_ports)
		return header + 4;
	return flow->proto == PROTO_ICMP || flow->proto == PROTO_ICMPV6 ? header + 2 : header;
}
