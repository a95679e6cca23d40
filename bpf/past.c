/* What a packet itself still says of its past when it dies: the connection that it belongs to, whose entry has the
 * addresses from before a translation, and the port of a bridge through which it came to the hooks of IP. */

#define REPLIES 3 /* IP_CT_IS_REPLY, linux/netfilter/nf_conntrack_common.h: from here on it is in the other direction */
#define NFCT_INFO 7 /* NFCT_INFOMASK: enum ip_conntrack_info, in the low bits of skb->_nfct */

/* struct nf_conntrack_tuple, include/net/netfilter/nf_conntrack_tuple.h */
struct tuple {
	u32 saddr[4]; /* network order; of IPv4 the first */
	u16 sport; /* network order, of ICMP the identifier */
	u16 family;
	u32 daddr[4];
	u16 dport;
	u8 proto;
	u8 direction;
};

/* Of both directions: as the packet's own direction has it, and as that of the answers to it. */
struct tuples {
	struct tuple own;
	struct tuple back;
};

/* Whether there is anything to look back to. */
inline_always int has_past(u64 skb, union scratch *scratch)
{
	return (HAS_SOLICIT && is_solicited()) || (read_pointer(scratch, skb + OFF_sk_buff___nfct) & NFCT_POINTER) ||
	       read_u8(scratch, skb + OFF_sk_buff__active_extensions) || (HAS_IPVS && is_of_ipvs(skb, scratch));
}

/* By a program with a stack of its own, which comes back. */
inline_always void look_back_at(struct bpf_raw_tracepoint_args *ctx, u32 notes)
{
	struct death *death = current_death();

	if (!death)
		return;
	death->notes = notes;
	drop_details.call(ctx, DETAIL_LOOK_BACK);
}

inline_always void read_tuple(struct tuple *tuple, u64 connection, u32 is_reply)
{
	u64 at = connection + OFF_nf_conn__tuplehash + OFF_nf_conntrack_tuple_hash__tuple;

	read_bytes(tuple, sizeof(*tuple), is_reply ? at + SIZE_nf_conntrack_tuple_hash : at);
}

/* Addresses, and ports where the protocol has them: of ICMP a tuple has type and code there, which the other way round
 * are others. */
inline_always int is_translated(const struct tuples *of)
{
	u64 differs = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 4; i++) {
		differs |= of->own.saddr[i] ^ of->back.daddr[i];
		differs |= of->own.daddr[i] ^ of->back.saddr[i];
		end_of_body(i);
	}
	if (of->own.proto != PROTO_ICMP && of->own.proto != PROTO_ICMPV6)
		differs |= (of->own.sport ^ of->back.dport) | (of->own.dport ^ of->back.sport);
	forget(&differs, sizeof(differs));
	return !!differs;
}

inline_always void put_address(u32 *to, const u32 *from, u16 family)
{
	to[0] = family == AF_INET ? 0 : from[0];
	to[1] = family == AF_INET ? 0 : from[1];
	to[2] = family == AF_INET ? bpf_htonl(0xffff) : from[2];
	to[3] = family == AF_INET ? from[0] : from[3];
}

/* Source and destination are translated one after the other: the packet had, has or was to have each pair of them. */
inline_always int was_asked_for(struct flow *flow, const struct tuples *of, const struct settings *wanted)
{
	int fits = 0;

	flow->family = of->own.family == AF_INET ? 4 : 6;
	flow->proto = of->own.proto;
	flow->has_ports = is_with_ports(of->own.proto);
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++) {
		put_address(flow->saddr, i & 1 ? of->back.daddr : of->own.saddr, of->own.family);
		flow->sport = bpf_ntohs(i & 1 ? of->back.dport : of->own.sport);
		put_address(flow->daddr, i & 2 ? of->back.saddr : of->own.daddr, of->own.family);
		flow->dport = bpf_ntohs(i & 2 ? of->back.sport : of->own.dport);
		forget(flow, sizeof(*flow));
		fits |= flow_matches(flow, wanted);
		forget(&fits, sizeof(fits));
	}
	return fits;
}

