/* What TCP discards where it frees it as if it had been used (tcp_drop() before 5.18): the socket's drops have risen then, and
 * what was queued has an owner. Only what leaves the fast path of a connection is looked at. */

struct discard_visit {
	u64 skb; /* what a connection looks at on this CPU; 0: nothing */
	u32 drops; /* of its socket, before */
	struct refused death;
};

BPF_PERCPU_ARRAY(discard_visits, struct discard_visit, 1);

inline_always struct discard_visit *current_discard_visit(void)
{
	int zero = 0;
	return discard_visits.lookup(&zero);
}

/* tcp_validate_incoming(sk, skb, ...). Its caller is where the segment dies, as far as that can be told: a function that ends
 * with a call of another one leaves no trace on the stack. */
int on_tcp_validate(struct pt_regs *ctx)
{
	struct discard_visit *visit = current_discard_visit();
	union scratch scratch;
	u64 way[2] = {};

	if (!visit)
		return 0;
	bpf_get_stack(ctx, way, sizeof(way), 0);
	visit->skb = PT_REGS_PARM2(ctx);
	visit->death.sock = PT_REGS_PARM1(ctx);
	visit->death.function = way[1] ? way[1] : PT_REGS_IP(ctx);
	visit->drops = read_u32(&scratch, visit->death.sock + OFF_sock__sk_drops);
	return 0;
}

#define TCP_CLOSE 7 /* net/tcp_states.h */

/* What tells discards of one connection apart, as the kernel looks at them: each may have another cause. */
inline_always u64 discard_bits(u64 sock, u64 skb, union scratch *scratch)
{
	u64 block = skb + OFF_sk_buff__cb;
	u32 expected = read_u32(scratch, sock + OFF_tcp_sock__rcv_nxt);
	u32 beyond = read_u32(scratch, sock + OFF_tcp_sock__rcv_wup) + read_u32(scratch, sock + OFF_tcp_sock__rcv_wnd);
	u32 seq = read_u32(scratch, block + OFF_tcp_skb_cb__seq);
	u32 ack = read_u32(scratch, block + OFF_tcp_skb_cb__ack_seq);
	s32 to_come = read_u32(scratch, block + OFF_tcp_skb_cb__end_seq) - expected;
	s32 ahead = seq - expected;
	s32 outside = seq - beyond;
	s32 unsent = ack - read_u32(scratch, sock + OFF_tcp_sock__snd_nxt);
	s32 acknowledges = ack - read_u32(scratch, sock + OFF_tcp_sock__snd_una);
	s32 older = read_u32(scratch, sock + OFF_tcp_sock__rx_opt__ts_recent) -
		    read_u32(scratch, sock + OFF_tcp_sock__rx_opt__rcv_tsval);
	u64 bits = read_u8(scratch, block + OFF_tcp_skb_cb__tcp_flags);

	return bits << 8 | (to_come > 0) | (ahead > 0) << 1 | (outside > 0) << 2 | (unsent > 0) << 3 |
	       (acknowledges > 0) << 4 | (older > 0) << 5 | (expected == beyond) << 6 | (ahead == 0) << 7;
}

/* In bpf/refused.c. */
inline_always void send_discarded(struct pt_regs *ctx, u64 skb, struct refused *death, union scratch *scratch);

/* __kfree_skb(skb). What has ended its connection, a reset or the last ACK, has done its work. */
int on_free(struct pt_regs *ctx)
{
	struct discard_visit *visit = current_discard_visit();
	u64 skb = PT_REGS_PARM1(ctx);
	union scratch scratch;
	u64 sock;

	if (!visit || !skb || visit->skb != skb)
		return 0;
	visit->skb = 0;
	sock = visit->death.sock;
	if (read_pointer(&scratch, skb + OFF_sk_buff__sk) ||
	    read_u32(&scratch, sock + OFF_sock__sk_drops) == visit->drops)
		return 0;
	if (read_u8(&scratch, sock + OFF_sock____sk_common__skc_state) == TCP_CLOSE)
		return 0;
	visit->death.bits = discard_bits(sock, skb, &scratch);
	count_seen(SOURCE___KFREE_SKB);
	send_discarded(ctx, skb, &visit->death, &scratch);
	end_journey(skb);
	return 0;
}
