/* What IPVS sends to a real server by NAT. Without net.ipv4.vs.conntrack it has no conntrack entry, and from then on nothing
 * about it says what it was for: what it was when IPVS began with it is noted (ip_vs_nat_xmit in
 * net/netfilter/ipvs/ip_vs_xmit.c). */

#define REQUESTS 1024
#define REQUEST_NS 60000000000ULL /* after which it is another packet at the same address */

struct ipvs_request {
	u64 time_ns;
	struct flow flow; /* as it came */
	u32 pad;
};

BPF_TABLE("lru_hash", u64, struct ipvs_request, ipvs_requests, REQUESTS); /* by struct sk_buff */

/* ip_vs_nat_xmit, ip_vs_nat_xmit_v6(skb, cp, pp, ipvsh) */
int on_ipvs_nat(struct pt_regs *ctx)
{
	struct ipvs_request request = {};
	u64 skb = PT_REGS_PARM1(ctx);
	union scratch scratch;
	u64 network = read_pointer(&scratch, skb + OFF_sk_buff__head);

	network += read_u16(&scratch, skb + OFF_sk_buff__network_header);
	request.time_ns = bpf_ktime_get_ns();
	read_flow(&request.flow, network, &scratch);
	ipvs_requests.update(&skb, &request);
	return 0;
}

/* The kernel's own mark of what IPVS has dealt with. It goes when the packet leaves its namespace. */
inline_always int is_of_ipvs(u64 skb, union scratch *scratch)
{
	if (!IPVS_PROPERTY_BIT) /* a kernel without IPVS */
		return 0;
	return read_u8(scratch, skb + IPVS_PROPERTY_BIT / 8) >> IPVS_PROPERTY_BIT % 8 & 1;
}

/* What it was, NULL: IPVS has not changed it. `now` becomes what it is. Another packet at the same address that IPVS has
 * dealt with in another way is told by its ends. */
inline_always struct ipvs_request *ipvs_request_of(u64 skb, struct flow *now, union scratch *scratch)
{
	u64 network = read_pointer(scratch, skb + OFF_sk_buff__head);
	struct ipvs_request *request;
	u64 differs;
	u64 moved;

	if (!is_of_ipvs(skb, scratch))
		return NULL;
	network += read_u16(scratch, skb + OFF_sk_buff__network_header);
	read_flow(now, network, scratch);
	scratch->address = skb;
	request = ipvs_requests.lookup(&scratch->address);
	if (!request || bpf_ktime_get_ns() - request->time_ns > REQUEST_NS)
		return NULL;
	differs = (request->flow.proto ^ now->proto) | (request->flow.sport ^ now->sport);
	moved = request->flow.dport ^ now->dport;
	for (int i = 0; i < 4; i++) {
		differs |= request->flow.saddr[i] ^ now->saddr[i];
		moved |= request->flow.daddr[i] ^ now->daddr[i];
	}
	return differs || !moved ? NULL : request;
}

/* As origin_of() in bpf/past.c, 0: IPVS has not changed it. */
inline_always u64 origin_of_request(u64 skb, union scratch *scratch)
{
	struct settings *wanted = current_settings();
	struct flow now = {};
	struct ipvs_request *request = ipvs_request_of(skb, &now, scratch);
	u64 origin = NOTE_PAST;
	u64 sum;

	if (!request)
		return 0;
	now = request->flow;
	forget(&now, sizeof(now));
	if (wanted && wanted->asks_flow && flow_matches(&now, wanted))
		origin |= ORIGIN_FITS;
	sum = MIX(now.daddr[0] ^ (u64)now.daddr[1] << 32) ^ now.daddr[2] ^ (u64)now.daddr[3] << 32;
	return (MIX(sum ^ now.dport) & ~ORIGIN_BITS) | origin;
}

inline_always void put_end(u8 *to, const u32 *address, u8 family)
{
	if (family == 4)
		__builtin_memcpy(to, &address[3], sizeof(*address));
	else
		__builtin_memcpy(to, address, 4 * sizeof(*address));
}

/* Without a conntrack entry: in its place what such a one would have. */
inline_always void put_request(struct past_record *record, const struct flow *came, const struct flow *now)
{
	record->has_connection = CONNECTION_OF_IPVS;
	record->original.family = record->reply.family = came->family == 4 ? AF_INET : AF_INET6;
	record->original.proto = record->reply.proto = came->proto;
	put_end(record->original.saddr, came->saddr, came->family);
	put_end(record->original.daddr, came->daddr, came->family);
	put_end(record->reply.saddr, now->daddr, came->family);
	put_end(record->reply.daddr, now->saddr, came->family);
	record->original.sport = came->sport;
	record->original.dport = came->dport;
	record->reply.sport = now->dport;
	record->reply.dport = now->sport;
}
