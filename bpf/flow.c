/* The flow of a packet: addresses, protocol and ports, as its first bytes have them. */

#define PROTO_HOPOPTS 0
#define PROTO_ICMP 1
#define PROTO_IPIP 4
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_DCCP 33
#define PROTO_IPV6 41
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_GRE 47
#define PROTO_ESP 50
#define PROTO_AH 51
#define PROTO_ICMPV6 58
#define PROTO_DSTOPTS 60
#define PROTO_COMP 108
#define PROTO_L2TP 115
#define PROTO_SCTP 132
#define PROTO_MOBILITY 135
#define PROTO_UDPLITE 136
#define PROTO_MPLS 137
#define PROTO_ETHERNET 143

#define PORT_L2TP 1701
#define PORT_GTP_U 2152
#define PORT_IPSEC 4500 /* in UDP and in TCP */
#define PORT_VXLAN 4789
#define PORT_VXLAN_LINUX 8472
#define PORT_GENEVE 6081
#define PORT_MPLS 6635

#define EXTENSION_HEADERS 8

struct flow {
	u32 saddr[4]; /* network order; IPv4 as ::ffff:a.b.c.d */
	u32 daddr[4];
	u32 what; /* network order: SPI of ESP (also in UDP) and AH, type and code of ICMP; of TCP see below; else 0 */
	u16 sport; /* host order */
	u16 dport;
	u8 family; /* 4, 6, or 0: no IP header that can be read */
	u8 proto;
	u8 has_ports;
	u8 is_carrier; /* what it carries, quotes or continues cannot be seen here */
};

inline_always u16 u16_at(const u8 *bytes)
{
	return bytes[0] << 8 | bytes[1];
}

inline_always int is_with_ports(u8 proto)
{
	return proto == PROTO_UDP || proto == PROTO_TCP || proto == PROTO_SCTP || proto == PROTO_DCCP ||
	       proto == PROTO_UDPLITE;
}

/* The ports by which dropwatch/packet/transport.py opens what UDP and TCP carry. */
inline_always int has_carrier_port(const struct flow *flow)
{
	if (flow->sport == PORT_IPSEC || flow->dport == PORT_IPSEC)
		return flow->proto == PROTO_UDP || flow->proto == PROTO_TCP;
	if (flow->proto != PROTO_UDP)
		return 0;
	return flow->dport == PORT_VXLAN || flow->dport == PORT_VXLAN_LINUX || flow->dport == PORT_GENEVE ||
	       flow->dport == PORT_GTP_U || flow->dport == PORT_MPLS || flow->dport == PORT_L2TP ||
	       flow->sport == PORT_L2TP;
}

#define TCP_LENGTH 12 /* where it stands in its header, and the flags after it */
#define TCP_FLAGS 13
#define TCP_HANDSHAKE 0x17 /* FIN, SYN, RST, ACK */
#define TCP_HAS_DATA 0x100
#define UDP_BYTES 8 /* of its header */

/* What tells packets with the same addresses apart for the kernel as well. `end` is where the packet ends. */
inline_always u32 what_it_is(const struct flow *flow, u64 transport, u64 end, u32 start, union scratch *scratch)
{
	u32 flags;

	switch (flow->proto) {
	case PROTO_TCP:
		flags = read_u8(scratch, transport + TCP_FLAGS) & TCP_HANDSHAKE;
		transport += read_u8(scratch, transport + TCP_LENGTH) >> 4 << 2;
		return transport < end ? flags | TCP_HAS_DATA : flags;
	case PROTO_UDP: /* a keepalive of NAT has one byte */
		transport += UDP_BYTES;
		return flow->dport == PORT_IPSEC ? read_u32(scratch, transport) : transport + 1 == end;
	case PROTO_AH:
		return read_u32(scratch, transport + 4);
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		return start & bpf_htonl(0xffff0000);
	}
	return flow->proto == PROTO_ESP ? start : 0;
}

