/* ICMP messages that have had what they were for, and whose free looks like a drop all the same: net/ipv6/icmp.c before
 * 6.3 frees what it has answered with kfree_skb, and an echo reply of which a raw socket had a copy finds no other socket.
 * Where the kernel gives no reasons, what this host answers with port unreachable is told from what else dies there, and
 * fragments that came twice from those that overlap others. */

#define ECHO_REPLY 0 /* linux/icmp.h */
#define DEST_UNREACH 3
#define PORT_UNREACH 3
#define ECHO_REPLY6 129 /* linux/icmpv6.h */
#define DEST_UNREACH6 1
#define PORT_UNREACH6 4
#define IPFRAG_DUP 1 /* net/inet_frag.h */
#define IPFRAG_OVERLAP 2
#define ND_TARGET 8 /* bytes into a neighbour solicitation, RFC 4861, 4.3 */

struct answers {
	u64 request; /* struct sk_buff of what has been answered, or refused, on this CPU and is to be freed next */
	u64 note; /* how: enum note */
	u64 target; /* where the target stands in the neighbour solicitation that has been answered */
	u64 copied; /* head of the echo reply that a raw socket has been given */
	u64 given_up; /* struct inet_frag_queue of the last packet of which fragments overlap */
	u64 purging; /* its fragments are being thrown away */
	u64 message; /* struct sk_buff of the last message of neighbour discovery */
};

BPF_PERCPU_ARRAY(answers, struct answers, 1);
BPF_PERCPU_ARRAY(error_calls, struct calls, 1);
BPF_PERCPU_ARRAY(piece_calls, struct calls, 1);

inline_always struct answers *current_answers(void)
{
	int zero = 0;
	return answers.lookup(&zero);
}

inline_always void answered(struct answers *now, u64 request, u32 note)
{
	now->note = now->request == request ? now->note | note : note;
	now->request = request;
}

/* (skb, type, code, ...): nobody has the port (RFC 792). */
int on_icmp_send(struct pt_regs *ctx)
{
	struct answers *now = current_answers();

	if (now && (u8)PT_REGS_PARM2(ctx) == DEST_UNREACH && (u8)PT_REGS_PARM3(ctx) == PORT_UNREACH)
		answered(now, PT_REGS_PARM1(ctx), NOTE_UNREACHABLE_SENT);
	return 0;
}

/* Likewise (RFC 4443). */
int on_icmp6_send(struct pt_regs *ctx)
{
	struct answers *now = current_answers();

	if (now && (u8)PT_REGS_PARM2(ctx) == DEST_UNREACH6 && (u8)PT_REGS_PARM3(ctx) == PORT_UNREACH6)
		answered(now, PT_REGS_PARM1(ctx), NOTE_UNREACHABLE_SENT);
	return 0;
}

/* (struct icmp_bxm *, ...), of an error that is being put together: it quotes what is freed next. */
int on_icmp_glue_bits(struct pt_regs *ctx)
{
	struct answers *now = current_answers();
	u64 message = PT_REGS_PARM1(ctx);
	union scratch scratch;
	u16 type_and_code = read_u16(&scratch, message + OFF_icmp_bxm__data); /* begins with struct icmphdr */

	if (now && type_and_code == (DEST_UNREACH | PORT_UNREACH << 8))
		answered(now, read_pointer(&scratch, message + OFF_icmp_bxm__skb), NOTE_REFUSAL_SENT);
	return 0;
}

/* (struct icmpv6_msg *, ...): likewise. */
int on_icmpv6_error(struct pt_regs *ctx)
{
	struct answers *now = current_answers();
	u64 message = PT_REGS_PARM1(ctx);
	union scratch scratch;

	if (now && read_u8(&scratch, message + OFF_icmpv6_msg__type) == DEST_UNREACH6)
		answered(now, read_pointer(&scratch, message + OFF_icmpv6_msg__skb), NOTE_REFUSAL_SENT);
	return 0;
}

/* (struct sock *, struct sk_buff *): a copy, which shares the bytes. */
int on_raw_receive(struct pt_regs *ctx)
{
	struct answers *now = current_answers();
	u64 skb = PT_REGS_PARM2(ctx);
	union scratch scratch;
	u64 head;
	u8 type;

	if (!now)
		return 0;
	head = read_pointer(&scratch, skb + OFF_sk_buff__head);
	type = read_u8(&scratch, head + read_u16(&scratch, skb + OFF_sk_buff__transport_header));
	if (type == ECHO_REPLY || type == ECHO_REPLY6)
		now->copied = head;
	return 0;
}

