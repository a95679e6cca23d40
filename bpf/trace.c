/* The journey of a packet: what it meets on its way, step by step. A packet is followed from where the filter first fits,
 * by the address of its struct sk_buff, until that is freed: it stays the same when its addresses change or it is encrypted. */

/* Functions, by which argument is the packet, from 1. */
inline_always int on_call(struct pt_regs *ctx, u64 skb, u64 socket, u32 may_begin)
{
	struct step_seen *seen;

	if (!may_begin && !is_followed(skb))
		return 0;
	seen = new_step(STEP_CALL, OF_PROBES);
	if (!seen)
		return 0;
	seen->skb = skb;
	seen->function = PT_REGS_IP(ctx);
	seen->sp = PT_REGS_SP(ctx);
	seen->socket = socket;
	seen->may_begin = may_begin;
	tell_of_probe.call(ctx, 0);
	return 0;
}

/* clang-format off */
#define ON_CALL(program, skb, socket, may_begin) \
	int program(struct pt_regs *ctx) { return on_call(ctx, skb, socket, may_begin); }

ON_CALL(on_call_1, PT_REGS_PARM1(ctx), 0, 0)
ON_CALL(on_call_2, PT_REGS_PARM2(ctx), 0, 0)
ON_CALL(on_call_3, PT_REGS_PARM3(ctx), 0, 0)
ON_CALL(on_call_4, PT_REGS_PARM4(ctx), 0, 0)
ON_CALL(on_call_5, PT_REGS_PARM5(ctx), 0, 0)
/* (struct sock *, struct sk_buff *, ...) */
ON_CALL(on_socket_call, PT_REGS_PARM2(ctx), PT_REGS_PARM1(ctx), 0)
/* (struct net *, struct sock *, struct sk_buff *): sent by this host */
ON_CALL(on_first_call, PT_REGS_PARM3(ctx), PT_REGS_PARM2(ctx), 1)
/* clang-format on */

/* Copies and segments. */
inline_always void tell_copied(struct pt_regs *ctx, u64 from, u64 to)
{
	struct step_seen *seen;

	seen = new_step(STEP_COPIED, OF_PROBES);
	if (!seen)
		return;
	seen->skb = from;
	seen->value = to;
	tell_of_probe.call(ctx, 0);
}

#define SEGMENTS 64

int on_copied(struct pt_regs *ctx)
{
	struct step_call call;
	union scratch scratch;
	u64 sp;
	u64 to = PT_REGS_RC(ctx);

	if (!returning_call(ctx, &call, &sp) || !to || to > -4096ULL || !is_followed(call.skb))
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < SEGMENTS; i++) { /* of a list, the first is told */
		u64 next;
		if (!to)
			break;
		continue_journey(call.skb, to);
		next = call.table ? read_pointer(&scratch, to + OFF_sk_buff__next) : 0;
		to = next;
		end_of_body(i);
	}
	tell_copied(ctx, call.skb, PT_REGS_RC(ctx));
	return 0;
}

/* What gives a list of segments back. */
int on_segmented(struct pt_regs *ctx)
{
	return watch_return(ctx, PT_REGS_PARM1(ctx), 1, 0, 0);
}

/* ip_copy_metadata(to, from): a fragment is made of a packet */
int on_fragmented(struct pt_regs *ctx)
{
	if (!is_followed(PT_REGS_PARM2(ctx)))
		return 0;
	continue_journey(PT_REGS_PARM2(ctx), PT_REGS_PARM1(ctx));
	tell_copied(ctx, PT_REGS_PARM2(ctx), PT_REGS_PARM1(ctx));
	return 0;
}

/* Freed without a tracepoint: by a socket that has its data. */
int on_freed(struct pt_regs *ctx)
{
	u64 skb = PT_REGS_PARM1(ctx);
	struct step_seen *seen = is_followed(skb) ? new_step(STEP_CONSUMED, OF_PROBES) : NULL;

	if (!seen)
		return 0;
	seen->skb = skb;
	seen->function = PT_REGS_IP(ctx);
	tell_of_probe.call(ctx, 0);
	return 0;
}

/* Tracepoints: the packet is the first argument. */
inline_always int on_tracepoint(struct bpf_raw_tracepoint_args *ctx, u32 step, u32 may_begin)
{
	struct step_seen *seen;

	if (!may_begin && !is_followed(ctx->args[0]))
		return 0;
	seen = new_step(step, step);
	if (!seen)
		return 0;
	seen->skb = ctx->args[0];
	seen->may_begin = may_begin;
	if (HAS_PAST && may_begin)
		seen->fits_by_connection = is_wanted_by_connection(ctx->args[0]);
	tell_of_tracepoint.call(ctx, 0);
	return 0;
}

/* clang-format off */
#define ON_TRACEPOINT(program, step, may_begin) \
	int program(struct bpf_raw_tracepoint_args *ctx) { return on_tracepoint(ctx, step, may_begin); }

ON_TRACEPOINT(on_receive, STEP_RECEIVE, 1)
ON_TRACEPOINT(on_queue, STEP_QUEUE, 1)
ON_TRACEPOINT(on_transmit, STEP_TRANSMIT, 1)
ON_TRACEPOINT(on_consume, STEP_CONSUMED, 0)
/* clang-format on */
