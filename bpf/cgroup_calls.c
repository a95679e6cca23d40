/* Calls that the BPF programs of a cgroup refuse before there is a packet: connect(), bind(), and what sends a datagram
 * (bpf/sends.c has the others). Where the cgroup has no such program, the kernel does not come here. */

/* enum bpf_attach_type of linux/bpf.h: the kernel's own enum has other numbers */
#define BPF_CGROUP_INET4_BIND 8
#define BPF_CGROUP_INET6_BIND 9
#define BPF_CGROUP_INET4_CONNECT 10
#define BPF_CGROUP_INET6_CONNECT 11
#define BPF_CGROUP_UDP4_SENDMSG 14
#define BPF_CGROUP_UDP6_SENDMSG 15

/* 0: a call that sends nothing, and is to receive nothing. */
inline_always u32 cgroup_hook(u32 type)
{
	if (type == ENUM_CGROUP_INET4_CONNECT)
		return BPF_CGROUP_INET4_CONNECT;
	if (type == ENUM_CGROUP_INET6_CONNECT)
		return BPF_CGROUP_INET6_CONNECT;
	if (type == ENUM_CGROUP_UDP4_SENDMSG)
		return BPF_CGROUP_UDP4_SENDMSG;
	if (type == ENUM_CGROUP_UDP6_SENDMSG)
		return BPF_CGROUP_UDP6_SENDMSG;
	if (type == ENUM_CGROUP_INET4_BIND)
		return BPF_CGROUP_INET4_BIND;
	return type == ENUM_CGROUP_INET6_BIND ? BPF_CGROUP_INET6_BIND : 0;
}

/* The address of the call is where it was to send to; of bind() where it was to receive. */
inline_always void read_call(struct flow *flow, u64 sock, u64 address, u32 hook, union scratch *scratch)
{
	if (hook == BPF_CGROUP_INET6_CONNECT || hook == BPF_CGROUP_UDP6_SENDMSG || hook == BPF_CGROUP_INET6_BIND) {
		put_socket_flow(flow, sock, scratch);
		flow->has_ports = is_with_ports(flow->proto);
		flow->sport = read_u16(scratch, sock + OFF_sock____sk_common__skc_num);
		flow->dport = bpf_ntohs(read_u16(scratch, sock + OFF_sock____sk_common__skc_dport));
		if (address) {
			/* struct sockaddr_in6: family, port, flow information, address */
			flow->dport = bpf_ntohs(read_u16(scratch, address + 2));
			read_bytes(flow->daddr, sizeof(flow->daddr), address + 8);
		}
		flow->family = !flow->daddr[0] && !flow->daddr[1] && flow->daddr[2] == bpf_htonl(0xffff) ? 4 : 6;
	} else {
		read_ends4(flow, sock, scratch);
		if (address)
			read_peer4(flow, address, scratch);
	}
}

inline_always void refuse_call(void *ctx, u64 sock, u64 address, u32 hook, s32 error)
{
	struct failed_send send = {.source = SOURCE___CGROUP_BPF_RUN_FILTER_SOCK_ADDR, .error = error, .hook = hook};
	struct flow flow = {};
	union scratch scratch;
	int is_send;

	send.place = find_place_of_send((u64 *)scratch.bytes, ctx, send.source, &is_send);
	if (!send.place)
		return;
	read_socket(&send, sock, &scratch);
	read_call(&flow, sock, address, hook, &scratch);
	forget(&flow, sizeof(flow));
	if (hook == BPF_CGROUP_UDP4_SENDMSG)
		note_send(sock, error, 0, BY_FUNCTION); /* for udp_sendmsg */
	tell_send(ctx, &flow, &send, &scratch);
}

/* Else the compiler reads an argument at an index that it chooses at run time. */
inline_always u64 sock_addr_argument(u64 value)
{
	asm volatile("" : "+r"(value));
	return value;
}

/* __cgroup_bpf_run_filter_sock_addr(sk, uaddr, [uaddrlen,] type, t_ctx[, flags]) */
int on_cgroup_call(struct bpf_raw_tracepoint_args *ctx)
{
	u32 type;
	s32 answer;
	u32 hook;

	if (SOCK_ADDR_HAS_LENGTH) {
		type = sock_addr_argument(ctx->args[3]);
		answer = sock_addr_argument(ctx->args[6]);
	} else if (SOCK_ADDR_HAS_FLAGS) {
		type = sock_addr_argument(ctx->args[2]);
		answer = sock_addr_argument(ctx->args[5]);
	} else {
		type = sock_addr_argument(ctx->args[2]);
		answer = sock_addr_argument(ctx->args[4]);
	}
	if (answer >= 0)
		return 0;
	hook = cgroup_hook(type);
	if (hook)
		refuse_call(ctx, as_number(ctx->args[0]), as_number(ctx->args[1]), hook, answer);
	return 0;
}
