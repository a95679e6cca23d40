/* The IPsec input path: which SA a packet was for, and what the kernel said about it before it let it die.
 *
 * xfrm_input ends in one kfree_skb for some twenty failures, without a reason (net/xfrm/xfrm_input.c). What it says
 * of them are its audit calls, made whether auditing is on or off, and the counter that it raises. */

#define XFRM_COUNTERS ENUM___LINUX_MIB_XFRMMAX
#define RTAX_MTU 2 /* linux/rtnetlink.h */
#define POLICY_DIRECTION 3 /* XFRM_POLICY_MASK: the rest of the argument is a flag */

struct xfrm_counters {
	u64 address; /* of this CPU's counters in the packet's namespace, 0: unknown */
	u64 before[XFRM_COUNTERS];
};

struct xfrm_visit {
	u64 skb; /* the packet that xfrm_input has on this CPU; 0: none */
	u32 audit;
	u8 spi[4];
	u8 seq[4];
	u32 pad;
	struct xfrm_counters counters;
};

/* The last packet that __xfrm_policy_check had on this CPU. */
struct xfrm_check {
	u64 skb;
	u64 risen;
	u32 direction;
	u32 is_refused;
	u32 mark;
	u32 pad;
	struct xfrm_counters counters;
};

/* The last packet on this CPU that could not leave: what was said of it before it was freed. */
struct xfrm_refusal {
	u64 skb;
	s32 lookup_errno;
	u32 if_id;
	u32 audit;
	u32 pad;
};

/* The packet for which the code that runs on this CPU looks for a route (bpf/xfrm_output.c). */
struct xfrm_waiting {
	u64 skb; /* 0: none */
	u64 task;
	u64 route; /* the first answer: a struct dst_entry or an error, 0: none yet */
};

BPF_PERCPU_ARRAY(xfrm_waitings, struct xfrm_waiting, 1);
BPF_PERCPU_ARRAY(xfrm_visits, struct xfrm_visit, 1);
BPF_PERCPU_ARRAY(xfrm_checks, struct xfrm_check, 1);
BPF_PERCPU_ARRAY(xfrm_refusals, struct xfrm_refusal, 1);

inline_always struct xfrm_visit *current_visit(void)
{
	int zero = 0;
	return xfrm_visits.lookup(&zero);
}

inline_always struct xfrm_check *current_check(void)
{
	int zero = 0;
	return xfrm_checks.lookup(&zero);
}

inline_always struct xfrm_refusal *current_refusal(void)
{
	int zero = 0;
	return xfrm_refusals.lookup(&zero);
}

inline_always struct xfrm_waiting *current_waiting(void)
{
	int zero = 0;
	return xfrm_waitings.lookup(&zero);
}

inline_always void read_counters(struct xfrm_counters *counters, u64 skb, union scratch *scratch)
{
	struct settings *wanted = current_settings();
	u64 cpu_offset;
	u64 net;

	counters->address = 0;
	if (!wanted || !wanted->per_cpu_offset)
		return;
	net = read_pointer(scratch, read_pointer(scratch, skb + OFF_sk_buff__dev) + OFF_net_device__nd_net);
	cpu_offset = wanted->per_cpu_offset + bpf_get_smp_processor_id() * sizeof(u64);
	counters->address =
		read_pointer(scratch, net + OFF_net__mib__xfrm_statistics) + read_pointer(scratch, cpu_offset);
	if (read_bytes(counters->before, sizeof(counters->before), counters->address))
		counters->address = 0;
}

/* Counters of this CPU that rose since they were read: softirqs do not nest, so it was this packet. */
inline_always u64 risen_counters(const struct xfrm_counters *counters, union scratch *scratch)
{
	u64 risen = 0;

	if (!counters->address)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < XFRM_COUNTERS; i++)
		if (read_pointer(scratch, counters->address + i * sizeof(u64)) != counters->before[i])
			risen |= 1ULL << i;
	return risen;
}

/* Every entry starts a visit, also the second one after asynchronous decryption: nothing is left of the packet
 * that had this address before. */
int on_xfrm_input(struct pt_regs *ctx)
{
	struct xfrm_visit *visit = current_visit();
	union scratch scratch;

	if (!visit)
		return 0;
	visit->skb = PT_REGS_PARM1(ctx);
	visit->audit = 0;
	read_counters(&visit->counters, visit->skb, &scratch);
	return 0;
}

/* (sk, dir, skb, family): is called only where there are policies, or the packet came through an SA. */
int on_policy_check(struct pt_regs *ctx)
{
	struct xfrm_check *check = current_check();
	union scratch scratch;

	if (!check)
		return 0;
	check->skb = PT_REGS_PARM3(ctx);
	check->direction = PT_REGS_PARM2(ctx) & POLICY_DIRECTION;
	check->is_refused = 0;
	check->mark = read_u32(&scratch, check->skb + OFF_sk_buff__mark);
	read_counters(&check->counters, check->skb, &scratch);
	return 0;
}

