/* Sends that fail before there is a packet: a system call was to send, and a function refused it. These programs run at
 * the functions' returns (fexit): there they have arguments and answer at once. Where the answer is no error, they cost
 * a compare. A lookup that no send asked for (connect() of a datagram socket, an answer of the kernel's own) is none of
 * theirs: the caller tells.
 *
 * One failure is told once: who tells of it notes it for those that return the same error after it. Such notes are by
 * task, for a task may change its CPU in between. */
#include "layout.h"

#define EACCES 13
#define EINVAL 22
#define EMSGSIZE 90
#define LONGEST_DATAGRAM 0xffff
#define NEAREST 12 /* callers that are looked at */
#define FIRST_CALLER 2 /* behind the program and its trampoline */

BPF_ARRAY(send_code, struct send_code, 1);

enum teller {
	NOBODY, /* it is left to the function that returns it */
	BY_FUNCTION, /* of those in this file */
	BY_POLICY, /* bpf/xfrm_output.c, in a lookup of a route */
};

/* Of a system call that is going to fail. */
struct told_send {
	u64 sock;
	s32 error; /* negative */
	u32 mtu;
	u32 is_told; /* enum teller */
	u32 pad;
};

BPF_TABLE("lru_hash", u64, struct told_send, told_sends, 1024);

inline_always void note_send(u64 sock, s32 error, u32 mtu, u32 is_told)
{
	u64 task = bpf_get_current_pid_tgid();
	struct told_send told = {.sock = sock, .error = error, .mtu = mtu, .is_told = is_told};

	if (sock)
		told_sends.update(&task, &told);
}

/* 0: nobody has noted it */
inline_always int take_note(u64 sock, s32 error, u32 *mtu)
{
	u64 task = bpf_get_current_pid_tgid();
	struct told_send *told = told_sends.lookup(&task);
	int is_it;

	if (!told)
		return 0;
	is_it = told->sock == sock && told->error == error ? 1 + told->is_told : 0;
	*mtu = told->mtu;
	told_sends.delete(&task);
	return is_it;
}

#define NOTED 1
#define TOLD 2 /* by a function; more: by a policy */

/* 1 or 0 */
inline_always u64 is_in(const struct code_range *range, u64 address)
{
	return (1 ^ is_less(address, range->start)) & is_less(address, range->end);
}

/* Where in the probed function it is. `callers`: NEAREST addresses. `is_send` becomes whether
 * the function that called it is one by which a system call sends. */
inline_always u64 find_place_of_send(u64 *callers, void *ctx, u32 source, int *is_send)
{
	int zero = 0;
	struct send_code *code = send_code.lookup(&zero);
	u32 probed = source - SOURCE_IP_ROUTE_OUTPUT_FLOW;
	u64 place = 0;
	u64 caller = 0;
	u64 was_found = 0;
	u64 was_last = 0;
	u64 sends = 0;

	*is_send = 0;
	if (!code || probed >= SENDS_PROBED)
		return 0;
	__builtin_memset(callers, 0, NEAREST * sizeof(*callers));
	bpf_get_stack(ctx, callers, NEAREST * sizeof(*callers), 0);
#pragma clang loop unroll(disable)
	for (int i = 0; i < NEAREST; i++) {
		u64 is_place = is_in(&code->probed[probed], callers[i]) & (1 ^ was_found);

		caller |= callers[i] & -was_last;
		place |= callers[i] & -is_place;
		was_found |= is_place;
		was_last = is_place;
		end_of_body(i);
	}
	if (!place) { /* the trampoline of newer kernels leaves the probed function out */
		place = code->probed[probed].start;
		caller = callers[FIRST_CALLER];
	}
#pragma clang loop unroll(disable)
	for (int i = 0; i < SENDS_CALLERS; i++) {
		sends |= is_in(&code->caller[i], caller);
		end_of_body(i);
	}
	*is_send = !!sends;
	return place;
}

struct failed_send {
	u64 place;
	u64 sock;
	u32 source;
	s32 error;
	u32 mtu;
	u32 length;
	u32 mark;
	u32 uid;
	u32 ifindex;
	u32 netns;
	u32 hook; /* see struct send_record */
	u32 notes; /* enum note */
};

