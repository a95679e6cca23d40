/* What TCP has answered before it frees it. Time-wait: tcp_v4_rcv and tcp_v6_rcv free what came for a connection that is
 * over at the same place and with the same reason as much else, and have answered it as they should
 * (net/ipv4/tcp_minisocks.c). Likewise keepalives: until there was the reason TCP_OLD_SEQUENCE they were refused with that
 * of segments beyond the window. Resets: an attempt to connect to a port where nobody listens. Likewise a reset by which the
 * other end gives up before the connection is open (a scan, a program that ends), and a SYN that comes again while it is
 * half open: they are freed without a reason. */

struct tcp_visit {
	u64 skb; /* what has just been dealt with on this CPU and is to be freed next; 0: nothing */
	u32 note; /* of enum note: how */
	u64 for_half_open; /* what tcp_check_req has in hand */
	u64 answered; /* what tcp_send_dupack has answered last, or a connection is to queue, for bpf/connection.c */
	u64 sock; /* of whom */
};

BPF_PERCPU_ARRAY(tcp_visits, struct tcp_visit, 1);
BPF_PERCPU_ARRAY(limit_calls, struct calls, 1);

inline_always struct tcp_visit *current_tcp_visit(void)
{
	int zero = 0;
	return tcp_visits.lookup(&zero);
}

/* (struct inet_timewait_sock *, struct sk_buff *, ...). What ends at or before the number that is expected next has been
 * received, as tcp_timewait_state_process() itself decides. */
int on_tcp_timewait(struct pt_regs *ctx)
{
	struct tcp_visit *visit = current_tcp_visit();
	u64 skb = PT_REGS_PARM2(ctx);
	union scratch scratch;
	u32 expected = read_u32(&scratch, PT_REGS_PARM1(ctx) + OFF_sock_common__skc_tw_rcv_nxt);
	u32 end = read_u32(&scratch, skb + OFF_sk_buff__cb + OFF_tcp_skb_cb__end_seq);

	if (visit) {
		visit->skb = skb;
		visit->note = NOTE_TIME_WAIT;
		if ((s32)(end - expected) <= 0)
			visit->note |= NOTE_ALL_OLD;
	}
	return 0;
}

inline_always void note_old(u64 sock, u64 skb)
{
	struct tcp_visit *visit = current_tcp_visit();
	union scratch scratch;
	u32 expected = read_u32(&scratch, sock + OFF_tcp_sock__rcv_wup);
	u32 end = read_u32(&scratch, skb + OFF_sk_buff__cb + OFF_tcp_skb_cb__end_seq);

	if (visit) {
		visit->answered = skb;
		visit->sock = sock;
	}
	if (visit && (s32)(end - expected) < 0) {
		visit->skb = skb;
		visit->note = NOTE_ANSWERED;
	}
}

/* (struct sock *, const struct sk_buff *): a segment outside of the window is answered. Noted is one that ends before the
 * window, tcp_sequence() in net/ipv4/tcp_input.c. */
int on_tcp_send_dupack(struct pt_regs *ctx)
{
	note_old(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx));
	return 0;
}

/* tcp_oow_rate_limited(net, skb, counter, &tcp_sock.last_oow_ack_time) */
int on_tcp_limit(struct pt_regs *ctx)
{
	int zero = 0;
	struct call *call = note_call(limit_calls.lookup(&zero), ctx);

	if (call)
		call->noted = PT_REGS_PARM4(ctx) - OFF_tcp_sock__last_oow_ack_time;
	return 0;
}

/* A time-wait socket has it in hand, which is no tcp_sock. */
inline_always int is_for_time_wait(u64 skb)
{
	struct tcp_visit *visit = current_tcp_visit();

	return visit && visit->skb == skb && visit->note & NOTE_TIME_WAIT;
}

/* True: another of its kind has been answered within half a second. */
int on_tcp_limit_return(struct pt_regs *ctx)
{
	int zero = 0;
	struct call *call = take_call(limit_calls.lookup(&zero), ctx);

	if (call && (u8)PT_REGS_RC(ctx) && !is_for_time_wait(call->second))
		note_old(call->noted, call->second);
	return 0;
}

/* (struct sock *, struct sk_buff *, ...) */
int on_tcp_send_reset(struct pt_regs *ctx)
{
	struct tcp_visit *visit = current_tcp_visit();
	u64 skb = PT_REGS_PARM2(ctx);

	if (visit) {
		visit->note = visit->skb == skb ? visit->note | NOTE_RESET_SENT : NOTE_RESET_SENT;
		visit->skb = skb;
	}
	return 0;
}

/* (struct sock *, struct sk_buff *, ...): a segment for a connection that is half open. */
int on_tcp_check_request(struct pt_regs *ctx)
{
	struct tcp_visit *visit = current_tcp_visit();

	if (visit)
		visit->for_half_open = PT_REGS_PARM2(ctx);
	return 0;
}

int on_tcp_check_request_return(struct pt_regs *ctx)
{
	struct tcp_visit *visit = current_tcp_visit();

	if (visit)
		visit->for_half_open = 0;
	return 0;
}

/* inet_csk_reqsk_queue_drop: tcp_check_req gives it up for a reset, or for a SYN, which it answers with one. */
int on_request_drop(struct pt_regs *ctx)
{
	struct tcp_visit *visit = current_tcp_visit();

	if (visit && visit->for_half_open) {
		visit->skb = visit->for_half_open;
		visit->note = NOTE_ENDED_HALF_OPEN;
	}
	return 0;
}

/* tcp_rtx_synack: tcp_check_req answers a SYN that has come again. The timer sends as well, and has nothing in hand. */
int on_synack_again(struct pt_regs *ctx)
{
	struct tcp_visit *visit = current_tcp_visit();

	if (visit && visit->for_half_open) {
		visit->skb = visit->for_half_open;
		visit->note = NOTE_ANSWERED;
	}
	return 0;
}

/* A SYN that may open the connection anew goes on to the listener. */
int on_tcp_timewait_return(struct pt_regs *ctx)
{
	struct tcp_visit *visit = current_tcp_visit();

	if (visit && (u32)PT_REGS_RC(ctx) == ENUM_TCP_TW_SYN)
		visit->skb = 0;
	return 0;
}

/* Asked once for every death, whoever wants to know: an address that is used again must not find an old note. */
inline_always u32 tcp_notes(u64 skb)
{
	struct tcp_visit *visit = current_tcp_visit();

	if (!visit || visit->skb != skb)
		return 0;
	visit->skb = 0;
	return visit->note;
}
