/* Entry and return of a function as a pair, and arguments by their number. */

/* A call whose return is watched: the arguments are gone by then. The stack pointer tells which call returns, and a
 * slot that an inner call took says nothing. */
#define CALLS 4

struct call {
	u64 sp;
	u64 function;
	u64 skb;
	u64 expression;
	u64 registers;
};

inline_always int call_slot(u64 sp)
{
	return sp >> 9 & (CALLS - 1);
}

/* Between entry and return the machine pops the return address, on some, and the trampoline may push one. */
inline_always int returns_from(u64 called, u64 sp)
{
	return sp - called <= 2 * sizeof(u64);
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