/* In bpf/refused.c. */
inline_always int count_refused(struct row *row, struct flow *flow, u64 now);
#define REFUSED_ALL (~0U) /* row.reason: none given */

inline_always void put_send(const struct failed_send *send, u64 now, u64 key)
{
	struct send_record *record = events.ringbuf_reserve(sizeof(*record));

	if (!record) {
		count_unsent(LOSS_DETAIL);
		return;
	}
	__builtin_memset(record, 0, sizeof(*record));
	begin_record(record, now, key, RECORD_SEND);
	record->error = send->error;
	record->uid = send->uid;
	record->ifindex = send->ifindex;
	record->mtu = send->mtu;
	record->length = send->length;
	record->hook = send->hook;
	events.ringbuf_submit(record, 0);
}

inline_always int send_is_wanted(const struct flow *flow, const struct failed_send *send, struct settings *wanted)
{
	return netns_wanted(wanted, send->netns) && mark_wanted(wanted, send->mark) &&
	       (!wanted->asks_flow || flow_matches(flow, wanted));
}

inline_always void tell_send(void *ctx, struct flow *flow, struct failed_send *send, union scratch *scratch)
{
	struct settings *wanted = current_settings();
	struct drop_record *record;
	struct row row = {};
	u64 now = bpf_ktime_get_ns();
	u64 key = (u64)ctx; /* there is no packet: the place on this task's stack tells its records from others */
	u64 cgroup = 0;

	forget(&key, sizeof(key)); /* it is a number */
	forget(flow, sizeof(*flow));
	forget(send, sizeof(*send));
	count_seen(send->source);
	if (!wanted || !send_is_wanted(flow, send, wanted))
		return;
	if (SUMMARY || (FOLDS && wanted->first_of_a_sort)) {
		row.location = send->place;
		row.object = send->source | (u64)send->hook << 32;
		row.bits = send->error;
		row.reason = REFUSED_ALL;
		row.netns = send->netns;
		row.ifindex = send->ifindex;
		row.protocol = flow->family == 4 ? ETH_P_IP : ETH_P_IPV6;
		if (!count_refused(&row, flow, now))
			return;
	}
	put_send(send, now, key);
	send->notes = is_on_task_stack(key, scratch) ? NOTE_TASK_STACK : 0;
	if (!is_own(send->sock, scratch))
		send->notes |= NOTE_NOT_OWN;
	if (HAS_CGROUP)
		cgroup = socket_cgroup(send->sock, scratch);
	forget(&send->notes, sizeof(send->notes));
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		if (!SUMMARY && !(row.location && fold(&row)))
			count_unsent(LOSS_RING_FULL);
		return;
	}
	begin_drop_record(record, ctx, now, key);
	record->row = row;
	record->location = send->place;
	record->source = send->source;
	record->mark = send->mark;
	record->ifindex = send->ifindex;
	record->netns = send->netns;
	record->protocol = flow->family == 4 ? ETH_P_IP : ETH_P_IPV6;
	record->notes = send->notes;
	record->cgroup = cgroup;
	record->packet_length = put_header(record->packet, flow);
	events.ringbuf_submit(record, 0);
}

inline_always void read_socket(struct failed_send *send, u64 sock, union scratch *scratch)
{
	struct settings *wanted = current_settings();

	send->sock = sock;
	send->netns = wanted ? socket_netns(sock, wanted->netns_operations, scratch) : 0;
	send->ifindex = read_u32(scratch, sock + OFF_sock____sk_common__skc_bound_dev_if);
	send->mark = read_u32(scratch, sock + OFF_sock__sk_mark);
	send->uid = read_u32(scratch, sock + OFF_sock__sk_uid);
}

/* What a socket of IPv4 sends from, and to where unless a message says so. */
inline_always void read_ends4(struct flow *flow, u64 sock, union scratch *scratch)
{
	flow->family = 4;
	flow->proto = read_u16(scratch, sock + OFF_sock__sk_protocol);
	flow->has_ports = is_with_ports(flow->proto);
	flow->saddr[2] = flow->daddr[2] = bpf_htonl(0xffff);
	flow->saddr[3] = read_u32(scratch, sock + OFF_inet_sock__inet_saddr);
	flow->daddr[3] = read_u32(scratch, sock + OFF_sock____sk_common__skc_daddr);
	flow->sport = read_u16(scratch, sock + OFF_sock____sk_common__skc_num);
	flow->dport = bpf_ntohs(read_u16(scratch, sock + OFF_sock____sk_common__skc_dport));
}

