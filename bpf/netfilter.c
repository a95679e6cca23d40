/* What the probes of netfilter share. A probe notes what it sees of a packet on its CPU, in a slot that the packet's
 * address chooses; the packet's death takes the notes up. A slot that another packet took in between says nothing. */
#include "layout.h"

/* linux/netfilter.h */
#define NF_VERDICT_MASK 0xff
#define NF_DROP 0
#define NFPROTO_IPV4 2
#define NFPROTO_ARP 3
#define NFPROTO_BRIDGE 7
#define NFPROTO_IPV6 10
#define NFCT_POINTER (~7ULL) /* skb->_nfct: the low bits say how the packet belongs to the connection */

BPF_ARRAY(netfilter_layout, struct netfilter_layout, 1);
/* Changes of the legacy tables that were seen, counted at their beginning and their end. User space maps it into its
 * memory (BPF_F_MMAPABLE): while it reads a map by a system call, the kernel runs no probe on that CPU, also not for
 * whoever preempts it there (bpf_disable_instrumentation, include/linux/bpf.h). */
BPF_F_TABLE("array", int, u64, xt_changes, 1, 1 << 10);

#define SLOTS 8
#define WAYS 2 /* places of a slot, where the packet of one must not be pushed out */

inline_always u32 slot_of(u64 skb)
{
	return (skb >> 8 ^ skb >> 12) % SLOTS;
}

/* What a note begins with that has WAYS places. */
struct visit {
	u64 skb; /* 0: nobody's */
	u64 verdict; /* address of what dropped the packet: an expression, a target's data; 0: nothing so far */
};

/* The note of this packet in its slot, NULL: there is none. `size`: of a whole note. */
inline_always void *visit_in(void *slot, u32 size, u64 skb)
{
	struct visit *first = slot;
	struct visit *second = slot + size;

	if (!slot)
		return NULL;
	if (first->skb == skb)
		return first;
	return second->skb == skb ? second : NULL;
}

/* A place for a new note. What rejects a packet sends its answer through the rules before the packet itself dies: a note
 * with a verdict is kept. What the other place may have of an earlier visit of this packet is not to be found any more. */
inline_always void *new_visit_in(void *slot, u32 size, u64 skb)
{
	struct visit *first = slot;
	struct visit *second = slot + size;

	if (!slot)
		return NULL;
	if (first->skb != skb && first->verdict) {
		second->skb = skb;
		second->verdict = 0;
		return second;
	}
	if (second->skb == skb)
		second->skb = 0;
	first->skb = skb;
	first->verdict = 0;
	return first;
}

inline_always void end_visit(struct visit *visit)
{
	visit->skb = 0;
	visit->verdict = 0;
}

inline_always struct netfilter_layout *current_layout(void)
{
	int zero = 0;
	return netfilter_layout.lookup(&zero);
}

inline_always int is_killer(const struct netfilter_layout *layout, enum killer killer, u64 location)
{
	return location >= layout->killers[killer].start && location < layout->killers[killer].end;
}

inline_always u32 table_changes(void)
{
	int zero = 0;
	u64 *changes = xt_changes.lookup(&zero);
	return changes ? *changes : 0;
}

/* ipt_do_table and its like: (table, skb, state), before 5.16 (skb, state, table). */
struct table_call {
	u64 table;
	u64 skb;
	u64 state;
};

inline_always void read_table_call(struct table_call *call, struct pt_regs *ctx, u32 table_first)
{
	u64 first = PT_REGS_PARM1(ctx);
	u64 second = PT_REGS_PARM2(ctx);
	u64 third = PT_REGS_PARM3(ctx);

	asm volatile("" : "+r"(first), "+r"(second), "+r"(third));
	call->table = table_first ? first : third;
	call->skb = table_first ? second : first;
	call->state = table_first ? third : second;
}

/* xt_replace_table and the set-sockopt handlers: what was read of the counters is worth nothing after it, and while
 * it lasts. */
int on_table_change(struct pt_regs *ctx)
{
	int zero = 0;
	u64 *changes = xt_changes.lookup(&zero);

	if (changes)
		__sync_fetch_and_add(changes, 1);
	return 0;
}
