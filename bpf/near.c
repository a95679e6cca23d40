/* Drops that nobody asked for and that nearly fit the filter: what a user is told of when nothing fits. A program of its own,
 * attached where somebody would be told; it looks at so many at a time, so that a flood costs no more than to count it. */

#define NEAR 128 /* as many as seven bits tell apart */
#define NEAR_IN_A_WHILE 1000 /* at most, on a CPU */
#define A_WHILE 8 /* 256 jiffies: .3 to 2.6 seconds, as the kernel is configured */
#define MOST_MISSES 2 /* kinds of the filter that do not fit */

struct near {
	u64 packets; /* 0: nothing is here */
	u64 location;
	struct flow flow; /* of the first of them, as the rest */
	u32 netns;
	u32 misses;
	u32 distance; /* of what does not fit to what was asked for: the nearer one takes the place */
	u32 ifindex;
	u32 mark;
	char ifname[NAME_BYTES];
};

struct near_looks {
	u64 passed_over; /* drops that were not looked at, because there were too many in that second */
	u64 crowded_out; /* near ones whose place has another */
	u32 since; /* which while it is */
	u32 looked; /* in it */
};

BPF_ARRAY(near_wanted, struct settings, 1); /* what of the filter can be compared with a flow */
BPF_PERCPU_ARRAY(near_drops, struct near, NEAR);
BPF_PERCPU_ARRAY(near_looks, struct near_looks, 1);

inline_always u32 port_distance(u16 port, const struct port_range *asked)
{
	return port < asked->first ? asked->first - port : port - asked->first;
}

/* As numbers: the more leading bits agree the smaller. Of IPv6 what is above the last word has to agree. */
inline_always u32 address_distance(const u32 *address, const struct prefix *asked)
{
	if (address[0] != asked->address[0] || address[1] != asked->address[1] || address[2] != asked->address[2])
		return ~0;
	return bpf_ntohl(address[3] ^ asked->address[3]);
}

inline_always void miss(struct near *near, u32 distance)
{
	near->misses++;
	if (distance > near->distance)
		near->distance = distance;
}

inline_always void miss_ports(struct near *near, const struct flow *flow, const struct settings *wanted)
{
	if (wanted->dports && !in_any_range(flow->dport, wanted->dport, wanted->dports))
		miss(near, in_any_range(flow->sport, wanted->dport, wanted->dports)
				   ? 0
				   : port_distance(flow->dport, wanted->dport));
	if (wanted->sports && !in_any_range(flow->sport, wanted->sport, wanted->sports))
		miss(near, in_any_range(flow->dport, wanted->sport, wanted->sports)
				   ? 0
				   : port_distance(flow->sport, wanted->sport));
	if (wanted->ports && !in_any_range(flow->sport, wanted->port, wanted->ports) &&
	    !in_any_range(flow->dport, wanted->port, wanted->ports))
		miss(near, port_distance(flow->dport, wanted->port));
}

inline_always void miss_addresses(struct near *near, const struct flow *flow, const struct settings *wanted)
{
	if (wanted->saddrs && !in_any_prefix(flow->saddr, wanted->saddr, wanted->saddrs))
		miss(near, address_distance(flow->saddr, wanted->saddr));
	if (wanted->daddrs && !in_any_prefix(flow->daddr, wanted->daddr, wanted->daddrs))
		miss(near, address_distance(flow->daddr, wanted->daddr));
	if (wanted->hosts && !in_any_prefix(flow->saddr, wanted->host, wanted->hosts) &&
	    !in_any_prefix(flow->daddr, wanted->host, wanted->hosts))
		miss(near, address_distance(flow->daddr, wanted->host));
}

/* How many kinds of the filter that are about the flow do not fit it. What has no ports is near to no port. */
inline_always void miss_flow(struct near *near, const struct settings *wanted)
{
	const struct flow *flow = &near->flow;

	if ((wanted->sports || wanted->dports || wanted->ports) && !flow->has_ports) {
		near->misses = MOST_MISSES + 1;
		return;
	}
	if (wanted->families && !(wanted->families & (flow->family == 4 ? 1 : 2)))
		miss(near, 0);
	if (wanted->asks_proto && !(wanted->protos[(flow->proto >> 6) & 3] & 1ULL << (flow->proto & 63)))
		miss(near, 0);
	miss_ports(near, flow, wanted);
	miss_addresses(near, flow, wanted);
}