/* struct sockaddr_in: family, port, address */
inline_always void read_peer4(struct flow *flow, u64 address, union scratch *scratch)
{
	flow->dport = bpf_ntohs(read_u16(scratch, address + 2));
	flow->daddr[3] = read_u32(scratch, address + 4);
}

/* A route was asked for `flowi`, and `error` is the answer. */
inline_always void refuse_route(void *ctx, u64 flowi, u64 sock, u32 source, s64 error)
{
	struct failed_send send = {.source = source, .error = error};
	struct settings *wanted = current_settings();
	struct flow flow = {};
	union scratch scratch;
	int is_send;
	u32 mtu;

	send.place = find_place_of_send((u64 *)scratch.bytes, ctx, source, &is_send);
	if (!is_send || !sock || !wanted || take_note(sock, error, &mtu) > TOLD)
		return;
	read_socket(&send, sock, &scratch);
	send.mark = read_u32(&scratch, flowi + OFF_flowi_common__flowic_mark);
	send.uid = read_u32(&scratch, flowi + OFF_flowi_common__flowic_uid);
	send.ifindex = read_u32(&scratch, flowi + OFF_flowi_common__flowic_oif);
	if (!read_flowi(&flow, flowi, source == SOURCE_IP_ROUTE_OUTPUT_FLOW ? AF_INET : AF_INET6, &scratch))
		return;
	if (source == SOURCE_IP_ROUTE_OUTPUT_FLOW) /* for udp_sendmsg */
		note_send(sock, error, 0, BY_FUNCTION);
	tell_send(ctx, &flow, &send, &scratch);
}

/* ip_route_output_flow(net, flp4, sk) */
int on_route_output(struct bpf_raw_tracepoint_args *ctx)
{
	u64 answer = ctx->args[3];

	if (answer >= LOWEST_ERROR)
		refuse_route(ctx, as_number(ctx->args[1]), as_number(ctx->args[2]), SOURCE_IP_ROUTE_OUTPUT_FLOW,
			     as_number(answer));
	return 0;
}

/* ip6_dst_lookup_flow(net, sk, fl6, final_dst) */
int on_route6_output(struct bpf_raw_tracepoint_args *ctx)
{
	u64 answer = ctx->args[4];

	if (answer >= LOWEST_ERROR)
		refuse_route(ctx, as_number(ctx->args[2]), as_number(ctx->args[1]), SOURCE_IP6_DST_LOOKUP_FLOW,
			     as_number(answer));
	return 0;
}

inline_always void refuse_connection(void *ctx, u64 sock, u64 address, u32 source, s32 error)
{
	struct failed_send send = {.source = source, .error = error};
	struct flow flow = {};
	union scratch scratch;
	int is_send;
	u32 mtu;

	send.place = find_place_of_send((u64 *)scratch.bytes, ctx, source, &is_send);
	if (!send.place || take_note(sock, error, &mtu) >= TOLD)
		return;
	read_socket(&send, sock, &scratch);
	read_ends4(&flow, sock, &scratch);
	if (source == SOURCE_TCP_V4_CONNECT) {
		read_peer4(&flow, address, &scratch);
	} else {
		flow.family = 6;
		/* struct sockaddr_in6: family, port, flow information, address */
		flow.dport = bpf_ntohs(read_u16(&scratch, address + 2));
		read_bytes(flow.daddr, sizeof(flow.daddr), address + 8);
		read_member(flow.saddr, sock, OFF_sock____sk_common__skc_v6_rcv_saddr);
	}
	forget(&flow, sizeof(flow));
	if (source == SOURCE_TCP_V4_CONNECT && read_u16(&scratch, sock + OFF_sock____sk_common__skc_family) == AF_INET6)
		note_send(sock, error, 0, BY_FUNCTION); /* for tcp_v6_connect */
	tell_send(ctx, &flow, &send, &scratch);
}

/* tcp_v4_connect(sk, uaddr, addr_len) */
int on_connect4(struct bpf_raw_tracepoint_args *ctx)
{
	s32 answer = ctx->args[3];

	if (answer < 0)
		refuse_connection(ctx, as_number(ctx->args[0]), as_number(ctx->args[1]), SOURCE_TCP_V4_CONNECT, answer);
	return 0;
}

