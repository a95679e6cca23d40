/* The IPsec input path: which SA a packet was for, and what the kernel said about it before it let it die.
 *
 * xfrm_input ends in one kfree_skb for some twenty failures, without a reason (net/xfrm/xfrm_input.c). What it says
 * of them are its audit calls, made whether auditing is on or off, and the counter that it raises. */

#define XFRM_COUNTERS ENUM___LINUX_MIB_XFRMMAX

struct xfrm_visit {
	u64 skb; /* the packet that xfrm_input has on this CPU; 0: none */
	u64 statistics; /* address of this CPU's counters in the packet's namespace, 0: unknown */
	u32 audit;
	u8 spi[4];
	u8 seq[4];
	u64 before[XFRM_COUNTERS];
};

BPF_PERCPU_ARRAY(xfrm_visits, struct xfrm_visit, 1);

inline_always struct xfrm_visit *current_visit(void)
{
	int zero = 0;
	return xfrm_visits.lookup(&zero);
}

/* Every entry starts a visit, also the second one after asynchronous decryption: nothing is left of the packet
 * that had this address before. */
int on_xfrm_input(struct pt_regs *ctx)
{
	struct xfrm_visit *visit = current_visit();
	struct settings *wanted = current_settings();
	union scratch scratch;
	u64 skb = PT_REGS_PARM1(ctx);
	u64 cpu_offset;
	u64 net;

	if (!visit || !wanted)
		return 0;
	visit->skb = skb;
	visit->audit = 0;
	visit->statistics = 0;
	if (!wanted->per_cpu_offset)
		return 0;
	net = read_pointer(&scratch, read_pointer(&scratch, skb + OFF_sk_buff__dev) + OFF_net_device__nd_net);
	cpu_offset = wanted->per_cpu_offset + bpf_get_smp_processor_id() * sizeof(u64);
	visit->statistics =
		read_pointer(&scratch, net + OFF_net__mib__xfrm_statistics) + read_pointer(&scratch, cpu_offset);
	if (read_bytes(visit->before, sizeof(visit->before), visit->statistics))
		visit->statistics = 0;
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

/* With the packet's death, asked for or not: the next packet may get its address, and must not get its guilt. */
inline_always void end_visit(u64 skb)
{
	struct xfrm_visit *visit = current_visit();

	if (visit && visit->skb == skb)
		visit->skb = 0;
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

/* Counters of this CPU that rose since xfrm_input got the packet: softirqs do not nest, so it was this packet. */
inline_always u64 risen_counters(struct xfrm_visit *visit, union scratch *scratch)
{
	u64 risen = 0;

	if (!visit->statistics)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < XFRM_COUNTERS; i++)
		if (read_pointer(scratch, visit->statistics + i * sizeof(u64)) != visit->before[i])
			risen |= 1ULL << i;
	return risen;
}

/* Sends what is known of the packet's IPsec side, just before its DROP record. */
inline_always void send_xfrm(const struct buffer *buffer, u64 now, union scratch *scratch)
{
	struct xfrm_visit *visit = current_visit();
	struct xfrm_record *record;
	u64 state = last_state(buffer, scratch);
	int visiting = visit && visit->skb == buffer->address;

	if (!state && !visiting)
		return;
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		count_unsent(LOSS_DETAIL);
		return;
	}
	record->header.time_ns = now;
	record->header.skb = buffer->address;
	record->header.type = RECORD_XFRM;
	record->header.size = sizeof(*record);
	record->audit = 0;
	record->counters = 0;
	if (visit && visiting) {
		record->audit = visit->audit;
		__builtin_memcpy(record->spi_seen, visit->spi, sizeof(visit->spi));
		__builtin_memcpy(record->seq_seen, visit->seq, sizeof(visit->seq));
		record->counters = risen_counters(visit, scratch);
	}
	record->has_state = !!state;
	if (state)
		read_state(record, state, scratch);
	events.ringbuf_submit(record, 0);
}
