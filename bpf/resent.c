/* TCP segments that this host's sockets send again: had the one before, or what acknowledged it, died here? Deaths are
 * remembered by the addresses and ports of their connection, with their sequence numbers, whatever else was asked for: in
 * all namespaces and in both directions, also by those from before a translation. */

#define DEAD_FLOWS (FOLDS ? 2048 : 1) /* places */
#define DEAD_RANGES 8 /* of a flow */
#define DEATHS_A_SECOND 2000 /* that are looked at, on a CPU */
#define LONGEST_TIMER_NS (1ULL << 37) /* above TCP_RTO_MAX: what died before has been sent again since then */
#define BURST_NS (1ULL << 22) /* shorter than any timer of TCP: what follows on one another in that time is one range */

struct ends {
	u32 saddr[4];
	u32 daddr[4];
	u16 sport;
	u16 dport;
	u32 pad;
};

struct dead_range {
	u64 first; /* when it died, in ns; of several the first */
	u64 last;
	u64 skb; /* of the first */
	u64 location;
	u32 seq;
	u32 end; /* the same: no data */
	u32 ack;
	u32 has_ack;
};

struct dead_flow {
	struct ends ends;
	u64 ranges; /* so many there were: the last DEAD_RANGES of them are here */
	u64 last; /* death, in ns */
	struct dead_range range[DEAD_RANGES];
};

struct resent_counts {
	u64 segments; /* sent again, as the kernel counts them in TcpRetransSegs */
	u64 failed; /* of them: the host did not get them away */
	u64 joined; /* of which the one before, or its acknowledgement, died here */
	u64 untold; /* of them: the ring had no room */
	u64 crowded; /* not joined, and more had died of their flow than was remembered */
	u64 before; /* not joined, and sent first before anybody watched */
	u64 undated; /* not joined, and nobody knows when the one before was sent */
	u64 passed_over; /* deaths that were too many to be looked at */
	u64 forgotten; /* flows that had to make room too soon */
	u64 carriers; /* deaths of what may have carried segments, or quoted them */
	u64 second;
	u64 looked; /* deaths in that second */
};

/* What __tcp_retransmit_skb is about to send on this CPU. TCP sends with softirqs off, so that nothing comes between. */
struct resending {
	u64 sock;
	u64 skb; /* 0: told */
	u64 sent; /* when it was sent last, in ns */
	u64 retransmitted; /* segments of the connection, before */
	u64 told; /* of them now, by the tracepoint */
	struct resent_record record;
	struct ends ends; /* whose deaths are looked for */
};

BPF_ARRAY(resent_wanted, struct settings, 1); /* of the filter what is about flows; and namespaces of sockets */
BPF_ARRAY(resent_since, u64, 1); /* when all was attached, in ns; 0: not yet, all ones: nothing is counted any more */
BPF_ARRAY(dead_flows, struct dead_flow, DEAD_FLOWS);
BPF_PERCPU_ARRAY(resent_counts, struct resent_counts, 1);
BPF_PERCPU_ARRAY(resendings, struct resending, 1);

inline_always struct resent_counts *current_resent_counts(void)
{
	int zero = 0;
	return resent_counts.lookup(&zero);
}

inline_always struct resending *current_resending(void)
{
	int zero = 0;
	return resendings.lookup(&zero);
}

inline_always void put_ends(struct ends *ends, const struct flow *flow, int is_back)
{
	__builtin_memcpy(ends->saddr, is_back ? flow->daddr : flow->saddr, sizeof(ends->saddr));
	__builtin_memcpy(ends->daddr, is_back ? flow->saddr : flow->daddr, sizeof(ends->daddr));
	ends->sport = is_back ? flow->dport : flow->sport;
	ends->dport = is_back ? flow->sport : flow->dport;
	ends->pad = 0;
}

inline_always int are_same_ends(const struct ends *one, const struct ends *other)
{
	const u64 *a = (const u64 *)one;
	const u64 *b = (const u64 *)other;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4];
}

