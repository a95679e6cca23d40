/* Listening sockets of TCP: what has no room in their queues. A refused SYN passes no kfree_skb: tcp_rcv_state_process
 * frees it as if it had been used. The last ACK of a handshake does, without a reason on most kernels. That it was
 * refused, and why, is told by what the kernel counted meanwhile (tcp_conn_request in net/ipv4/tcp_input.c,
 * tcp_v4_syn_recv_sock in net/ipv4/tcp_ipv4.c): its counters are per CPU, and softirqs do not nest. */

struct listener_counters {
	u64 refused; /* ListenDrops */
	u64 overflowed; /* ListenOverflows */
	u64 full; /* TCPReqQFullDrop */
};

struct listener_visit {
	u64 in_hand; /* struct sk_buff that the listening socket looks at on this CPU; 0: none */
	u64 skb; /* what it has refused, to be freed next; 0: nothing */
	u64 address; /* of this CPU's counters in its namespace, 0: unknown */
	struct listener_counters before;
	struct listener_record record;
	struct refused death;
};

BPF_PERCPU_ARRAY(listener_visits, struct listener_visit, 1);

inline_always struct listener_visit *current_listener_visit(void)
{
	int zero = 0;
	return listener_visits.lookup(&zero);
}

inline_always void read_listener_counters(struct listener_counters *counters, u64 address, union scratch *scratch)
{
	counters->refused = read_pointer(scratch, address + ENUM_LINUX_MIB_LISTENDROPS * sizeof(u64));
	counters->overflowed = read_pointer(scratch, address + ENUM_LINUX_MIB_LISTENOVERFLOWS * sizeof(u64));
	counters->full = read_pointer(scratch, address + ENUM_LINUX_MIB_TCPREQQFULLDROP * sizeof(u64));
}

inline_always void read_listener(struct listener_record *record, u64 sock, u64 net, union scratch *scratch)
{
	u16 family = read_u16(scratch, sock + OFF_sock____sk_common__skc_family);

	__builtin_memset(record, 0, sizeof(*record));
	record->accept_queue = read_u32(scratch, sock + OFF_sock__sk_ack_backlog);
	record->accept_limit = read_u32(scratch, sock + OFF_sock__sk_max_ack_backlog);
	record->syn_queue = read_u32(scratch, sock + OFF_inet_connection_sock__icsk_accept_queue__qlen);
	record->max_syn_backlog = read_u32(scratch, net + OFF_net__ipv4__sysctl_max_syn_backlog);
	record->somaxconn = read_u32(scratch, net + OFF_net__core__sysctl_somaxconn);
	/* 0 to 2, on some kernels an int */
	record->syncookies = read_u8(scratch, net + OFF_net__ipv4__sysctl_tcp_syncookies);
	record->bound_ifindex = read_u32(scratch, sock + OFF_sock____sk_common__skc_bound_dev_if);
	record->family = family;
	record->port = read_u16(scratch, sock + OFF_sock____sk_common__skc_num);
	if (family == AF_INET6)
		read_member(record->address, sock, OFF_sock____sk_common__skc_v6_rcv_saddr);
	else
		read_bytes(record->address, 4, sock + OFF_sock____sk_common__skc_rcv_saddr);
}

inline_always void begin_listener_visit(u64 function, u64 sock, u64 skb)
{
	struct listener_visit *visit = current_listener_visit();
	struct settings *wanted = current_settings();
	union scratch scratch;
	u64 net;

	if (!visit)
		return;
	visit->in_hand = visit->skb = 0;
	if (!wanted || !wanted->per_cpu_value)
		return;
	net = read_pointer(&scratch, sock + OFF_sock____sk_common__skc_net);
	visit->address = read_pointer(&scratch, net + OFF_net__mib__net_statistics) + this_cpu_offset();
	visit->in_hand = skb;
	visit->death.sock = sock;
	visit->death.function = function;
	read_listener_counters(&visit->before, visit->address, &scratch);
	read_listener(&visit->record, sock, net, &scratch);
}

/* What it had in hand and has refused, 0: it has not. What did it is in the visit's record then. */
inline_always u64 end_of_listening(struct listener_visit *visit, union scratch *scratch)
{
	struct listener_counters now;
	u64 skb = visit->in_hand;

	visit->in_hand = 0;
	if (!skb)
		return 0;
	read_listener_counters(&now, visit->address, scratch);
	visit->record.has_overflowed = now.overflowed != visit->before.overflowed;
	visit->record.is_syn_queue_full = now.full != visit->before.full;
	if (now.refused == visit->before.refused)
		return 0;
	visit->record.inode = read_pointer(
		scratch,
		read_pointer(scratch, socket_file(visit->death.sock, scratch) + OFF_file__f_inode) + OFF_inode__i_ino);
	return skb;
}

/* tcp_conn_request(rsk_ops, af_ops, sk, skb) */
int on_conn_request(struct pt_regs *ctx)
{
	begin_listener_visit(PT_REGS_IP(ctx), PT_REGS_PARM3(ctx), PT_REGS_PARM4(ctx));
	return 0;
}

/* In bpf/refused.c. */
inline_always void send_refused_syn(struct pt_regs *ctx, u64 skb, struct listener_visit *visit, union scratch *scratch);

BPF_PROG_ARRAY(refused_syns, 1); /* remember_refused_syn of bpf/resent.c, where somebody asks for it */

int on_conn_request_return(struct pt_regs *ctx)
{
	struct listener_visit *visit = current_listener_visit();
	union scratch scratch;
	u64 skb;

	if (!visit)
		return 0;
	skb = end_of_listening(visit, &scratch);
	if (!skb)
		return 0;
	count_seen(SOURCE_TCP_CONN_REQUEST);
	send_refused_syn(ctx, skb, visit, &scratch);
	end_journey(skb);
	visit->skb = skb;
	if (HAS_RESENT)
		refused_syns.call(ctx, 0);
	visit->skb = 0;
	return 0;
}

/* tcp_v4_syn_recv_sock, tcp_v6_syn_recv_sock(sk, skb, ...): makes the connection, also of a SYN cookie. */
int on_syn_recv_sock(struct pt_regs *ctx)
{
	begin_listener_visit(PT_REGS_IP(ctx), PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx));
	return 0;
}

int on_syn_recv_sock_return(struct pt_regs *ctx)
{
	struct listener_visit *visit = current_listener_visit();
	union scratch scratch;

	if (!visit)
		return 0;
	visit->skb = end_of_listening(visit, &scratch);
	visit->record.is_handshake_done = 1;
	if (PT_REGS_RC(ctx))
		visit->skb = 0;
	return 0;
}

/* Asked once for every death: an address that is used again must not find an old note. struct sock, 0: none. */
inline_always u64 refusing_listener(u64 skb)
{
	struct listener_visit *visit = current_listener_visit();

	if (!visit || visit->skb != skb)
		return 0;
	visit->skb = 0;
	return visit->death.sock;
}

inline_always void put_listener(struct listener_visit *visit, u64 skb, u64 time)
{
	begin_record(&visit->record, time, skb, RECORD_LISTENER);
	if (events.ringbuf_output(&visit->record, sizeof(visit->record), 0))
		count_unsent(LOSS_DETAIL);
}

int send_listener(struct bpf_raw_tracepoint_args *ctx)
{
	struct listener_visit *visit = current_listener_visit();
	struct death *death = current_death();

	if (visit && death && death->skb == ctx->args[0])
		put_listener(visit, death->skb, death->time);
	return out_of_hand();
}
