/* TCP: the connection that did not take a segment, with its numbers as they were when that died. */

/* Connections whose struct is not a whole socket, or that have no numbers (include/net/tcp_states.h): TIME_WAIT, LISTEN,
 * NEW_SYN_RECV. What has been closed keeps its own. */
#define WITHOUT_NUMBERS (1 << 6 | 1 << 10 | 1 << 12)

/* `receiver` is what the tracepoint says, where it does; else tcp_send_dupack or a function of bpf/tcp_queue.c has had both.
 * 0: none is known. */
inline_always u64 refusing_connection(u64 skb, u64 receiver, union scratch *scratch)
{
	struct tcp_visit *visit = current_tcp_visit();
	u64 sock = receiver;
	u8 state;

	if (!KFREE_SKB_SOCKET_ARGUMENT) {
		/* without reasons it dies unseen, and another may have its address by now */
		if (!KFREE_SKB_REASON_ARGUMENT || !visit || visit->answered != skb)
			return 0;
		visit->answered = 0;
		sock = visit->sock;
	}
	if (!sock)
		return 0;
	state = read_u8(scratch, sock + OFF_sock____sk_common__skc_state);
	if (1 << (state & 31) & WITHOUT_NUMBERS)
		return 0;
	return read_u16(scratch, sock + OFF_sock__sk_protocol) == PROTO_TCP ? sock : 0;
}

inline_always void put_connection(u64 sock, u64 skb, u64 time, union scratch *scratch)
{
	struct connection_record *record = events.ringbuf_reserve(sizeof(*record));

	if (!record) {
		count_unsent(LOSS_DETAIL);
		return;
	}
	begin_record(record, time, skb, RECORD_CONNECTION);
	record->inode = read_pointer(scratch, read_pointer(scratch, socket_file(sock, scratch) + OFF_file__f_inode) +
						      OFF_inode__i_ino);
	record->rcv_nxt = read_u32(scratch, sock + OFF_tcp_sock__rcv_nxt);
	record->rcv_wup = read_u32(scratch, sock + OFF_tcp_sock__rcv_wup);
	record->rcv_wnd = read_u32(scratch, sock + OFF_tcp_sock__rcv_wnd);
	record->snd_una = read_u32(scratch, sock + OFF_tcp_sock__snd_una);
	record->snd_nxt = read_u32(scratch, sock + OFF_tcp_sock__snd_nxt);
	record->ts_recent = read_u32(scratch, sock + OFF_tcp_sock__rx_opt__ts_recent);
	record->queued = read_u32(scratch, sock + OFF_sock__sk_backlog__rmem_alloc);
	record->limit = read_u32(scratch, sock + OFF_sock__sk_rcvbuf);
	record->bound_ifindex = read_u32(scratch, sock + OFF_sock____sk_common__skc_bound_dev_if);
	record->pad = 0;
	events.ringbuf_submit(record, 0);
}

int send_connection(struct bpf_raw_tracepoint_args *ctx)
{
	struct death *death = current_death();
	union scratch scratch;

	if (death && death->skb == ctx->args[0])
		put_connection(death->sock, death->skb, death->time, &scratch);
	return out_of_hand();
}