inline_always u32 place_of_ends(const struct ends *ends)
{
	const u64 *words = (const u64 *)ends;
	u64 sum = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 5; i++) {
		sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15ULL;
		sum ^= sum >> 32;
	}
	return sum & (DEAD_FLOWS - 1);
}

inline_always void add_range(struct dead_flow *flow, const struct dead_range *death)
{
	struct dead_range *newest = &flow->range[(flow->ranges - 1) & (DEAD_RANGES - 1)];
	int has_data = death->end != death->seq;

	if (flow->ranges && newest->location == death->location && newest->has_ack == death->has_ack &&
	    death->last - newest->last < BURST_NS &&
	    (has_data ? newest->end == death->seq && newest->seq != newest->end : newest->seq == newest->end)) {
		newest->end = has_data ? death->end : newest->end;
		newest->ack = death->ack;
		newest->last = death->last;
		return;
	}
	flow->range[flow->ranges & (DEAD_RANGES - 1)] = *death;
	flow->ranges++;
}

/* There are two places for it; the flow that has been quiet for longer makes room. */
inline_always void remember(const struct ends *ends, const struct dead_range *death, struct resent_counts *counts)
{
	u32 place = place_of_ends(ends);
	u32 beside = place ^ 1;
	struct dead_flow *flow = dead_flows.lookup(&place);
	struct dead_flow *other = dead_flows.lookup(&beside);

	if (!flow || !other)
		return;
	if (!are_same_ends(&flow->ends, ends) && (are_same_ends(&other->ends, ends) || other->last < flow->last))
		flow = other;
	if (!are_same_ends(&flow->ends, ends)) {
		if (flow->ranges && death->last - flow->last < LONGEST_TIMER_NS)
			counts->forgotten++;
		flow->ends = *ends;
		flow->ranges = 0;
	}
	flow->last = death->last;
	add_range(flow, death);
}

inline_always struct dead_flow *dead_flow_of(const struct ends *ends)
{
	u32 place = place_of_ends(ends);
	u32 beside = place ^ 1;
	struct dead_flow *flow = dead_flows.lookup(&place);
	struct dead_flow *other = dead_flows.lookup(&beside);

	if (flow && are_same_ends(&flow->ends, ends))
		return flow;
	return other && are_same_ends(&other->ends, ends) ? other : NULL;
}

/* Whether either direction of the flow is asked for, or nothing is. */
inline_always int is_flow_of_wanted(struct flow *flow, const struct settings *wanted, union scratch *scratch)
{
	struct flow *back = (struct flow *)scratch->bytes;

	if (!wanted->asks_flow || flow_matches(flow, wanted))
		return 1;
	__builtin_memcpy(back->saddr, flow->daddr, sizeof(back->saddr));
	__builtin_memcpy(back->daddr, flow->saddr, sizeof(back->daddr));
	back->what = 0;
	back->sport = flow->dport;
	back->dport = flow->sport;
	back->family = flow->family;
	back->proto = flow->proto;
	back->has_ports = flow->has_ports;
	back->is_carrier = 0;
	return flow_matches(back, wanted);
}

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_ACK 16

/* `end` is where the packet ends. 0: its header cannot be read. */
inline_always int read_range(struct dead_range *death, u64 transport, u64 end, union scratch *scratch)
{
	const u8 *tcp = scratch->bytes;
	u32 header;

	if (read_bytes(scratch->bytes, 20, transport))
		return 0;
	header = tcp[TCP_LENGTH] >> 4 << 2;
	death->seq = bpf_ntohl(*(const u32 *)(tcp + 4));
	death->ack = bpf_ntohl(*(const u32 *)(tcp + 8));
	death->has_ack = !!(tcp[TCP_FLAGS] & TCP_ACK);
	death->end = death->seq + !!(tcp[TCP_FLAGS] & TCP_FIN) + !!(tcp[TCP_FLAGS] & TCP_SYN);
	if (end > transport + header)
		death->end += end - transport - header;
	return 1;
}

