/* nf_tables: which rule an expression stands in, from the words in front of it. */

#define LONGEST_RULE 4096 /* dlen has 12 bits */
#define SEARCH_STEPS 32 /* that one program takes; 32 programs may follow each other */
#define HANDLE_MASK ((1ULL << 42) - 1)

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

	search->skb = visit->of.skb;
	search->at = visit->of.verdict - sizeof(u64);
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
	u64 expression;
	int more = 1;

	if (!layout || !visit || !search)
		return out_of_hand();
	if (search->skb != visit->of.skb)
		begin_search(search, visit, layout, &scratch);
	expression = visit->of.verdict; /* as a number: the verifier takes each place of a note for another pointer */
	if (expression) {
#pragma clang loop unroll(disable)
		for (int i = 0; i < SEARCH_STEPS && more; i++) {
			more = search_on(search, expression, layout, &scratch);
			end_of_body(i);
		}
		if (more)
			drop_details.call(ctx, RECORD_NFT);
	}
	drop_details.call(ctx, DETAIL_SEND_NFT);
	search->skb = 0; /* longer than programs may follow each other: given up */
	return out_of_hand();
}