inline_always void read_ports(struct flow *flow, u64 transport, union scratch *scratch)
{
	const u8 *start = scratch->bytes;

	if (read_bytes(scratch->bytes, 4, transport))
		return;
	switch (flow->proto) {
	case PROTO_UDP:
	case PROTO_TCP:
	case PROTO_SCTP:
	case PROTO_DCCP:
	case PROTO_UDPLITE:
		flow->sport = u16_at(start);
		flow->dport = u16_at(start + 2);
		flow->has_ports = 1;
		flow->is_carrier = has_carrier_port(flow);
		return;
	case PROTO_ICMP: /* errors quote the packet they are about (RFC 792) */
		flow->is_carrier = start[0] == 3 || start[0] == 4 || start[0] == 5 || start[0] == 11 || start[0] == 12;
		return;
	case PROTO_ICMPV6: /* errors are the types below 128 (RFC 4443), and a redirect quotes too */
		flow->is_carrier = start[0] < 128 || start[0] == 137;
		return;
	case PROTO_ESP:
	case PROTO_AH:
	case PROTO_COMP:
	case PROTO_GRE:
	case PROTO_IPIP:
	case PROTO_IPV6:
	case PROTO_L2TP:
	case PROTO_MPLS:
	case PROTO_ETHERNET:
	case PROTO_HOPOPTS: /* more extension headers than are followed here */
	case PROTO_ROUTING:
	case PROTO_DSTOPTS:
	case PROTO_MOBILITY:
	case PROTO_FRAGMENT:
		flow->is_carrier = 1;
	}
}

inline_always void read_transport(struct flow *flow, u64 transport, u64 end, union scratch *scratch)
{
	read_ports(flow, transport, scratch);
	if (FOLDS)
		flow->what = what_it_is(flow, transport, end, read_u32(scratch, transport), scratch);
}

/* Where the header of its transport is, 0: there is none. `end`: where the packet ends */
inline_always u64 read_flow4(struct flow *flow, u64 network, u64 *end, union scratch *scratch)
{
	const u8 *ip = scratch->bytes;
	u8 words;

	if (read_bytes(scratch->bytes, 20, network))
		return 0;
	*end = network + u16_at(ip + 2);
	flow->family = 4;
	flow->proto = ip[9];
	flow->saddr[2] = flow->daddr[2] = bpf_htonl(0xffff);
	flow->saddr[3] = *(const u32 *)(ip + 12);
	flow->daddr[3] = *(const u32 *)(ip + 16);
	words = ip[0] & 0xf;
	if (u16_at(ip + 6) & 0x1fff) { /* not the first fragment: no transport header */
		flow->is_carrier = 1;
		return 0;
	}
	return network + words * 4;
}

/* Likewise. */
inline_always u64 read_flow6(struct flow *flow, u64 network, u64 *end, union scratch *scratch)
{
	const u8 *ip = scratch->bytes;
	u64 at = network + 40;

	if (read_bytes(scratch->bytes, 40, network))
		return 0;
	*end = at + u16_at(ip + 4);
	flow->family = 6;
	__builtin_memcpy(flow->saddr, ip + 8, 16);
	__builtin_memcpy(flow->daddr, ip + 24, 16);
	flow->proto = ip[6];
	for (int i = 0; i < EXTENSION_HEADERS; i++) {
		if (flow->proto != PROTO_HOPOPTS && flow->proto != PROTO_ROUTING && flow->proto != PROTO_DSTOPTS &&
		    flow->proto != PROTO_MOBILITY && flow->proto != PROTO_FRAGMENT)
			break;
		if (read_bytes(scratch->bytes, 4, at))
			break;
		if (flow->proto == PROTO_FRAGMENT) {
			flow->proto = ip[0];
			if (u16_at(ip + 2) & 0xfff8) {
				flow->is_carrier = 1;
				return 0;
			}
			at += 8;
		} else {
			flow->proto = ip[0];
			at += (ip[1] + 1) * 8;
		}
	}
	return at;
}

/* Where the header of its transport is, 0: there is none. `end`: where the packet ends, as its header says */
inline_always u64 find_transport(struct flow *flow, u64 *end, u64 network, union scratch *scratch)
{
	u8 version = read_u8(scratch, network) >> 4;
	u64 transport = 0;

	if (version == 4)
		transport = read_flow4(flow, network, end, scratch);
	else if (version == 6)
		transport = read_flow6(flow, network, end, scratch);
	forget(&transport, sizeof(transport));
	return transport;
}

inline_always void read_flow(struct flow *flow, u64 network, union scratch *scratch)
{
	u64 end = 0;
	u64 transport = find_transport(flow, &end, network, scratch);

	if (transport)
		read_transport(flow, transport, end, scratch);
	forget(flow, sizeof(*flow));
}