/* Where the header of TCP is, 0: it has none. Its flow as well, and where it ends. */
inline_always u64 find_segment(struct flow *flow, u64 *end, const struct buffer *buffer, union scratch *scratch)
{
	u64 transport;
	u64 last = buffer->data + buffer->length;

	if (!buffer->protocol && !buffer->network) {
		if (!is_of_network(buffer->sock, scratch) ||
		    buffer->data != buffer->head + read_u16(scratch, buffer->address + OFF_sk_buff__transport_header))
			return 0;
		put_socket_flow(flow, buffer->sock, scratch);
		transport = buffer->data;
		*end = last;
	} else {
		transport = find_transport(flow, end, network_header(buffer, scratch), scratch);
		if (*end <= transport) /* more than its header can say */
			*end = last;
	}
	if (transport)
		read_ports(flow, transport, scratch);
	forget(&transport, sizeof(transport));
	return flow->proto == PROTO_TCP ? transport : 0;
}

/* Whether there is time for one more in this second. */
inline_always int has_time_to_look(struct resent_counts *counts, u64 now)
{
	if (counts->second != now >> 30) {
		counts->second = now >> 30;
		counts->looked = 0;
	}
	if (counts->looked++ < DEATHS_A_SECOND)
		return 1;
	counts->passed_over++;
	return 0;
}

/* By the addresses that it had before a translation, and by those that it was to get. */
inline_always void remember_translated(u64 skb, struct ends *ends, const struct dead_range *death,
				       struct resent_counts *counts, union scratch *scratch)
{
	struct tuples *of = (struct tuples *)scratch->bytes;

	if (!read_connection(of, read_pointer(scratch, skb + OFF_sk_buff___nfct)) || !is_translated(of))
		return;
	put_address(ends->saddr, of->own.saddr, of->own.family);
	put_address(ends->daddr, of->own.daddr, of->own.family);
	ends->sport = bpf_ntohs(of->own.sport);
	ends->dport = bpf_ntohs(of->own.dport);
	remember(ends, death, counts);
	put_address(ends->saddr, of->back.daddr, of->own.family);
	put_address(ends->daddr, of->back.saddr, of->own.family);
	ends->sport = bpf_ntohs(of->back.dport);
	ends->dport = bpf_ntohs(of->back.sport);
	remember(ends, death, counts);
}

inline_always void remember_segment(u64 skb, u64 location)
{
	int zero = 0;
	struct settings *wanted = resent_wanted.lookup(&zero);
	struct resent_counts *counts = current_resent_counts();
	struct buffer buffer;
	struct flow flow = {};
	struct dead_range death = {.skb = skb, .location = location};
	struct ends ends;
	union scratch scratch;
	u64 end = 0;
	u64 transport;
	u64 entry;

	if (!wanted || !counts || !read_buffer(&buffer, skb, &scratch))
		return;
	transport = find_segment(&flow, &end, &buffer, &scratch);
	if (flow.is_carrier)
		counts->carriers++;
	if (!transport || !read_range(&death, transport, end, &scratch))
		return;
	forget(&flow, sizeof(flow));
	entry = HAS_PAST ? read_pointer(&scratch, skb + OFF_sk_buff___nfct) & NFCT_POINTER : 0;
	if (!entry && !is_flow_of_wanted(&flow, wanted, &scratch))
		return;
	death.first = death.last = bpf_ktime_get_ns();
	if (!has_time_to_look(counts, death.last))
		return;
	put_ends(&ends, &flow, 0);
	remember(&ends, &death, counts);
	if (entry)
		remember_translated(skb, &ends, &death, counts, &scratch);
}

/* skb:kfree_skb, beside on_kfree_skb. */
int on_segment_death(struct bpf_raw_tracepoint_args *ctx)
{
	remember_segment(ctx->args[0], ctx->args[1]);
	return 0;
}

/* on_conn_request_return jumps here with a SYN that was refused. */
int remember_refused_syn(struct pt_regs *ctx)
{
	struct listener_visit *visit = current_listener_visit();

	if (!visit)
		return 0;
	remember_segment(visit->skb, visit->death.function);
	visit->skb = 0;
	return 0;
}

