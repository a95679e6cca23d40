/* UDP: the socket that did not take a datagram, as it was at that moment. */

#define PROTO_UDPLITE 136
#define SOCK_RCVBUF_LOCK 2 /* include/net/sock.h: SO_RCVBUF was set */

/* What __udp_enqueue_schedule_skb was asked on this CPU to take: if it has refused, the next that is freed. Datagrams are
 * received with softirqs off, so there is one at a time. */
struct socket_visit {
	u64 skb; /* 0: nothing */
	u64 sock;
	u32 error; /* errno */
};

BPF_PERCPU_ARRAY(socket_visits, struct socket_visit, 1);

inline_always struct socket_visit *current_socket_visit(void)
{
	int zero = 0;
	return socket_visits.lookup(&zero);
}

/* (struct sock *, struct sk_buff *). Not attached where the tracepoint names the socket: delivered datagrams meet no probe.
 * Its return is watched only where the kernel gives no reason that says the same: a datagram that is taken pays for it too. */
int on_udp_enqueue(struct pt_regs *ctx)
{
	struct socket_visit *visit = current_socket_visit();

	if (!visit)
		return 0;
	visit->sock = PT_REGS_PARM1(ctx);
	visit->skb = PT_REGS_PARM2(ctx);
	visit->error = 0;
	return 0;
}

int on_udp_enqueue_return(struct pt_regs *ctx)
{
	struct socket_visit *visit = current_socket_visit();
	s32 error = PT_REGS_RC(ctx);

	if (!visit)
		return 0;
	if (error < 0)
		visit->error = -error;
	else
		visit->skb = 0;
	return 0;
}

/* Not 0 for what only this function refuses. */
inline_always int says_refused(s64 reason)
{
	return REASON_RCVBUF && REASON_PROTO_MEM && (reason == REASON_RCVBUF || reason == REASON_PROTO_MEM);
}

/* Asked once for every death: an address that is used again must not find an old note. 0: no socket of UDP is known. */
inline_always u64 refusing_socket(u64 skb, u64 receiver, s64 reason, union scratch *scratch)
{
	struct socket_visit *visit = current_socket_visit();
	u64 sock = receiver;
	u16 protocol;

	if (!visit)
		return 0;
	if (KFREE_SKB_SOCKET_ARGUMENT) {
		visit->error = 0;
	} else {
		if (visit->skb != skb)
			return 0;
		visit->skb = 0;
		if (!visit->error && !says_refused(reason))
			return 0;
		sock = visit->sock;
	}
	protocol = read_u16(scratch, sock + OFF_sock__sk_protocol);
	return protocol == PROTO_UDP || protocol == PROTO_UDPLITE ? sock : 0;
}

inline_always void read_queue(struct socket_record *record, u64 sock, union scratch *scratch)
{
	u8 locks = read_u8(scratch, sock + BIT_sock__sk_userlocks / 8) >> BIT_sock__sk_userlocks % 8;

	record->is_limit_set = !!(locks & SOCK_RCVBUF_LOCK);
	record->queued = read_u32(scratch, sock + OFF_sock__sk_backlog__rmem_alloc);
	record->limit = read_u32(scratch, sock + OFF_sock__sk_rcvbuf);
	/* the reader takes all that is in the first at once into the second */
	record->datagrams = read_u32(scratch, sock + OFF_sock__sk_receive_queue__qlen) +
			    read_u32(scratch, sock + OFF_udp_sock__reader_queue__qlen);
}

inline_always void read_addresses(struct socket_record *record, u64 sock, union scratch *scratch)
{
	u16 family = read_u16(scratch, sock + OFF_sock____sk_common__skc_family);

	record->family = family;
	record->port = read_u16(scratch, sock + OFF_sock____sk_common__skc_num);
	record->peer_port = bpf_ntohs(read_u16(scratch, sock + OFF_sock____sk_common__skc_dport));
	record->bound_ifindex = read_u32(scratch, sock + OFF_sock____sk_common__skc_bound_dev_if);
	__builtin_memset(record->address, 0, sizeof(record->address));
	__builtin_memset(record->peer, 0, sizeof(record->peer));
	if (family == AF_INET6) {
		read_member(record->address, sock, OFF_sock____sk_common__skc_v6_rcv_saddr);
		read_member(record->peer, sock, OFF_sock____sk_common__skc_v6_daddr);
	} else {
		read_bytes(record->address, 4, sock + OFF_sock____sk_common__skc_rcv_saddr);
		read_bytes(record->peer, 4, sock + OFF_sock____sk_common__skc_daddr);
	}
}

/* The inode of sockfs, by which /proc/PID/fd names the socket; 0: it is the kernel's own. */
inline_always u64 socket_inode(u64 sock, union scratch *scratch)
{
	u64 file = read_pointer(scratch, read_pointer(scratch, sock + OFF_sock__sk_socket) + OFF_socket__file);

	return read_pointer(scratch, read_pointer(scratch, file + OFF_file__f_inode) + OFF_inode__i_ino);
}

int send_socket(struct bpf_raw_tracepoint_args *ctx)
{
	struct socket_visit *visit = current_socket_visit();
	struct death *death = current_death();
	struct socket_record *record;
	union scratch scratch;
	u64 sock;

	if (!visit || !death || death->skb != ctx->args[0])
		return out_of_hand();
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		count_unsent(LOSS_DETAIL);
		return out_of_hand();
	}
	sock = death->sock;
	begin_record(record, death->time, death->skb, RECORD_SOCKET);
	record->error = visit->error;
	record->inode = socket_inode(sock, &scratch);
	read_queue(record, sock, &scratch);
	read_addresses(record, sock, &scratch);
	events.ringbuf_submit(record, 0);
	return out_of_hand();
}
