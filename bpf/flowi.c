/* The flow for which the output path looks for a route or an SA (struct flowi). */

/* `flowi`: a struct flowi of this family. */
inline_always int read_flowi(struct flow *flow, u64 flowi, u16 family, union scratch *scratch)
{
	u64 upper;

	if (family == AF_INET) {
		flow->family = 4;
		flow->saddr[2] = flow->daddr[2] = bpf_htonl(0xffff);
		flow->saddr[3] = read_u32(scratch, flowi + OFF_flowi4__saddr);
		flow->daddr[3] = read_u32(scratch, flowi + OFF_flowi4__daddr);
		upper = flowi + OFF_flowi4__uli;
	} else if (family == AF_INET6) {
		flow->family = 6;
		read_member(flow->saddr, flowi, OFF_flowi6__saddr);
		read_member(flow->daddr, flowi, OFF_flowi6__daddr);
		upper = flowi + OFF_flowi6__uli;
	} else {
		return 0;
	}
	flow->proto = read_u8(scratch, flowi + OFF_flowi_common__flowic_proto);
	switch (flow->proto) {
	case PROTO_UDP:
	case PROTO_TCP:
	case PROTO_SCTP:
	case PROTO_DCCP:
	case PROTO_UDPLITE: /* union flowi_uli: dport, sport */
		flow->dport = bpf_ntohs(read_u16(scratch, upper));
		flow->sport = bpf_ntohs(read_u16(scratch, upper + 2));
		flow->has_ports = 1;
		break;
	case PROTO_ICMP:
	case PROTO_ICMPV6: /* type and code, which are no ports to the filter */
		flow->sport = bpf_ntohs(read_u16(scratch, upper));
	}
	return 1;
}