inline_always void miss_place(struct near *near, const struct place *place, const struct buffer *buffer,
			      const struct settings *wanted)
{
	if (!netns_wanted(wanted, place->netns))
		miss(near, 0);
	if (!iface_wanted(wanted, place->name, place->ifindex, buffer->skb_iif))
		miss(near, 0);
	if (!mark_wanted(wanted, buffer->mark))
		miss(near, 0);
}

inline_always int is_same(const struct near *one, const struct near *other)
{
	const u64 *a = (const u64 *)one->flow.saddr;
	const u64 *b = (const u64 *)other->flow.saddr;

	return one->location == other->location && one->netns == other->netns && one->flow.dport == other->flow.dport &&
	       one->flow.proto == other->flow.proto && one->ifindex == other->ifindex && a[0] == b[0] && a[1] == b[1] &&
	       a[2] == b[2] && a[3] == b[3];
}

inline_always u32 place_of(const struct near *near)
{
	const u32 *words = near->flow.saddr;
	u32 sum = near->location ^ near->netns ^ near->flow.dport << 8 ^ near->flow.proto;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 8; i++) /* the addresses */
		sum = (sum ^ words[i]) * 0x9e3779b1;
	return sum >> 25;
}

inline_always int is_nearer(const struct near *one, const struct near *other)
{
	if (!other->packets || one->misses != other->misses)
		return !other->packets || one->misses < other->misses;
	return one->distance < other->distance;
}

/* There are two places for it: what is the same has one of them already, else the farther one makes room. */
inline_always void keep(const struct near *near, struct near_looks *looks)
{
	u32 place = place_of(near);
	u32 beside = place ^ 1;
	struct near *kept = near_drops.lookup(&place);
	struct near *other = near_drops.lookup(&beside);

	if (!kept || !other)
		return;
	if (other->packets && is_same(other, near))
		kept = other;
	else if (kept->packets && !is_same(kept, near) && is_nearer(kept, other))
		kept = other;
	if (kept->packets && is_same(kept, near)) {
		kept->packets++;
	} else if (is_nearer(near, kept)) {
		looks->crowded_out += kept->packets;
		*kept = *near;
	} else {
		looks->crowded_out++;
	}
}

/* Whether there is time for one more in this while. */
inline_always int has_look(struct near_looks *looks)
{
	u32 since = bpf_jiffies64() >> A_WHILE;

	if (looks->since != since) {
		looks->since = since;
		looks->looked = 0;
	}
	if (looks->looked == NEAR_IN_A_WHILE) {
		looks->passed_over++;
		return 0;
	}
	looks->looked++;
	return 1;
}

/* skb:kfree_skb, beside on_kfree_skb. What it misses because an interrupt found it running is not near enough to matter. */
int on_near(struct bpf_raw_tracepoint_args *ctx)
{
	u64 receiver = KFREE_SKB_SOCKET_ARGUMENT ? ctx->args[3] : 0;
	int zero = 0;
	struct settings *wanted = near_wanted.lookup(&zero);
	struct near_looks *looks = near_looks.lookup(&zero);
	struct near near = {};
	struct place place = {};
	struct buffer buffer;
	union scratch scratch;

	if (!wanted || !looks || !has_look(looks) || !read_buffer(&buffer, ctx->args[0], &scratch))
		return 0;
	if (!buffer.protocol && !buffer.network) /* of no network */
		return 0;
	read_flow(&near.flow, network_header(&buffer, &scratch), &scratch);
	if (!near.flow.family || near.flow.is_carrier) /* that goes to user space, which looks into it */
		return 0;
	near.flow.what = 0;
	miss_flow(&near, wanted);
	forget(&near, sizeof(near));
	if (near.misses > MOST_MISSES)
		return 0;
	forget_no_mark(&buffer, &scratch);
	find_place(&place, NULL, &buffer, receiver, wanted->netns_operations, &scratch);
	forget(&place, sizeof(place));
	miss_place(&near, &place, &buffer, wanted);
	forget(&near, sizeof(near));
	if (!near.misses || near.misses > MOST_MISSES)
		return 0;
	near.packets = 1;
	near.location = ctx->args[1];
	near.netns = place.netns;
	near.ifindex = place.ifindex;
	near.mark = buffer.mark;
	__builtin_memcpy(near.ifname, place.name, sizeof(near.ifname));
	keep(&near, looks);
	return 0;
}