int on_policy_check_return(struct pt_regs *ctx)
{
	struct xfrm_check *check = current_check();
	union scratch scratch;

	if (!check || (u32)PT_REGS_RC(ctx))
		return 0;
	check->is_refused = 1;
	check->risen = risen_counters(&check->counters, &scratch);
	return 0;
}

inline_always struct xfrm_visit *visit_of(u64 skb, u32 audit)
{
	struct xfrm_visit *visit = current_visit();

	if (!visit || visit->skb != skb)
		return NULL;
	visit->audit |= audit;
	return visit;
}

inline_always int is_visiting(u64 skb)
{
	struct xfrm_visit *visit = current_visit();

	return visit && visit->skb == skb;
}

/* With the packet's death, asked for or not: the next packet may get its address, and must not get its guilt. */
inline_always void end_visit(u64 skb)
{
	struct xfrm_visit *visit = current_visit();
	struct xfrm_check *check = current_check();
	struct xfrm_refusal *refusal = current_refusal();

	if (visit && visit->skb == skb)
		visit->skb = 0;
	if (check && check->skb == skb)
		check->skb = 0;
	if (refusal && refusal->skb == skb)
		refusal->skb = 0;
}

int on_xfrm_audit_state_icvfail(struct pt_regs *ctx)
{
	visit_of(PT_REGS_PARM2(ctx), XFRM_AUDIT_ICVFAIL);
	return 0;
}

int on_xfrm_audit_state_notfound(struct pt_regs *ctx)
{
	struct xfrm_visit *visit = visit_of(PT_REGS_PARM1(ctx), XFRM_AUDIT_NOTFOUND);
	u32 spi = PT_REGS_PARM3(ctx);
	u32 seq = PT_REGS_PARM4(ctx);

	if (!visit)
		return 0;
	__builtin_memcpy(visit->spi, &spi, sizeof(spi));
	__builtin_memcpy(visit->seq, &seq, sizeof(seq));
	return 0;
}

int on_xfrm_audit_state_replay(struct pt_regs *ctx)
{
	struct xfrm_visit *visit = visit_of(PT_REGS_PARM2(ctx), XFRM_AUDIT_REPLAY);
	u32 seq = PT_REGS_PARM3(ctx);

	if (visit)
		__builtin_memcpy(visit->seq, &seq, sizeof(seq));
	return 0;
}

/* (x, skb) */
int on_xfrm_audit_state_replay_overflow(struct pt_regs *ctx)
{
	struct xfrm_refusal *refusal = current_refusal();

	if (!refusal)
		return 0;
	refusal->skb = PT_REGS_PARM2(ctx);
	refusal->audit = XFRM_AUDIT_OVERFLOW;
	refusal->lookup_errno = 0;
	return 0;
}

/* The SA that the packet went through last, from its secpath (struct sec_path, include/net/xfrm.h); 0: none. */
inline_always u64 last_state(const struct buffer *buffer, union scratch *scratch)
{
	u64 path = buffer->extensions;
	u32 length;

	if (!(buffer->active_extensions & 1 << ENUM_SKB_EXT_SEC_PATH))
		return 0;
	/* offsets are in units of 8 bytes (SKB_EXT_ALIGN_VALUE) */
	path += (u64)read_u8(scratch, path + OFF_skb_ext__offset + ENUM_SKB_EXT_SEC_PATH) << 3;
	/* an int, on newer kernels a u8: at most XFRM_MAX_DEPTH, and the first byte has it on a little-endian machine */
	length = read_u8(scratch, path + OFF_sec_path__len);
	if (!length || length > 16)
		return 0;
	return read_pointer(scratch, path + OFF_sec_path__xvec + (length - 1) * sizeof(u64));
}

/* struct xfrm_algo, xfrm_algo_auth and xfrm_algo_aead begin alike (linux/xfrm.h): name, key length in bits, and but
 * for the first the length of the ICV. The key comes next and is never read. */
inline_always void read_algorithm(struct xfrm_algorithm *algorithm, u64 pointer, u32 with_icv)
{
	__builtin_memset(algorithm, 0, sizeof(*algorithm));
	if (!pointer)
		return;
	read_bytes(algorithm->name, sizeof(algorithm->name), pointer);
	read_member(algorithm->key_bits, pointer, ALGORITHM_NAME_BYTES);
	if (with_icv)
		read_member(algorithm->icv_bits, pointer, ALGORITHM_NAME_BYTES + 4);
}