/* What of the flow died since then, that is what was sent or acknowledges it. */
inline_always void search_range(struct resent_record *record, struct resent_death *death, const struct dead_flow *flow,
				int is_back)
{
	u64 oldest;

#pragma clang loop unroll(disable)
	for (int i = 0; i < DEAD_RANGES; i++) {
		const struct dead_range *range = &flow->range[i];
		int is_it = is_back ? range->has_ack && (s32)(range->ack - record->seq) > 0
				    : (s32)(range->seq - record->end) < 0 && (s32)(record->seq - range->end) < 0;

		if (i < flow->ranges && range->last >= record->sent && is_it) {
			death->time_ns = range->first;
			death->skb = range->skb;
			death->location = range->location;
		}
		end_of_body(i);
	}
	oldest = flow->range[flow->ranges & (DEAD_RANGES - 1)].last;
	if (flow->ranges > DEAD_RANGES && oldest >= record->sent)
		record->is_crowded = 1;
}

inline_always void search_death(struct resending *now, const struct flow *flow)
{
	struct dead_flow *dead;

	put_ends(&now->ends, flow, 1);
	dead = dead_flow_of(&now->ends);
	if (dead)
		search_range(&now->record, &now->record.ack, dead, 1);
	put_ends(&now->ends, flow, 0);
	dead = dead_flow_of(&now->ends);
	if (dead)
		search_range(&now->record, &now->record.segment, dead, 0);
}

inline_always int has_died(const struct resent_record *record)
{
	return record->segment.location || record->ack.location;
}

inline_always void count_resent(const struct resent_record *record, u64 sent, u64 since, struct resent_counts *counts)
{
	counts->segments += record->segments;
	if (record->has_failed)
		counts->failed += record->segments;
	if (has_died(record))
		counts->joined += record->segments;
	else if (record->is_crowded)
		counts->crowded += record->segments;
	else if (!sent)
		counts->undated += record->segments;
	else if (sent < since)
		counts->before += record->segments;
}

/* How many segments were counted. Its record has what is known of the segment, `sent` is when the one before was sent, in ns, 0: unknown. */
inline_always u32 tell_resent(struct resending *now, struct flow *flow, u64 sent, u64 sock, union scratch *scratch)
{
	struct resent_record *record = &now->record;
	int zero = 0;
	struct settings *wanted = resent_wanted.lookup(&zero);
	struct resent_counts *counts = current_resent_counts();
	u64 *since = resent_since.lookup(&zero);

	if (!wanted || !counts || !since || !*since || !~*since)
		return 0;
	forget(flow, sizeof(*flow));
	if (!is_flow_of_wanted(flow, wanted, scratch))
		return 0;
	record->netns = socket_netns(sock, wanted->netns_operations, scratch);
	search_death(now, flow);
	if (!has_died(record) && !netns_wanted(wanted, record->netns))
		return 0;
	count_resent(record, sent, *since, counts);
	if (!has_died(record))
		return record->segments;
	begin_record(record, bpf_ktime_get_ns(), 0, RECORD_RESENT);
	record->family = flow->family;
	record->sport = flow->sport;
	record->dport = flow->dport;
	__builtin_memcpy(record->saddr, flow->saddr, sizeof(record->saddr));
	__builtin_memcpy(record->daddr, flow->daddr, sizeof(record->daddr));
	record->sent = sent;
	if (events.ringbuf_output(record, sizeof(*record), 0))
		counts->untold += record->segments;
	return record->segments;
}

inline_always struct resent_record *begin_resent(struct resending *now, u32 segments, int has_failed)
{
	struct resent_record *record = &now->record;

	__builtin_memset(record, 0, sizeof(*record));
	record->segments = segments;
	record->has_failed = has_failed;
	return record;
}

