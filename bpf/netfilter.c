/* What the probes of netfilter share. A probe notes what it sees of a packet on its CPU, in a slot that the packet's
 * address chooses; the packet's death takes the notes up. A slot that another packet took in between says nothing. */
#include "layout.h"

/* Bits of NF verdicts and NFPROTO_*: linux/netfilter.h. */
#define NF_VERDICT_MASK 0xff
#define NF_DROP 0

BPF_ARRAY(netfilter_layout, struct netfilter_layout, 1);
/* Programs with a stack of their own, one for each detail: they run after the DROP record, on wanted packets. */
BPF_PROG_ARRAY(drop_details, 8);
/* Changes of the legacy tables that were seen, counted at their beginning and their end. User space maps it into its
 * memory (BPF_F_MMAPABLE): while it reads a map by a system call, the kernel runs no probe on that CPU, also not for
 * whoever preempts it there (bpf_disable_instrumentation, include/linux/bpf.h). */
BPF_F_TABLE("array", int, u64, xt_changes, 1, 1 << 10);

enum drop_detail {
	DETAIL_NFT = 1,
	DETAIL_XT = 2,
	DETAIL_XT_SEND = 3,
	DETAIL_EBT = 4,
	DETAIL_NFT_SEND = 5,
	DETAIL_HOOKS = 6,
	/* none: on_kfree_skb itself, when what it counts by has been searched */
	DETAIL_COUNT = 7,
};

/* In a summary what did it may be searched before the packet is counted: on_kfree_skb runs a second time then. */
enum search {
	SEARCH_NONE,
	SEARCH_GOES_ON,
	SEARCH_DONE, /* on_kfree_skb is called again */
	SEARCH_TOLD, /* it has been */
};

/* The death whose detail is looked for, on this CPU. */
struct death {
	u64 skb;
	u64 time;
	u32 is_sent; /* 0: nobody asked for the packet */
	u32 detail; /* enum drop_detail */
	u32 search; /* enum search */
	u32 notes; /* enum note of the first time */
	u64 object; /* what was found */
};

BPF_PERCPU_ARRAY(deaths, struct death, 2); /* that in hand, and that of an interrupt meanwhile */

/* What on_kfree_skb and the programs it jumps to have in hand on this CPU. */
struct in_hand {
	u64 skb; /* 0: nothing */
	u64 interrupted; /* the packet whose death had to wait for this one's, 0: none */
	u32 was_interrupted;
	u32 is_again; /* on_kfree_skb_again has called */
	u64 cpu_offset; /* this_cpu_offset(), once it was asked for */
};

BPF_PERCPU_ARRAY(in_hands, struct in_hand, 1);

/* The packets that on_kfree_skb has had, until on_kfree_skb_again has looked. */
#define HAD 1024
#define SKB_SHIFT 8 /* a struct sk_buff is nearly that large: neighbours in memory have places of their own */
BPF_PERCPU_ARRAY(had, u64, HAD);

inline_always u64 *had_place(u64 skb)
{
	int place = skb >> SKB_SHIFT & (HAD - 1);
	return had.lookup(&place);
}

inline_always struct in_hand *current_in_hand(void)
{
	int zero = 0;
	return in_hands.lookup(&zero);
}

inline_always void take_in_hand(u64 skb)
{
	struct in_hand *now = current_in_hand();
	u64 *place = had_place(skb);

	if (!now || !place)
		return;
	if (now->is_again) {
		now->is_again = 0;
	} else {
		*place = skb;
		now->was_interrupted = !!now->skb; /* before 6.1 it is run again */
		now->interrupted = now->skb;
	}
	now->skb = skb;
}

/* Where each of those programs ends. */
inline_always int out_of_hand(void)
{
	struct in_hand *now = current_in_hand();

	if (now) {
		now->skb = now->interrupted;
		now->interrupted = 0;
	}
	return 0;
}

inline_always int was_interrupted(void)
{
	struct in_hand *now = current_in_hand();

	return !now || now->was_interrupted;
}

#define SLOTS 8
#define WAYS 2 /* places of a slot, where the packet of one must not be pushed out */

/* The first way of a packet's slot. */
inline_always u32 slot_of(u64 skb)
{
	return (skb >> 8 ^ skb >> 12) % SLOTS * WAYS;
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

inline_always struct death *current_death(void)
{
	struct in_hand *now = current_in_hand();
	int level = now && now->interrupted;

	return deaths.lookup(&level);
}

inline_always u32 table_changes(void)
{
	int zero = 0;
	u64 *changes = xt_changes.lookup(&zero);
	return changes ? *changes : 0;
}

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

/* module_load and module_free: (struct module *) */
int on_module(struct bpf_raw_tracepoint_args *ctx)
{
	struct module_record *record = events.ringbuf_reserve(sizeof(*record));

	if (!record)
		return 0;
	record->header.time_ns = bpf_ktime_get_ns();
	record->header.skb = 0;
	record->header.type = RECORD_MODULE;
	record->header.size = sizeof(*record);
	bpf_probe_read_kernel_str(record->name, sizeof(record->name), (void *)(ctx->args[0] + OFF_module__name));
	events.ringbuf_submit(record, 0);
	return 0;
}
