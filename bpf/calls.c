/* Entry and return of a function as a pair, and arguments by their number. */

/* Calls whose return is watched: the arguments are gone by then. The stack pointer tells which call returns, and a
 * place that an inner call took says nothing. Of functions in a row, as at a hook, all have the same stack pointer:
 * every return takes its call, whatever it answers, so that none is left for the return of a function whose entry has
 * no probe yet. */
#define CALLS 4

#define LOWEST_ERROR ((u64)-4095) /* IS_ERR */

struct call {
	u64 sp;
	u64 function;
	u64 first; /* its arguments */
	u64 second;
	u64 third;
	u64 fourth;
	u64 noted; /* what its watcher wants to know beside them */
};

struct calls {
	struct call call[CALLS];
};

inline_always struct call *note_call(struct calls *calls, struct pt_regs *ctx)
{
	u64 sp = PT_REGS_SP(ctx);
	struct call *call;

	if (!calls)
		return NULL;
	call = &calls->call[sp >> 9 & (CALLS - 1)];
	call->sp = sp;
	call->function = PT_REGS_IP(ctx);
	call->first = PT_REGS_PARM1(ctx);
	call->second = PT_REGS_PARM2(ctx);
	call->third = PT_REGS_PARM3(ctx);
	call->fourth = PT_REGS_PARM4(ctx);
	return call;
}

/* Between entry and return the machine pops the return address, on some, and the trampoline may push one. */
inline_always struct call *take_call(struct calls *calls, struct pt_regs *ctx)
{
	if (!calls)
		return NULL;
#pragma clang loop unroll(disable)
	for (int i = 0; i < CALLS; i++) {
		struct call *call = &calls->call[i];
		if (PT_REGS_SP(ctx) - call->sp > 2 * sizeof(u64))
			continue;
		call->sp = 0;
		return call;
	}
	return NULL;
}

/* The index of an argument is known at run time only. Each is read at a place of its own: the verifier refuses a
 * computed offset into the registers, which the compiler would make of a choice between them. */
inline_always u64 argument(struct pt_regs *ctx, u32 index)
{
	u64 third = PT_REGS_PARM3(ctx);
	u64 fourth = PT_REGS_PARM4(ctx);
	u64 fifth = PT_REGS_PARM5(ctx);
	u64 sixth = PT_REGS_PARM6(ctx);

	asm volatile("" : "+r"(third), "+r"(fourth), "+r"(fifth), "+r"(sixth));
	return index == 3 ? third : index == 4 ? fourth : index == 5 ? fifth : index == 6 ? sixth : 0;
}
