/* TCP's time-wait: tcp_v4_rcv and tcp_v6_rcv free what came for a connection that is over at the same place and with
 * the same reason as much else, and have answered it as they should (net/ipv4/tcp_minisocks.c). */

struct tcp_visit {
	u64 skb; /* what a time-wait socket has just been given on this CPU and is to be freed next; 0: nothing */
};

BPF_PERCPU_ARRAY(tcp_visits, struct tcp_visit, 1);

inline_always struct tcp_visit *current_tcp_visit(void)
{
	int zero = 0;
	return tcp_visits.lookup(&zero);
}

int on_tcp_timewait(struct pt_regs *ctx)
{
	struct tcp_visit *visit = current_tcp_visit();

	if (visit)
		visit->skb = PT_REGS_PARM2(ctx);
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
	return NOTE_TIME_WAIT;
}
