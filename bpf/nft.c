/* nf_tables: which expression said drop, and the rule around it.
 *
 * nft_do_chain calls the eval function of each expression of a rule (net/netfilter/nf_tables_core.c). Those that give
 * verdicts are watched; the rule is found from the address of the expression, and nothing is asked of the ruleset. */

/* enum nft_verdicts, linux/netfilter/nf_tables.h */
#define NFT_JUMP ((u32)-3)
#define NFT_GOTO ((u32)-4)

#define LONGEST_RULE 4096 /* dlen has 12 bits */
#define SEARCH_STEPS 32 /* that one program takes; 32 programs may follow each other */
#define HANDLE_MASK ((1ULL << 42) - 1)

struct nft_visit {
	u64 skb;
	u64 packet; /* struct nft_pktinfo: on the stack of the caller, so it tells the traversals of one packet apart */
	u64 base; /* the base chain */
	u64 expression; /* that dropped it; 0: none yet */
	u64 function; /* its eval function */
	u32 is_dropped; /* nft_do_chain answered NF_DROP */
	u32 visits; /* jumps and gotos taken */
	u64 visited[NFT_VISITED]; /* their targets, as a ring */
};

BPF_PERCPU_ARRAY(nft_visits, struct nft_visit, SLOTS *WAYS);
BPF_PERCPU_ARRAY(nft_chain_calls, struct call, CALLS);
BPF_PERCPU_ARRAY(nft_eval_calls, struct call, CALLS);

inline_always struct nft_visit *nft_visit_of(u64 skb)
{
	int slot = slot_of(skb);
	struct nft_visit *visit = nft_visits.lookup(&slot);

	if (visit && visit->skb == skb)
		return visit;
	slot++;
	visit = nft_visits.lookup(&slot);
	return visit && visit->skb == skb ? visit : NULL;
}

/* A reject sends its answer through the rules before the packet itself dies: a place with a verdict is kept. What the
 * other place may have of an earlier visit of this packet is not to be found any more. */
inline_always struct nft_visit *new_nft_visit(u64 skb)
{
	int slot = slot_of(skb);
	struct nft_visit *first = nft_visits.lookup(&slot);
	struct nft_visit *second;

	slot++;
	second = nft_visits.lookup(&slot);
	if (!first || !second)
		return NULL;
	if (first->skb != skb && first->expression)
		return second;
	if (second->skb == skb)
		second->skb = 0;
	return first;
}

int on_nft_do_chain(struct pt_regs *ctx)
{
	u64 packet = PT_REGS_PARM1(ctx);
	u64 sp = PT_REGS_SP(ctx);
	u64 skb = 0;
	struct nft_visit *visit;
	struct call *call;
	int slot = call_slot(sp);

	read_member(skb, packet, 0); /* struct nft_pktinfo begins with it */
	visit = new_nft_visit(skb);
	call = nft_chain_calls.lookup(&slot);
	if (!visit || !call)
		return 0;
	call->sp = sp;
	call->skb = skb;
	visit->skb = skb;
	visit->packet = packet;
	visit->base = PT_REGS_PARM2(ctx);
	visit->expression = 0;
	visit->is_dropped = 0;
	visit->visits = 0;
	return 0;
}

/* Newer kernels free the packet in nft_do_chain and return NF_STOLEN. */
int on_nft_do_chain_return(struct pt_regs *ctx)
{
	u64 sp = PT_REGS_SP(ctx);

	if ((PT_REGS_RC(ctx) & NF_VERDICT_MASK) != NF_DROP)
		return 0;
#pragma clang loop unroll(disable)
	for (int slot = 0; slot < CALLS; slot++) {
		int key = slot;
		struct call *call = nft_chain_calls.lookup(&key);
		if (call && returns_from(call->sp, sp)) {
			struct nft_visit *visit = nft_visit_of(call->skb);
			if (visit)
				visit->is_dropped = 1;
		}
	}
	return 0;
}

inline_always struct nft_visit *nft_visit_with(u64 packet)
{
	struct nft_visit *visit;
	u64 skb = 0;

	read_member(skb, packet, 0);
	visit = nft_visit_of(skb);
	return visit && visit->packet == packet ? visit : NULL;
}