/* (struct icmpv6_msg *, ...): also for errors, which are about the packet and no answer to it. */
int on_icmpv6_getfrag(struct pt_regs *ctx)
{
	struct answers *now = current_answers();
	u64 message = PT_REGS_PARM1(ctx);
	union scratch scratch;

	if (now && read_u8(&scratch, message + OFF_icmpv6_msg__type) == ECHO_REPLY6)
		answered(now, read_pointer(&scratch, message + OFF_icmpv6_msg__skb), NOTE_ANSWERED);
	return 0;
}

/* (struct net_device *, const struct in6_addr *to, const struct in6_addr *target, ...) */
int on_ndisc_send_na(struct pt_regs *ctx)
{
	struct answers *now = current_answers();

	if (now)
		now->target = PT_REGS_PARM3(ctx);
	return 0;
}

/* ndisc_rcv(skb) */
int on_discovery(struct pt_regs *ctx)
{
	struct answers *now = current_answers();

	if (now)
		now->message = PT_REGS_PARM1(ctx);
	return 0;
}

/* addrconf_prefix_rcv: an option of a router advertisement, which has been found to be sound and is followed. */
int on_prefix(struct pt_regs *ctx)
{
	struct answers *now = current_answers();

	if (now)
		answered(now, now->message, NOTE_ANSWERED);
	return 0;
}

/* (struct sk_buff *, ...), of an error: the socket that has sent what it quotes is searched. */
int on_error(struct pt_regs *ctx)
{
	int zero = 0;

	note_call(error_calls.lookup(&zero), ctx);
	return 0;
}

/* 0: it was found, and told. */
int on_error_return(struct pt_regs *ctx)
{
	struct answers *now = current_answers();
	int zero = 0;
	struct call *call = take_call(error_calls.lookup(&zero), ctx);

	if (call && now && !(u32)PT_REGS_RC(ctx))
		answered(now, call->first, NOTE_ANSWERED);
	return 0;
}

/* inet_frag_queue_insert(struct inet_frag_queue *, struct sk_buff *, ...): a fragment is put among those of its packet. */
int on_piece(struct pt_regs *ctx)
{
	int zero = 0;

	note_call(piece_calls.lookup(&zero), ctx);
	return 0;
}

int on_piece_return(struct pt_regs *ctx)
{
	struct answers *now = current_answers();
	u32 answer = PT_REGS_RC(ctx);
	int zero = 0;
	struct call *call = take_call(piece_calls.lookup(&zero), ctx);

	if (!call || !now)
		return 0;
	if (answer == IPFRAG_DUP || answer == IPFRAG_OVERLAP)
		answered(now, call->second, answer == IPFRAG_DUP ? NOTE_PIECE_TWICE : NOTE_PIECE_OVERLAPS);
	now->given_up = answer == IPFRAG_OVERLAP ? call->first : 0;
	return 0;
}

/* inet_frag_rbtree_purge(struct rb_root *, ...): the fragments of a packet are thrown away. Those of one that has been
 * given up come next: another packet may have its address later. */
int on_purge(struct pt_regs *ctx)
{
	struct answers *now = current_answers();

	if (!now)
		return 0;
	now->purging = now->given_up && PT_REGS_PARM1(ctx) == now->given_up + OFF_inet_frag_queue__rb_fragments;
	now->given_up = 0;
	return 0;
}

int on_purge_return(struct pt_regs *ctx)
{
	struct answers *now = current_answers();

	if (now)
		now->purging = 0;
	return 0;
}

/* Asked once for every death: an address that is used again must not find an old note. */
inline_always u32 answer_notes(u64 skb, union scratch *scratch)
{
	struct answers *now = current_answers();
	u32 notes = 0;

	if (!now)
		return 0;
	if (now->request == skb) {
		now->request = 0;
		notes |= now->note;
	}
	if (now->target && read_pointer(scratch, skb + OFF_sk_buff__data) + ND_TARGET == now->target) {
		now->target = 0;
		notes |= NOTE_ANSWERED;
	}
	if (now->copied && read_pointer(scratch, skb + OFF_sk_buff__head) == now->copied) {
		now->copied = 0;
		notes |= NOTE_COPIED;
	}
	if (now->purging)
		notes |= NOTE_PIECE_OVERLAPS;
	return notes;
}