inline_always u32 tell_resent_segment(struct resending *now, u64 sock, u64 skb, u64 sent, u32 segments, int has_failed)
{
	struct resent_record *record = begin_resent(now, segments, has_failed);
	struct flow flow = {};
	union scratch scratch;

	put_socket_flow(&flow, sock, &scratch);
	flow.sport = read_u16(&scratch, sock + OFF_sock____sk_common__skc_num);
	flow.dport = bpf_ntohs(read_u16(&scratch, sock + OFF_sock____sk_common__skc_dport));
	flow.has_ports = 1;
	record->seq = read_u32(&scratch, skb + OFF_sk_buff__cb + OFF_tcp_skb_cb__seq);
	record->end = read_u32(&scratch, skb + OFF_sk_buff__cb + OFF_tcp_skb_cb__end_seq);
	/* what paces may have given it the time at which it was to leave */
	if (read_u32(&scratch, sock + OFF_sock__sk_pacing_status) == ENUM_SK_PACING_NONE)
		record->sent = sent;
	return tell_resent(now, &flow, sent, sock, &scratch);
}

/* tcp_retransmit_skb, __tcp_retransmit_skb(sk, skb, segs): when the one before was sent, it overwrites. */
int on_resend(struct pt_regs *ctx)
{
	struct resending *now = current_resending();
	union scratch scratch;

	if (!now)
		return 0;
	now->told = 0;
	now->sock = PT_REGS_PARM1(ctx);
	now->skb = PT_REGS_PARM2(ctx);
	now->sent = read_pointer(&scratch, now->skb + OFF_sk_buff__skb_mstamp_ns);
	now->retransmitted = read_u32(&scratch, now->sock + OFF_tcp_sock__total_retrans);
	return 0;
}

/* tcp:tcp_retransmit_skb(sk, skb): it has been sent; some kernels tell of a failure as well. */
int on_resent(struct bpf_raw_tracepoint_args *ctx)
{
	struct resending *now = current_resending();
	union scratch scratch;
	u64 skb = ctx->args[1];
	u64 sent = 0;

	if (!now)
		return 0;
	if (now->skb == skb && now->sock == ctx->args[0])
		sent = now->sent;
	now->skb = 0;
	now->told = tell_resent_segment(now, ctx->args[0], skb, sent,
					read_u16(&scratch, skb + OFF_sk_buff__cb + OFF_tcp_skb_cb__tcp_gso_segs), 0);
	return 0;
}

/* What the tracepoint has not told of did not get away, and was counted by the kernel all the same. Some tell of that, too. */
int on_resend_return(struct pt_regs *ctx)
{
	struct resending *now = current_resending();
	struct resent_counts *counts = current_resent_counts();
	union scratch scratch;
	u64 skb;
	u32 segments;

	if (!now || !counts)
		return 0;
	if ((s32)PT_REGS_RC(ctx))
		counts->failed += now->told;
	now->told = 0;
	if (!now->skb)
		return 0;
	skb = now->skb;
	now->skb = 0;
	segments = read_u32(&scratch, now->sock + OFF_tcp_sock__total_retrans) - (u32)now->retransmitted;
	if (segments)
		tell_resent_segment(now, now->sock, skb, now->sent, segments, 1);
	return 0;
}

/* tcp:tcp_retransmit_synack(sk, req): half of a connection has a struct that begins like a socket. */
int on_resent_synack(struct bpf_raw_tracepoint_args *ctx)
{
	u64 request = ctx->args[1];
	struct resending *now = current_resending();
	struct resent_record *record;
	struct flow flow = {};
	union scratch scratch;

	if (!now)
		return 0;
	record = begin_resent(now, 1, 0);
	put_socket_flow(&flow, request, &scratch);
	flow.proto = PROTO_TCP;
	flow.sport = read_u16(&scratch, request + OFF_sock____sk_common__skc_num);
	flow.dport = bpf_ntohs(read_u16(&scratch, request + OFF_sock____sk_common__skc_dport));
	flow.has_ports = 1;
	record->seq = read_u32(&scratch, request + OFF_tcp_request_sock__snt_isn);
	record->end = record->seq + 1;
	record->sent = read_pointer(&scratch, request + OFF_tcp_request_sock__snt_synack) * 1000; /* us, of the first */
	tell_resent(now, &flow, record->sent, ctx->args[0], &scratch);
	return 0;
}