inline_always void note_verdict(struct nft_visit *visit, u32 code, u64 chain, u64 expression, u64 function)
{
	if (code == NFT_JUMP || code == NFT_GOTO) {
		visit->visited[visit->visits % NFT_VISITED] = chain;
		visit->visits++;
		return;
	}
	visit->expression = expression;
	visit->function = function;
}

/* Negative codes go on with the rules; of the others the low byte is the verdict. */
inline_always int is_noted(u32 code)
{
	return code == NFT_JUMP || code == NFT_GOTO || (code & NF_VERDICT_MASK) == NF_DROP;
}

struct nft_immediate { /* struct nft_expr, then struct nft_immediate_expr with a verdict in its nft_data */
	u64 ops;
	u32 code;
	u32 pad;
	u64 chain;
	u8 dreg; /* 0: NFT_REG_VERDICT */
} __attribute__((packed));

int on_nft_immediate_eval(struct pt_regs *ctx)
{
	u64 expression = PT_REGS_PARM1(ctx);
	struct nft_immediate immediate;
	struct nft_visit *visit;

	if (read_member(immediate, expression, 0) || immediate.dreg || !is_noted(immediate.code))
		return 0;
	visit = nft_visit_with(PT_REGS_PARM3(ctx));
	if (visit)
		note_verdict(visit, immediate.code, immediate.chain, expression, PT_REGS_IP(ctx));
	return 0;
}

/* nft_reject_*_eval: always drops, after it has answered. */
int on_nft_reject_eval(struct pt_regs *ctx)
{
	struct nft_visit *visit = nft_visit_with(PT_REGS_PARM3(ctx));

	if (visit)
		note_verdict(visit, NF_DROP, 0, PT_REGS_PARM1(ctx), PT_REGS_IP(ctx));
	return 0;
}

/* Expressions that may give a verdict or not: known when they return. */
int on_nft_eval(struct pt_regs *ctx)
{
	u64 sp = PT_REGS_SP(ctx);
	int slot = call_slot(sp);
	struct call *call = nft_eval_calls.lookup(&slot);

	if (!call)
		return 0;
	call->sp = sp;
	call->function = PT_REGS_IP(ctx);
	call->expression = PT_REGS_PARM1(ctx);
	call->registers = PT_REGS_PARM2(ctx);
	call->skb = PT_REGS_PARM3(ctx); /* struct nft_pktinfo */
	return 0;
}

int on_nft_eval_return(struct pt_regs *ctx)
{
	struct { /* struct nft_verdict: the first of the registers */
		u32 code;
		u32 pad;
		u64 chain;
	} verdict;
	u64 sp = PT_REGS_SP(ctx);

#pragma clang loop unroll(disable)
	for (int slot = 0; slot < CALLS; slot++) {
		int key = slot;
		struct call *call = nft_eval_calls.lookup(&key);
		struct nft_visit *visit;
		if (!call || !returns_from(call->sp, sp))
			continue;
		if (read_member(verdict, call->registers, 0) || !is_noted(verdict.code))
			return 0;
		visit = nft_visit_with(call->skb);
		if (visit)
			note_verdict(visit, verdict.code, verdict.chain, call->expression, call->function);
		return 0;
	}
	return 0;
}

/* Is it nf_tables that let this packet die? */
inline_always int nft_has_detail(u64 skb, u64 location, const struct netfilter_layout *layout)
{
	struct nft_visit *visit = nft_visit_of(skb);

	if (!visit)
		return 0;
	return visit->expression || visit->is_dropped || is_killer(layout, KILLER_DO_CHAIN, location);
}

/* The expression that decided, else the chain whose policy held. */
inline_always u64 nft_object(u64 skb)
{
	struct nft_visit *visit = nft_visit_of(skb);

	if (!visit)
		return 0;
	return visit->expression ? visit->expression : visit->base;
}

inline_always void end_nft_visit(u64 skb)
{
	struct nft_visit *visit = nft_visit_of(skb);

	if (visit) {
		visit->skb = 0;
		visit->expression = 0;
	}
}