inline_always void read_replay(struct xfrm_record *record, u64 state, union scratch *scratch)
{
	u64 esn = read_pointer(scratch, state + OFF_xfrm_state__replay_esn);

	record->has_esn = !!esn;
	record->seq_hi = 0;
	if (esn) { /* struct xfrm_replay_state_esn: bmp_len, oseq, seq, oseq_hi, seq_hi, replay_window */
		read_member(record->oseq, esn, 4);
		read_member(record->seq, esn, 8);
		read_member(record->seq_hi, esn, 16);
		read_member(record->replay_window, esn, 20);
		return;
	}
	read_member(record->oseq, state, OFF_xfrm_state__replay); /* struct xfrm_replay_state: oseq, seq, bitmap */
	read_member(record->seq, state, OFF_xfrm_state__replay + 4);
	record->replay_window = read_u8(scratch, state + OFF_xfrm_state__props__replay_window);
}

inline_always void read_encap(struct xfrm_record *record, u64 encap)
{
	record->has_encap = !!encap;
	if (!encap)
		return;
	read_member(record->encap_type, encap, 0); /* struct xfrm_encap_tmpl: type, sport, dport */
	read_member(record->encap_sport, encap, 2);
	read_member(record->encap_dport, encap, 4);
}

inline_always void read_state(struct xfrm_record *record, u64 state, union scratch *scratch)
{
	read_member(record->spi, state, OFF_xfrm_state__id__spi);
	record->proto = read_u8(scratch, state + OFF_xfrm_state__id__proto);
	read_member(record->daddr, state, OFF_xfrm_state__id__daddr);
	read_member(record->saddr, state, OFF_xfrm_state__props__saddr);
	record->family = read_u16(scratch, state + OFF_xfrm_state__props__family);
	record->mode = read_u8(scratch, state + OFF_xfrm_state__props__mode);
	read_member(record->reqid, state, OFF_xfrm_state__props__reqid);
	read_member(record->if_id, state, OFF_xfrm_state__if_id);
	read_member(record->mark, state, OFF_xfrm_state__mark); /* struct xfrm_mark: v, m */
	read_member(record->mark_mask, state, OFF_xfrm_state__mark + 4);
	record->state = read_u8(scratch, state + OFF_xfrm_state__km__state);
	record->flags = read_u8(scratch, state + OFF_xfrm_state__props__flags);
	read_replay(record, state, scratch);
	read_encap(record, read_pointer(scratch, state + OFF_xfrm_state__encap));
	read_member(record->stat_replay_window, state, OFF_xfrm_state__stats); /* struct xfrm_stats, linux/xfrm.h */
	read_member(record->stat_replay, state, OFF_xfrm_state__stats + 4);
	read_member(record->stat_integrity_failed, state, OFF_xfrm_state__stats + 8);
	read_member(record->limits, state, OFF_xfrm_state__lft);
	read_member(record->current_use, state, OFF_xfrm_state__curlft);
	read_member(record->selector, state, OFF_xfrm_state__sel);
	read_algorithm(&record->aead, read_pointer(scratch, state + OFF_xfrm_state__aead), 1);
	read_algorithm(&record->enc, read_pointer(scratch, state + OFF_xfrm_state__ealg), 0);
	read_algorithm(&record->auth, read_pointer(scratch, state + OFF_xfrm_state__aalg), 1);
	read_algorithm(&record->comp, read_pointer(scratch, state + OFF_xfrm_state__calg), 0);
}

/* The MTU of a route, of IPsec what it takes before protection (xfrm_init_pmtu); 0: it has none of its own. */
inline_always u32 route_mtu(u64 dst, union scratch *scratch)
{
	u64 metrics = read_pointer(scratch, dst + OFF_dst_entry___metrics) & ~3ULL; /* DST_METRICS_FLAGS */

	return metrics ? read_u32(scratch, metrics + (RTAX_MTU - 1) * sizeof(u32)) : 0;
}

inline_always int is_blackhole(u64 dst, union scratch *scratch)
{
	struct settings *wanted = current_settings();
	u64 operations = dst ? read_pointer(scratch, dst + OFF_dst_entry__ops) : 0;

	if (!wanted || !operations)
		return 0;
	return operations == wanted->blackhole_operations[0] || operations == wanted->blackhole_operations[1];
}