/* tcp_v6_connect(sk, uaddr, addr_len): to an address of IPv4 it calls the other */
int on_connect6(struct bpf_raw_tracepoint_args *ctx)
{
	s32 answer = ctx->args[3];

	if (answer < 0)
		refuse_connection(ctx, as_number(ctx->args[0]), as_number(ctx->args[1]), SOURCE_TCP_V6_CONNECT, answer);
	return 0;
}

/* What this function itself refuses, and what is refused in it where the port is not known. */
inline_always void refuse_datagram(void *ctx, u64 sock, u64 message, u64 length, s32 error)
{
	struct failed_send send = {.source = SOURCE_UDP_SENDMSG, .error = error, .length = length};
	struct flow flow = {};
	union scratch scratch;
	int is_send;
	int noted = take_note(sock, error, &send.mtu);
	u64 address;

	if (noted >= TOLD || (error != -EACCES && error != -EMSGSIZE))
		return;
	/* else there was a packet, which has died */
	if (error == -EMSGSIZE && !noted && length <= LONGEST_DATAGRAM)
		return;
	send.place = find_place_of_send((u64 *)scratch.bytes, ctx, SOURCE_UDP_SENDMSG, &is_send);
	if (!send.place)
		return;
	if (noted)
		send.source = SOURCE_IP_LOCAL_ERROR;
	read_socket(&send, sock, &scratch);
	read_ends4(&flow, sock, &scratch);
	address = read_pointer(&scratch, message + OFF_msghdr__msg_name);
	if (address)
		read_peer4(&flow, address, &scratch);
	tell_send(ctx, &flow, &send, &scratch);
}

/* udp_sendmsg(sk, msg, len) */
int on_udp_sendmsg(struct bpf_raw_tracepoint_args *ctx)
{
	s32 answer = ctx->args[3];

	if (answer < 0)
		refuse_datagram(ctx, as_number(ctx->args[0]), as_number(ctx->args[1]), ctx->args[2], answer);
	return 0;
}

/* It does not fit, and must not be cut. The port is told by udp_sendmsg. */
inline_always void refuse_size(void *ctx, u64 sock, u32 daddr, u32 mtu)
{
	struct failed_send send = {.source = SOURCE_IP_LOCAL_ERROR, .error = -EMSGSIZE, .mtu = mtu};
	struct flow flow = {};
	union scratch scratch;
	int is_send;

	send.place = find_place_of_send((u64 *)scratch.bytes, ctx, SOURCE_IP_LOCAL_ERROR, &is_send);
	if (!is_send || !sock)
		return;
	read_ends4(&flow, sock, &scratch);
	if (flow.has_ports) {
		note_send(sock, -EMSGSIZE, mtu, NOBODY);
		return;
	}
	flow.daddr[3] = daddr;
	read_socket(&send, sock, &scratch);
	tell_send(ctx, &flow, &send, &scratch);
}

/* ip_local_error(sk, err, daddr, port, info) */
int on_local_error(struct bpf_raw_tracepoint_args *ctx)
{
	if ((u32)ctx->args[1] == EMSGSIZE)
		refuse_size(ctx, as_number(ctx->args[0]), ctx->args[2], ctx->args[4]);
	return 0;
}

/* ipv6_local_error(sk, err, fl6, info) */
int on_local_error6(struct bpf_raw_tracepoint_args *ctx)
{
	struct failed_send send = {.source = SOURCE_IPV6_LOCAL_ERROR, .error = -EMSGSIZE};
	struct flow flow = {};
	union scratch scratch;
	u64 sock = as_number(ctx->args[0]);
	int is_send;

	if ((u32)ctx->args[1] != EMSGSIZE || !sock)
		return 0;
	send.mtu = ctx->args[3];
	send.place = find_place_of_send((u64 *)scratch.bytes, ctx, SOURCE_IPV6_LOCAL_ERROR, &is_send);
	if (!is_send || !read_flowi(&flow, as_number(ctx->args[2]), AF_INET6, &scratch))
		return 0;
	read_socket(&send, sock, &scratch);
	tell_send(ctx, &flow, &send, &scratch);
	return 0;
}