inline_always void read_chain(struct nft_chain_seen *seen, u64 chain, const struct netfilter_layout *layout,
			      union scratch *scratch)
{
	seen->handle = read_pointer(scratch, chain + layout->chain_handle);
	bpf_probe_read_kernel_str(seen->name, sizeof(seen->name),
				  (void *)read_pointer(scratch, chain + layout->chain_name));
}

/* A search for a rule. In a map: a few steps at a time are taken, by one program after the other, and what comes out
 * of memory has no history that the verifier would have to follow through every turn of the loop. */
struct nft_search {
	u64 skb; /* 0: not begun */
	u64 at; /* where a header may be */
	u64 step; /* 0: looking for a header, else the expression that the walk has come to */
	u64 end; /* of the expressions after that header */
	u64 handle; /* that it has */
	u64 last_handle; /* that the table has given out */
	u64 found;
};

BPF_PERCPU_ARRAY(nft_searches, struct nft_search, 1);

inline_always void begin_search(volatile struct nft_search *search, const struct nft_visit *visit,
				const struct netfilter_layout *layout, union scratch *scratch)
{
	u64 table = read_pointer(scratch, visit->base + layout->chain_table);

	search->skb = visit->skb;
	search->at = visit->expression - sizeof(u64);
	search->step = 0;
	search->found = 0;
	/* hgenerator stands before the table's own handle */
	search->last_handle = read_pointer(scratch, table + layout->table_handle - sizeof(u64));
}

/* One step towards the header of the rule that an expression stands in; 0 when the search is over.
 *
 * Both layouts have a word before the first expression: struct nft_rule_dp (5.17 on) with is_last:1, dlen:12, handle:42
 * from the low end, and before it struct nft_rule with handle:42, genmask:2, dlen:12. A word in front of the
 * expression is the header if the expressions after it, each as long as its ops say, meet the expression and end
 * where dlen says, and if the table has ever given out that handle. */
inline_always int search_on(volatile struct nft_search *search, u64 expression, const struct netfilter_layout *layout,
			    union scratch *scratch)
{
	u64 at = search->at;
	u64 step = search->step;
	u64 end = search->end;
	u64 word;
	u32 length;

	if (expression - at > LONGEST_RULE)
		return 0;
	if (step && step == end) {
		search->found = search->handle;
		return 0;
	}
	if (step) {
		length = read_u32(scratch, read_pointer(scratch, step) + layout->expression_size);
		if (length && length % sizeof(u64) == 0 && length <= end - step &&
		    (step >= expression || length <= expression - step)) {
			search->step = step + length;
		} else {
			search->step = 0;
			search->at = at - sizeof(u64);
		}
		return 1;
	}
	word = read_pointer(scratch, at);
	length = layout->chain_has_blob ? (word & 1 ? 0 : word >> 1 & 0xfff) : word >> 44 & 0xfff;
	word = (layout->chain_has_blob ? word >> 13 : word) & HANDLE_MASK;
	if (word && word <= search->last_handle && length > expression - at - sizeof(u64)) {
		search->handle = word;
		search->step = at + sizeof(u64);
		search->end = at + sizeof(u64) + length;
	} else {
		search->at = at - sizeof(u64);
	}
	return 1;
}

int search_nft(struct bpf_raw_tracepoint_args *ctx)
{
	struct netfilter_layout *layout = current_layout();
	struct nft_visit *visit = nft_visit_of(ctx->args[0]);
	int zero = 0;
	volatile struct nft_search *search = nft_searches.lookup(&zero);
	union scratch scratch;
	int more = 1;

	if (!layout || !visit || !search)
		return out_of_hand();
	if (search->skb != visit->skb)
		begin_search(search, visit, layout, &scratch);
	if (visit->expression) {
#pragma clang loop unroll(disable)
		for (int i = 0; i < SEARCH_STEPS && more; i++) {
			more = search_on(search, visit->expression, layout, &scratch);
			end_of_body(i);
		}
		if (more)
			drop_details.call(ctx, DETAIL_NFT);
	}
	drop_details.call(ctx, DETAIL_NFT_SEND);
	search->skb = 0; /* longer than programs may follow each other: given up */
	return out_of_hand();
}

