/* Decides whether a packet is one that the user asked for. User space repeats the decision with more knowledge:
 * here a packet is refused only when no reading of it can match. */

inline_always u64 in_prefix(const u32 *address, const struct prefix *prefix)
{
	return 1 ^ is_not_zero(((address[0] ^ prefix->address[0]) & prefix->mask[0]) |
			       ((address[1] ^ prefix->address[1]) & prefix->mask[1]) |
			       ((address[2] ^ prefix->address[2]) & prefix->mask[2]) |
			       ((address[3] ^ prefix->address[3]) & prefix->mask[3]));
}

inline_always u64 in_any_prefix(const u32 *address, const struct prefix *prefixes, u32 count)
{
	u64 fits = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < ALTERNATIVES; i++)
		fits |= is_less(i, count) & in_prefix(address, &prefixes[i]);
	return fits;
}

inline_always u64 in_any_range(u16 port, const struct port_range *ranges, u32 count)
{
	u64 fits = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < ALTERNATIVES; i++)
		fits |= is_less(i, count) & (1 ^ (is_less(port, ranges[i].first) | is_less(ranges[i].last, port)));
	return fits;
}

/* What stands in struct settings three times: for the source, the destination, and for either of them. */
#define OF_THREE(wanted, first, size, kind)                                                                            \
	((const void *)(wanted) + __builtin_offsetof(struct settings, first) + (size) * (kind))

#define ENDS_FIT(fits) (((fits)&3) == 3 && ((fits)&12))

inline_always int addresses_match(const struct flow *flow, const struct settings *wanted)
{
	u64 fits = 0;

	if (!wanted->saddrs && !wanted->daddrs && !wanted->hosts)
		return 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 4; i++) {
		u32 kind = i < 3 ? i : 2;
		u32 count = *(const u32 *)OF_THREE(wanted, saddrs, sizeof(u32), kind);

		u64 here = in_any_prefix(i & 1 ? flow->daddr : flow->saddr,
					 OF_THREE(wanted, saddr, sizeof(wanted->saddr), kind), count);

		fits |= (here | (1 ^ is_not_zero(count))) << i;
		end_of_body(i);
	}
	return ENDS_FIT(fits);
}

inline_always int ports_match(const struct flow *flow, const struct settings *wanted)
{
	if (wanted->dports && !in_any_range(flow->dport, wanted->dport, wanted->dports))
		return 0;
	if (wanted->sports && !in_any_range(flow->sport, wanted->sport, wanted->sports))
		return 0;
	return !wanted->ports || in_any_range(flow->sport, wanted->port, wanted->ports) ||
	       in_any_range(flow->dport, wanted->port, wanted->ports);
}

inline_always int flow_matches(const struct flow *flow, const struct settings *wanted)
{
	if (wanted->families && !(wanted->families & (flow->family == 4 ? 1 : 2)))
		return 0;
	if (wanted->asks_proto && !(wanted->protos[(flow->proto >> 6) & 3] & 1ULL << (flow->proto & 63)))
		return 0;
	if ((wanted->sports || wanted->dports || wanted->ports) && !flow->has_ports)
		return 0;
	return ports_match(flow, wanted) && addresses_match(flow, wanted);
}

#define ETH_P_ARP 0x0806

/* 0: nobody asked for it, 1: it matches, 2: it may carry what was asked for. `protocol` is the ethertype. */
inline_always int flow_fits(const struct flow *flow, const struct settings *wanted, u16 protocol)
{
	if (!wanted->asks_flow)
		return 1;
	if (!flow->family)
		return wanted->asks_arp && protocol == ETH_P_ARP;
	if (flow_matches(flow, wanted))
		return 1;
	return flow->is_carrier ? 2 : 0;
}

/* Likewise. `network` is 0 where the flow is known. `asked`: somebody else asks for the flow. */
inline_always int flow_wanted(struct flow *flow, const struct settings *wanted, u64 network, u16 protocol, int asked,
			      union scratch *scratch)
{
	if (network && (SUMMARY || asked || wanted->asks_flow || wanted->asks_expression || wanted->first_of_a_sort))
		read_flow(flow, network, scratch);
	return flow_fits(flow, wanted, protocol);
}

inline_always int netns_wanted(const struct settings *wanted, u32 inode)
{
	u64 fits = 1 ^ is_not_zero(wanted->netnses);

#pragma clang loop unroll(disable)
	for (int i = 0; i < ALTERNATIVES; i++)
		fits |= is_less(i, wanted->netnses) & (1 ^ is_not_zero(wanted->netns[i] ^ inode));
	return !!fits;
}

inline_always int mark_wanted(const struct settings *wanted, u32 mark)
{
	u64 fits = 1 ^ is_not_zero(wanted->marks);

#pragma clang loop unroll(disable)
	for (int i = 0; i < ALTERNATIVES; i++)
		fits |= is_less(i, wanted->marks) &
			(1 ^ is_not_zero((mark & wanted->mark[i].mask) ^ wanted->mark[i].value));
	return !!fits;
}

/* A packet without a device, or without its name, or one that came in through another, is left to user space. */
inline_always int iface_wanted(const struct settings *wanted, const char *name, u32 ifindex, u32 skb_iif)
{
	u64 fits = 0;

	if (!wanted->ifaces || !ifindex || !name[0] || (skb_iif && skb_iif != ifindex))
		return 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < ALTERNATIVES; i++) {
		const u64 *asked = (const u64 *)wanted->iface[i];
		const u64 *have = (const u64 *)name;
		fits |= is_less(i, wanted->ifaces) & (1 ^ is_not_zero((asked[0] ^ have[0]) | (asked[1] ^ have[1])));
	}
	return !!fits;
}
