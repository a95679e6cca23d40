/* nf_tables: which expression said drop, and the rule around it.
 *
 * nft_do_chain calls the eval function of each expression of a rule (net/netfilter/nf_tables_core.c). Those that give
 * verdicts are watched; the rule is found from the address of the expression, and nothing is asked of the ruleset. */

/* enum nft_verdicts, linux/netfilter/nf_tables.h */
#define NFT_JUMP ((u32)-3)
#define NFT_GOTO ((u32)-4)

struct nft_visit {
	struct visit of; /* its verdict: the expression that dropped it */
	u64 packet; /* struct nft_pktinfo: on the stack of the caller, so it tells the traversals of one packet apart */
	u64 base; /* the base chain */
	u64 function; /* the expression's eval function */
	u32 is_dropped; /* nft_do_chain answered NF_DROP */
	u32 visits; /* jumps and gotos taken */
	u64 visited[NFT_VISITED]; /* their targets, as a ring */
};

struct nft_slot {
	struct nft_visit way[WAYS];
};

BPF_PERCPU_ARRAY(nft_visits, struct nft_slot, SLOTS);
BPF_PERCPU_ARRAY(nft_chain_calls, struct calls, 1);
BPF_PERCPU_ARRAY(nft_eval_calls, struct calls, 1);

inline_always struct nft_visit *nft_visit_of(u64 skb)
{
	int slot = slot_of(skb);
	return visit_in(nft_visits.lookup(&slot), sizeof(struct nft_visit), skb);
}

inline_always struct nft_visit *new_nft_visit(u64 skb)
{
	int slot = slot_of(skb);
	return new_visit_in(nft_visits.lookup(&slot), sizeof(struct nft_visit), skb);
}

int on_nft_do_chain(struct pt_regs *ctx)
{
	u64 packet = PT_REGS_PARM1(ctx);
	u64 skb = 0;
	struct nft_visit *visit;
	struct call *call;
	int zero = 0;

	read_member(skb, packet, 0); /* struct nft_pktinfo begins with it */
	visit = new_nft_visit(skb);
	call = note_call(nft_chain_calls.lookup(&zero), ctx);
	if (!visit || !call)
		return 0;
	call->noted = skb;
	visit->packet = packet;
	visit->base = PT_REGS_PARM2(ctx);
	visit->is_dropped = 0;
	visit->visits = 0;
	return 0;
}

/* Newer kernels free the packet in nft_do_chain and return NF_STOLEN. */
int on_nft_do_chain_return(struct pt_regs *ctx)
{
	int zero = 0;
	struct nft_visit *visit;
	struct call *call;

	call = take_call(nft_chain_calls.lookup(&zero), ctx);
	if (!call || (PT_REGS_RC(ctx) & NF_VERDICT_MASK) != NF_DROP)
		return 0;
	visit = nft_visit_of(call->noted);
	if (visit)
		visit->is_dropped = 1;
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
	visit->of.verdict = expression;
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

/* Expressions that may give a verdict or not: known when they return. (expr, regs, pkt) */
int on_nft_eval(struct pt_regs *ctx)
{
	int zero = 0;

	note_call(nft_eval_calls.lookup(&zero), ctx);
	return 0;
}

int on_nft_eval_return(struct pt_regs *ctx)
{
	struct { /* struct nft_verdict: the first of the registers */
		u32 code;
		u32 pad;
		u64 chain;
	} verdict;
	int zero = 0;
	struct call *call = take_call(nft_eval_calls.lookup(&zero), ctx);
	struct nft_visit *visit;

	if (!call || read_member(verdict, call->second, 0) || !is_noted(verdict.code))
		return 0;
	visit = nft_visit_with(call->third);
	if (visit)
		note_verdict(visit, verdict.code, verdict.chain, call->first, call->function);
	return 0;
}

/* Is it nf_tables that let this packet die? */
inline_always int nft_has_detail(u64 skb, u64 location, const struct netfilter_layout *layout)
{
	struct nft_visit *visit = nft_visit_of(skb);

	if (!visit)
		return 0;
	return visit->of.verdict || visit->is_dropped || is_killer(layout, KILLER_DO_CHAIN, location);
}

/* The expression that decided, else the chain whose policy held. */
inline_always u64 nft_object(u64 skb)
{
	struct nft_visit *visit = nft_visit_of(skb);

	if (!visit)
		return 0;
	return visit->of.verdict ? visit->of.verdict : visit->base;
}

inline_always void end_nft_visit(u64 skb)
{
	struct nft_visit *visit = nft_visit_of(skb);

	if (visit)
		end_visit(&visit->of);
}