inline_always int holds(u64 chain, u64 expression, const struct netfilter_layout *layout, union scratch *scratch)
{
	for (int generation = 0; generation < 2; generation++) {
		u64 blob = read_pointer(scratch, chain + layout->chain_rules[generation]);
		u64 size = read_pointer(scratch, blob); /* struct nft_rule_blob */
		if (expression - blob - sizeof(u64) < size)
			return 1;
	}
	return 0;
}

inline_always void read_table(struct nft_record *record, u64 chain, const struct netfilter_layout *layout,
			      union scratch *scratch)
{
	u64 table = read_pointer(scratch, chain + layout->chain_table);
	u64 base = chain - layout->base_chain;

	record->table_handle = read_pointer(scratch, table + layout->table_handle);
	/* after the handle: u32 use; u16 family:6, flags:8, genmask:2 */
	record->family = read_u16(scratch, table + layout->table_handle + 12) & 0x3f;
	bpf_probe_read_kernel_str(record->table, sizeof(record->table),
				  (void *)read_pointer(scratch, table + layout->table_name));
	record->hook = read_u32(scratch, base + OFF_nf_hook_ops__hooknum);
	record->priority = read_u32(scratch, base + OFF_nf_hook_ops__priority);
	record->policy = read_u8(scratch, base + layout->base_policy);
}

/* The chain that holds the expression, among those that the packet was in; and those, oldest first. */
inline_always u64 read_way(struct nft_record *record, const struct nft_visit *visit,
			   const struct netfilter_layout *layout, union scratch *scratch)
{
	u32 oldest = visit->visits > NFT_VISITED ? visit->visits - NFT_VISITED : 0;
	u64 found = 0;

	record->visits = visit->visits;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < NFT_VISITED; i++) {
		u64 chain = visit->visited[(oldest + i) % NFT_VISITED];
		record->visited[i].handle = 0;
		record->visited[i].name[0] = 0;
		if (i >= visit->visits)
			chain = 0;
		if (chain)
			read_chain(&record->visited[i], chain, layout, scratch);
		if (chain && layout->chain_has_blob && visit->expression &&
		    holds(chain, visit->expression, layout, scratch))
			found = chain;
		end_of_body(i);
	}
	if (layout->chain_has_blob && visit->expression && holds(visit->base, visit->expression, layout, scratch))
		found = visit->base;
	return found;
}

int send_nft(struct bpf_raw_tracepoint_args *ctx)
{
	int zero = 0;
	struct nft_search *search = nft_searches.lookup(&zero);
	struct netfilter_layout *layout = current_layout();
	struct nft_visit *visit = nft_visit_of(ctx->args[0]);
	struct death *death = current_death();
	struct nft_record *record;
	union scratch scratch;
	u64 chain;

	if (!layout || !visit || !search || !death || death->skb != ctx->args[0])
		return out_of_hand();
	record = events.ringbuf_reserve(sizeof(*record));
	if (!record) {
		count_unsent(LOSS_DETAIL);
		goto out;
	}
	record->header.time_ns = death->time;
	record->header.skb = death->skb;
	record->header.type = RECORD_NFT;
	record->header.size = sizeof(*record);
	record->function = visit->expression ? visit->function : 0;
	record->verdict = visit->expression ? NFT_RULE : NFT_NO_VERDICT;
	read_table(record, visit->base, layout, &scratch);
	read_chain(&record->base, visit->base, layout, &scratch);
	chain = read_way(record, visit, layout, &scratch);
	record->chain.handle = 0;
	record->chain.name[0] = 0;
	if (chain)
		read_chain(&record->chain, chain, layout, &scratch);
	record->rule_handle = search->skb == death->skb ? search->found : 0;
	events.ringbuf_submit(record, 0);
out:
	search->skb = 0;
	visit->skb = 0;
	visit->expression = 0;
	return out_of_hand();
}
