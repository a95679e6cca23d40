/* ICMP messages that have had what they were for, and whose free looks like a drop all the same: net/ipv6/icmp.c before
 * 6.3 frees what it has answered with kfree_skb, and an echo reply of which a raw socket had a copy finds no other socket. */

#define ECHO_REPLY 0 /* linux/icmp.h */
#define ECHO_REPLY6 129 /* linux/icmpv6.h */
#define ND_TARGET 8 /* bytes into a neighbour solicitation, RFC 4861, 4.3 */

struct answers {
	u64 request; /* struct sk_buff of the echo request that has been answered on this CPU and is to be freed next */
	u64 target; /* where the target stands in the neighbour solicitation that has been answered */
	u64 copied; /* head of the echo reply that a raw socket has been given */
};

BPF_PERCPU_ARRAY(answers, struct answers, 1);

inline_always struct answers *current_answers(void)
{
	int zero = 0;
	return answers.lookup(&zero);
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
		now->request = read_pointer(&scratch, message + OFF_icmpv6_msg__skb);
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

/* Asked once for every death: an address that is used again must not find an old note. */
inline_always u32 answer_notes(u64 skb, union scratch *scratch)
{
	struct answers *now = current_answers();
	u32 notes = 0;

	if (!now)
		return 0;
	if (now->request == skb) {
		now->request = 0;
		notes |= NOTE_ANSWERED;
	}
	if (now->target && read_pointer(scratch, skb + OFF_sk_buff__data) + ND_TARGET == now->target) {
		now->target = 0;
		notes |= NOTE_ANSWERED;
	}
	if (now->copied && read_pointer(scratch, skb + OFF_sk_buff__head) == now->copied) {
		now->copied = 0;
		notes |= NOTE_COPIED;
	}
	return notes;
}