inline_always struct xfrm_record *begin_xfrm_record(u64 skb, u64 now, enum record_type type)
{
	struct xfrm_record *record = events.ringbuf_reserve(sizeof(*record));

	if (!record) {
		count_unsent(LOSS_DETAIL);
		return NULL;
	}
	record->header.time_ns = now;
	record->header.skb = skb;
	record->header.type = type;
	record->header.size = sizeof(*record);
	record->audit = 0;
	record->counters = 0;
	record->has_state = 0;
	record->check_counters = 0;
	record->is_outbound = 0;
	record->is_refused = 0;
	record->check_dir = 0;
	record->check_mark = 0;
	record->lookup_errno = 0;
	record->lookup_if_id = 0;
	record->is_blackholed = 0;
	record->mtu = 0;
	record->netns = 0;
	record->pid = 0;
	record->comm[0] = 0;
	return record;
}

/* Sends what is known of the packet's IPsec side, just before its DROP record. */
inline_always void send_xfrm(const struct buffer *buffer, u64 now, union scratch *scratch)
{
	struct xfrm_visit *visit = current_visit();
	struct xfrm_check *check = current_check();
	struct xfrm_refusal *refusal = current_refusal();
	int visiting = visit && visit->skb == buffer->address;
	int refused = check && check->skb == buffer->address && check->is_refused;
	int stays = refusal && refusal->skb == buffer->address;
	struct xfrm_waiting *waiting = current_waiting();
	u64 state = last_state(buffer, scratch);
	u64 route = waiting && waiting->skb == buffer->address && waiting->route ? waiting->route : buffer->dst;
	u64 through = route ? read_pointer(scratch, route + OFF_dst_entry__xfrm) : 0;
	int blackholed = is_blackhole(buffer->dst, scratch);
	struct xfrm_record *record;

	/* the SA of its route only counts once it is beyond what it came through */
	if (visiting || refused)
		through = 0;
	if (!state && !visiting && !refused && !stays && !through && !blackholed)
		return;
	record = begin_xfrm_record(buffer->address, now, RECORD_XFRM);
	if (!record)
		return;
	if (visit && visiting) {
		record->audit = visit->audit;
		__builtin_memcpy(record->spi_seen, visit->spi, sizeof(visit->spi));
		__builtin_memcpy(record->seq_seen, visit->seq, sizeof(visit->seq));
		record->counters = risen_counters(&visit->counters, scratch);
	}
	if (check && refused) {
		record->is_refused = 1;
		record->check_dir = check->direction;
		record->check_mark = check->mark;
		record->check_counters = check->risen;
	}
	if (refusal && stays) {
		record->audit |= refusal->audit;
		record->lookup_errno = refusal->lookup_errno;
		record->lookup_if_id = refusal->if_id;
	}
	record->is_blackholed = blackholed;
	if (through) {
		record->is_outbound = 1;
		record->mtu = route_mtu(route, scratch);
		state = through;
	}
	record->has_state = !!state;
	if (state)
		read_state(record, state, scratch);
	events.ringbuf_submit(record, 0);
}

#ifdef SUMMARY
/* An SA is an object too; what was noted of the packet tells its causes apart. */
inline_always void count_xfrm(struct row *row, const struct buffer *buffer, union scratch *scratch)
{
	struct xfrm_visit *visit = current_visit();
	struct xfrm_check *check = current_check();
	struct xfrm_refusal *refusal = current_refusal();

	if (visit && visit->skb == buffer->address) {
		row->bits = risen_counters(&visit->counters, scratch);
		row->notes |= visit->audit << 8;
	}
	if (check && check->skb == buffer->address && check->is_refused)
		row->bits = check->risen | 1ULL << 63;
	if (refusal && refusal->skb == buffer->address) {
		row->bits = (u32)refusal->lookup_errno;
		row->notes |= refusal->audit << 8;
	}
	if (!row->object)
		row->object = last_state(buffer, scratch);
	if (!row->object && buffer->dst)
		row->object = read_pointer(scratch, buffer->dst + OFF_dst_entry__xfrm);
}
#endif

/* (x): whoever does it, for whatever reason. An SA that has been deleted already is passed over. */
int on_state_delete(struct pt_regs *ctx)
{
	struct settings *wanted = current_settings();
	u64 state = PT_REGS_PARM1(ctx);
	struct xfrm_record *record;
	union scratch scratch;
	u32 netns;

	if (!wanted || read_u8(&scratch, state + OFF_xfrm_state__km__state) == ENUM_XFRM_STATE_DEAD)
		return 0;
	netns = netns_inode(read_pointer(&scratch, state + OFF_xfrm_state__xs_net), wanted->netns_operations, &scratch);
	if (!netns_wanted(wanted, netns))
		return 0;
	record = begin_xfrm_record(0, bpf_ktime_get_ns(), RECORD_XFRM_GONE);
	if (!record)
		return 0;
	record->netns = netns;
	record->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	record->has_state = 1;
	read_state(record, state, &scratch);
	events.ringbuf_submit(record, 0);
	return 0;
}
