/* Calls of a followed packet whose return is told as well, or with it what netfilter answered. */

struct step_call {
	u64 skb;
	u64 journey;
	u64 function;
	u64 table;
	u32 hook;
	u32 family;
};

/* Calls whose return is watched, by their stack pointer. A function that jumps to another at its end shares that with it, and
 * both return at once, the last one first. */
#define TAILS 4
struct calls_here {
	u32 count;
	u32 pad;
	struct step_call call[TAILS];
};

#define STEP_CALLS 8192
BPF_TABLE("lru_hash", u64, struct calls_here, step_calls, STEP_CALLS);

/* A call whose return is to be told. */
inline_always int watch_return(struct pt_regs *ctx, u64 skb, u64 table, u32 family, u32 hook)
{
	struct journey *journey = journeys.lookup(&skb);
	u64 sp = PT_REGS_SP(ctx);
	struct calls_here none = {};
	struct calls_here *here;
	struct step_call *call;
	u32 at;

	if (!journey)
		return 0;
	here = step_calls.lookup_or_try_init(&sp, &none);
	if (!here)
		return 0;
	at = here->count < TAILS ? here->count : 0; /* so many are calls whose return was missed */
	call = &here->call[at & (TAILS - 1)];
	call->skb = skb;
	call->journey = journey->number;
	call->function = PT_REGS_IP(ctx);
	call->table = table;
	call->hook = hook;
	call->family = family;
	here->count = at + 1;
	return 0;
}

/* clang-format off */
#define ON_WATCHED_CALL(program, skb) \
	int program(struct pt_regs *ctx) { return watch_return(ctx, skb, 0, 0, 0); }

ON_WATCHED_CALL(on_watched_call_1, PT_REGS_PARM1(ctx))
ON_WATCHED_CALL(on_watched_call_2, PT_REGS_PARM2(ctx))
ON_WATCHED_CALL(on_watched_call_3, PT_REGS_PARM3(ctx))
ON_WATCHED_CALL(on_watched_call_4, PT_REGS_PARM4(ctx))
ON_WATCHED_CALL(on_watched_call_5, PT_REGS_PARM5(ctx))
/* clang-format on */

/* The call that returns here: the machine has taken the return address, on some, and the trampoline may have put one. */
inline_always int returning_call(struct pt_regs *ctx, struct step_call *found, u64 *sp)
{
#pragma clang loop unroll(disable)
	for (int words = 0; words < 3; words++) {
		u64 key = PT_REGS_SP(ctx) - words * sizeof(u64);
		struct calls_here *here = step_calls.lookup(&key);
		if (here && here->count) {
			here->count--;
			*found = here->call[here->count & (TAILS - 1)];
			*sp = key;
			if (!here->count)
				step_calls.delete(&key);
			return 1;
		}
	}
	return 0;
}

/* What a call returned whose packet may be gone: nothing is said of that. */
inline_always void tell_returned(struct pt_regs *ctx, const struct step_call *call, u64 sp, u32 step)
{
	struct step_record *record = new_record();
	union scratch scratch;

	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	begin_record(record, bpf_ktime_get_ns(), call->skb, RECORD_STEP);
	record->step = step;
	record->journey = call->journey;
	record->function = call->function;
	record->sp = sp;
	record->value = PT_REGS_RC(ctx);
	if (step == STEP_VERDICT)
		read_names(record, call->table, call->family, call->hook, &scratch);
	events.ringbuf_submit(record, 0);
}

/* Most of the calls that a packet was in return after its death. */
int on_return(struct pt_regs *ctx)
{
	struct step_call call;
	u64 sp;

	if (returning_call(ctx, &call, &sp))
		tell_returned(ctx, &call, sp, STEP_RETURN);
	return 0;
}

/* Netfilter: which chain or table answered what. */
int on_chain(struct pt_regs *ctx)
{
	u64 packet = PT_REGS_PARM1(ctx);
	u64 skb = 0;

	read_member(skb, packet, 0); /* struct nft_pktinfo begins with it */
	return watch_return(ctx, skb, PT_REGS_PARM2(ctx), 0, 0);
}

/* struct nf_hook_state begins with the hook's number */
inline_always int watch_table(struct pt_regs *ctx, u32 table_first, u32 family)
{
	struct netfilter_layout *layout = current_layout();
	struct table_call call;
	union scratch scratch;

	read_table_call(&call, ctx, table_first);
	if (layout && !family)
		family = read_u8(&scratch, call.table + layout->xt_af);
	return watch_return(ctx, call.skb, call.table, family, read_u8(&scratch, call.state));
}

/* ipt_do_table, ip6t_do_table, arpt_do_table */
int on_table(struct pt_regs *ctx)
{
	struct netfilter_layout *layout = current_layout();

	return layout ? watch_table(ctx, layout->xt_table_first, 0) : 0;
}

/* ebt_do_table */
int on_bridge_table(struct pt_regs *ctx)
{
	struct netfilter_layout *layout = current_layout();

	return layout ? watch_table(ctx, layout->ebt_table_first, NFPROTO_BRIDGE) : 0;
}

int on_verdict(struct pt_regs *ctx)
{
	struct step_call call;
	struct step_seen *seen;
	u64 sp;

	if (!returning_call(ctx, &call, &sp))
		return 0;
	if (journey_number(call.skb) != call.journey) { /* since 6.9 nft_do_chain itself frees what it drops */
		tell_returned(ctx, &call, sp, STEP_VERDICT);
		return 0;
	}
	seen = new_step(STEP_VERDICT, OF_PROBES);
	if (!seen)
		return 0;
	seen->skb = call.skb;
	seen->function = call.function;
	seen->sp = sp;
	seen->value = PT_REGS_RC(ctx);
	seen->table = call.table;
	seen->family = call.family;
	seen->hook = call.hook;
	tell_of_probe.call(ctx, 0);
	return 0;
}