/* Without the port of the side that chose it freely, as in what drops are counted by. */
inline_always u64 sum_of(struct tuples *of, u32 is_reply)
{
	const u32 *words = (const u32 *)of;
	u64 sum = 0;

	if (is_reply)
		of->own.dport = of->back.sport = 0;
	else
		of->own.sport = of->back.dport = 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < sizeof(*of) / sizeof(*words); i++) {
		sum = MIX(sum ^ words[i]);
		end_of_body(i);
	}
	return sum;
}

/* The port of a bridge whose frame met the hooks of IP (struct nf_bridge_info): its index, 0: none. */
inline_always u32 bridge_port(u64 skb, union scratch *scratch)
{
	struct netfilter_layout *layout = current_layout();
	u64 at = read_pointer(scratch, skb + OFF_sk_buff__extensions);

	if (!layout || !layout->bridge_extension ||
	    !(read_u8(scratch, skb + OFF_sk_buff__active_extensions) >> (layout->bridge_extension - 1) & 1))
		return 0;
	/* offsets are in units of 8 bytes (SKB_EXT_ALIGN_VALUE) */
	at += (u64)read_u8(scratch, at + OFF_skb_ext__offset + layout->bridge_extension - 1) << 3;
	if (!layout->bridge_port_is_device)
		return read_u32(scratch, at + layout->bridge_port);
	return read_u32(scratch, read_pointer(scratch, at + layout->bridge_port) + OFF_net_device__ifindex);
}

/* The entry that skb->_nfct has; 0: none, or none that can be read. `of` becomes both directions of it. */
inline_always u64 read_connection(struct tuples *of, u64 entry)
{
	u64 connection = entry & NFCT_POINTER;
	u32 is_reply = (entry & NFCT_INFO) >= REPLIES;

	if (!connection || SIZE_nf_conntrack_tuple != sizeof(struct tuple))
		return 0;
	read_tuple(&of->own, connection, is_reply);
	read_tuple(&of->back, connection, !is_reply);
	return connection;
}

/* Whether the answers of this connection go back to where a packet with this flow came from. */
inline_always int is_of_connection(const struct flow *flow, const struct tuples *of)
{
	u32 end[4];
	u64 differs = (of->back.sport ^ bpf_htons(flow->dport)) | (of->back.dport ^ bpf_htons(flow->sport));

	put_address(end, of->back.daddr, of->own.family);
	for (int i = 0; i < 4; i++)
		differs |= end[i] ^ flow->saddr[i];
	put_address(end, of->back.saddr, of->own.family);
	for (int i = 0; i < 4; i++)
		differs |= end[i] ^ flow->daddr[i];
	return !differs;
}

/* Whether a packet that the filter does not ask for is one by other addresses of its connection. */
inline_always int is_wanted_by_connection(u64 skb)
{
	struct settings *wanted = current_settings();
	struct tuples of;
	struct flow flow = {};
	union scratch scratch;

	if (!wanted || !wanted->asks_flow)
		return 0;
	return read_connection(&of, read_pointer(&scratch, skb + OFF_sk_buff___nfct)) && is_translated(&of) &&
	       was_asked_for(&flow, &of, wanted);
}

/* death.origin. `entry`: what it has in skb->_nfct, or had. */
inline_always u64 origin_of(u64 skb, u64 entry, union scratch *scratch)
{
	struct tuples *of = (struct tuples *)scratch->bytes;
	u64 sum = bridge_port(skb, scratch);
	u64 origin = sum ? NOTE_PAST : 0;
	struct settings *wanted = current_settings();
	struct flow flow = {};

	if (entry & NFCT_POINTER) {
		origin = NOTE_PAST;
		sum = MIX(sum) ^ read_u32(scratch, (entry & NFCT_POINTER) + OFF_nf_conn__mark);
		sum = MIX(sum) ^ (u16)read_u32(scratch, (entry & NFCT_POINTER) + OFF_nf_conn__zone);
	}
	if (read_connection(of, entry) && is_translated(of)) {
		if (wanted && wanted->asks_flow && was_asked_for(&flow, of, wanted))
			origin |= ORIGIN_FITS;
		sum = MIX(sum) ^ sum_of(of, (entry & NFCT_INFO) >= REPLIES);
	}
	return (MIX(sum) & ~ORIGIN_BITS) | origin;
}

