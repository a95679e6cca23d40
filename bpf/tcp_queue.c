/* What a connection of TCP is to queue, or to answer by its state. Where skb:kfree_skb does not name the socket, nothing else does: a segment is taken off
 * its device and its route before that. */

/* tcp_data_queue(sk, skb), tcp_rcv_state_process(sk, skb) */
int on_tcp_data_queue(struct pt_regs *ctx)
{
	struct tcp_visit *visit = current_tcp_visit();

	if (visit) {
		visit->sock = PT_REGS_PARM1(ctx);
		visit->answered = PT_REGS_PARM2(ctx);
	}
	return 0;
}

int on_tcp_data_queue_return(struct pt_regs *ctx)
{
	struct tcp_visit *visit = current_tcp_visit();

	if (visit)
		visit->answered = 0;
	return 0;
}
