/* The IPsec input path: which SA a packet was for, and what the kernel said about it before it let it die.
 *
 * xfrm_input ends in one kfree_skb for some twenty failures, without a reason (net/xfrm/xfrm_input.c). What it says
 * of them are its audit calls, made whether auditing is on or off, and the counter that it raises. */

#define POLICY_DIRECTION 3 /* XFRM_POLICY_MASK: the rest of the argument is a flag */

struct xfrm_visit {
	u64 skb; /* the packet that xfrm_input has on this CPU; 0: none */
	u32 audit;
	u8 spi[4];
	u8 seq[4];
	u32 pad;
	u64 risen; /* counters, when the packet dies */
	struct xfrm_counters counters;
};

/* The last packet that __xfrm_policy_check had on this CPU. */
struct xfrm_check {
	u64 skb;
	u64 risen;
	u32 direction;
	u32 is_refused;
	u32 mark;
	u32 pad;
	struct xfrm_counters counters;
	struct xfrm_policy_record policy;
};

/* The last packet on this CPU that could not leave: what was said of it before it was freed. */
struct xfrm_refusal {
	u64 skb;
	s32 lookup_errno;
	u32 if_id;
	u32 audit;
	u32 pad;
	struct xfrm_policy_record policy;
};

/* The packet for which the code that runs on this CPU looks for a route (bpf/xfrm_output.c). */
struct xfrm_waiting {
	u64 skb; /* 0: none */
	u64 task;
	u64 route; /* the first answer: a struct dst_entry or an error, 0: none yet */
};

BPF_PERCPU_ARRAY(xfrm_waitings, struct xfrm_waiting, 1);
BPF_PERCPU_ARRAY(xfrm_visits, struct xfrm_visit, 1);
BPF_PERCPU_ARRAY(xfrm_checks, struct xfrm_check, 1);
BPF_PERCPU_ARRAY(xfrm_refusals, struct xfrm_refusal, 1);

inline_always struct xfrm_visit *current_visit(void)
{
	int zero = 0;
	return xfrm_visits.lookup(&zero);
}

inline_always struct xfrm_check *current_check(void)
{
	int zero = 0;
	return xfrm_checks.lookup(&zero);
}

inline_always struct xfrm_refusal *current_refusal(void)
{
	int zero = 0;
	return xfrm_refusals.lookup(&zero);
}

inline_always struct xfrm_waiting *current_waiting(void)
{
	int zero = 0;
	return xfrm_waitings.lookup(&zero);
}

/* Every entry starts a visit, also the second one after asynchronous decryption: nothing is left of the packet
 * that had this address before. */
int on_xfrm_input(struct pt_regs *ctx)
{
	struct xfrm_visit *visit = current_visit();
	union scratch scratch;

	if (!visit)
		return 0;
	visit->skb = PT_REGS_PARM1(ctx);
	visit->audit = 0;
	read_counters(&visit->counters, visit->skb, &scratch);
	return 0;
}

/* (sk, dir, skb, family): is called only where there are policies, or the packet came through an SA. */
int on_policy_check(struct pt_regs *ctx)
{
	struct xfrm_check *check = current_check();
	union scratch scratch;

	begin_policy_search(ctx);
	if (!check)
		return 0;
	check->skb = PT_REGS_PARM3(ctx);
	check->direction = PT_REGS_PARM2(ctx) & POLICY_DIRECTION;
	check->is_refused = 0;
	check->mark = read_u32(&scratch, check->skb + OFF_sk_buff__mark);
	read_counters(&check->counters, check->skb, &scratch);
	return 0;
}

int on_policy_check_return(struct pt_regs *ctx)
{
	struct xfrm_check *check = current_check();
	const struct policy_search *search = take_policy_search(ctx);
	union scratch scratch;

	if (!check || (u32)PT_REGS_RC(ctx))
		return 0;
	check->is_refused = 1;
	read_found(&check->policy, search);
	check->risen = risen_counters(&check->counters, &scratch);
	return 0;
}

inline_always struct xfrm_visit *visit_of(u64 skb)
{
	struct xfrm_visit *visit = current_visit();

	return visit && visit->skb == skb ? visit : NULL;
}

inline_always void begin_xfrm_death(u64 skb, union scratch *scratch)
{
	struct xfrm_visit *visit = visit_of(skb);

	if (visit)
		visit->risen = risen_counters(&visit->counters, scratch);
}

/* The policy check that refused this packet; NULL: none did. */
inline_always struct xfrm_check *refusing_check_of(u64 skb)
{
	struct xfrm_check *check = current_check();

	return check && check->skb == skb && check->is_refused ? check : NULL;
}

inline_always struct xfrm_refusal *refusal_of(u64 skb)
{
	struct xfrm_refusal *refusal = current_refusal();

	return refusal && refusal->skb == skb ? refusal : NULL;
}

/* With the packet's death, asked for or not: the next packet may get its address, and must not get its guilt. */
inline_always void end_xfrm_visit(u64 skb)
{
	struct xfrm_visit *visit = visit_of(skb);
	struct xfrm_check *check = current_check();
	struct xfrm_refusal *refusal = refusal_of(skb);

	if (visit)
		visit->skb = 0;
	if (check && check->skb == skb)
		check->skb = 0;
	if (refusal)
		refusal->skb = 0;
}

inline_always struct xfrm_visit *note_audit(u64 skb, u32 audit)
{
	struct xfrm_visit *visit = visit_of(skb);

	if (visit)
		visit->audit |= audit;
	return visit;
}

int on_xfrm_audit_state_icvfail(struct pt_regs *ctx)
{
	note_audit(PT_REGS_PARM2(ctx), XFRM_AUDIT_ICVFAIL);
	return 0;
}

int on_xfrm_audit_state_notfound(struct pt_regs *ctx)
{
	struct xfrm_visit *visit = note_audit(PT_REGS_PARM1(ctx), XFRM_AUDIT_NOTFOUND);
	u32 spi = PT_REGS_PARM3(ctx);
	u32 seq = PT_REGS_PARM4(ctx);

	if (!visit)
		return 0;
	__builtin_memcpy(visit->spi, &spi, sizeof(spi));
	__builtin_memcpy(visit->seq, &seq, sizeof(seq));
	return 0;
}

int on_xfrm_audit_state_replay(struct pt_regs *ctx)
{
	struct xfrm_visit *visit = note_audit(PT_REGS_PARM2(ctx), XFRM_AUDIT_REPLAY);
	u32 seq = PT_REGS_PARM3(ctx);

	if (visit)
		__builtin_memcpy(visit->seq, &seq, sizeof(seq));
	return 0;
}

/* (x, skb) */
int on_xfrm_audit_state_replay_overflow(struct pt_regs *ctx)
{
	struct xfrm_refusal *refusal = current_refusal();

	if (!refusal)
		return 0;
	refusal->skb = PT_REGS_PARM2(ctx);
	refusal->audit = XFRM_AUDIT_OVERFLOW;
	refusal->lookup_errno = 0;
	refusal->policy.found = POLICY_UNKNOWN;
	return 0;
}