int look_back(struct bpf_raw_tracepoint_args *ctx)
{
	struct death *death = current_death();
	union scratch scratch;
	u64 entry;

	if (!death || death->skb != ctx->args[0])
		return out_of_hand();
	death->origin = HAS_SOLICIT ? origin_of_question(ctx->args[0], &scratch) : 0;
	entry = read_pointer(&scratch, ctx->args[0] + OFF_sk_buff___nfct);
	if (HAS_IPVS && !death->origin && !(entry & NFCT_POINTER))
		death->origin = origin_of_request(ctx->args[0], &scratch);
	if (!death->origin)
		death->origin = origin_of(ctx->args[0], entry, &scratch);
	death->is_again = 1;
	drop_details.call(ctx, DETAIL_COUNT);
	death->is_again = 0; /* it is there, else nobody would have come here */
	return out_of_hand();
}

inline_always void put_direction(struct past_direction *direction, u64 connection, u32 is_reply)
{
	struct tuple tuple;

	read_tuple(&tuple, connection, is_reply);
	__builtin_memcpy(direction->saddr, tuple.saddr, sizeof(tuple.saddr));
	__builtin_memcpy(direction->daddr, tuple.daddr, sizeof(tuple.daddr));
	direction->sport = bpf_ntohs(tuple.sport);
	direction->dport = bpf_ntohs(tuple.dport);
	direction->family = tuple.family;
	direction->proto = tuple.proto;
}

/* `came`: what IPVS had, and has made `now` of it; NULL: nothing. */
inline_always void put_past(u64 skb, u64 entry, u64 time, const struct flow *came, const struct flow *now,
			    union scratch *scratch)
{
	struct solicitation *question = HAS_SOLICIT ? solicitation_of(skb, scratch) : NULL;
	u64 connection = entry & NFCT_POINTER;
	struct past_record *record = events.ringbuf_reserve(sizeof(*record));

	if (!record) {
		count_unsent(LOSS_DETAIL);
		return;
	}
	__builtin_memset(record, 0, sizeof(*record));
	begin_record(record, time, skb, RECORD_PAST);
	if (question) {
		record->has_waiting = 1;
		__builtin_memcpy(record->waiting, &question->flow, sizeof(question->flow));
	}
	record->bridge_port = bridge_port(skb, scratch);
	if (connection && SIZE_nf_conntrack_tuple == sizeof(struct tuple)) {
		record->has_connection = CONNECTION_OF_CONNTRACK;
		record->info = entry & NFCT_INFO;
		record->status = read_pointer(scratch, connection + OFF_nf_conn__status);
		record->mark = read_u32(scratch, connection + OFF_nf_conn__mark);
		record->zone = (u16)read_u32(scratch, connection + OFF_nf_conn__zone); /* id, flags, dir */
		put_direction(&record->original, connection, 0);
		put_direction(&record->reply, connection, 1);
	} else if (came) {
		put_request(record, came, now);
	}
	events.ringbuf_submit(record, 0);
}

/* Between the DROP record and the record of what was searched for, if there is any. */
int send_past(struct bpf_raw_tracepoint_args *ctx)
{
	struct death *death = current_death();
	struct ipvs_request *request = NULL;
	struct flow now = {};
	union scratch scratch;
	u64 skb = ctx->args[0];
	u64 entry;

	if (!death || death->skb != skb)
		return out_of_hand();
	entry = read_pointer(&scratch, skb + OFF_sk_buff___nfct);
	if (HAS_IPVS && !(entry & NFCT_POINTER))
		request = ipvs_request_of(skb, &now, &scratch);
	put_past(skb, entry, death->time, request ? &request->flow : NULL, &now, &scratch);
	if (death->detail)
		drop_details.call(ctx, death->detail);
	return out_of_hand();
}
