/* The legacy tables: what a packet meets before it dies: the table, and targets that may drop it. */

BPF_PERCPU_ARRAY(target_calls, struct calls, 1);
BPF_PROG_ARRAY(xt_first, 1);

int read_first(struct pt_regs *ctx)
{
	struct netfilter_layout *layout = current_layout();
	int zero = 0;
	struct xt_scan *scan = xt_first_scans.lookup(&zero);
	union scratch scratch;

	if (scan && layout && HAS_BPF_LOOP)
		scan_all(scan, layout, this_cpu_offset(), READ_ONLY);
	else if (scan && layout && scan_chunk(scan, layout, this_cpu_offset(), READ_ONLY, &scratch))
		xt_first.call(ctx, 0);
	return 0;
}

/* Of the NFPROTO_* that a struct xt_table has. */
inline_always u32 family_of(u8 protocol)
{
	return protocol == NFPROTO_IPV4 ? XT_IP : protocol == NFPROTO_IPV6 ? XT_IP6 : XT_ARP;
}

/* Not 0 when the table's counters must be read for the first time. */
inline_always int visit_table(struct pt_regs *ctx, union scratch *scratch)
{
	struct netfilter_layout *layout = current_layout();
	int zero = 0;
	struct xt_scan *scan = xt_first_scans.lookup(&zero);
	struct table_call call;
	struct xt_visit *visit;

	if (!layout || !scan)
		return 0;
	read_table_call(&call, ctx, layout->xt_table_first);
	visit = new_xt_visit(call.skb);
	if (!visit)
		return 0;
	visit->table = call.table;
	visit->private = read_pointer(scratch, visit->table + layout->xt_private);
	visit->function = 0;
	visit->family = family_of(read_u8(scratch, call.table + layout->xt_af));
	/* struct nf_hook_state begins with the hook: an int, on newer kernels a u8 */
	visit->hook = read_u8(scratch, call.state);
	set_key(&scan->key, visit);
	if (xt_chunks.lookup(&scan->key))
		return 0;
	begin_scan(scan, visit, layout, scratch);
	return 1;
}

/* ipt_do_table, ip6t_do_table, arpt_do_table */
int on_do_table(struct pt_regs *ctx)
{
	union scratch scratch;

	if (visit_table(ctx, &scratch))
		xt_first.call(ctx, 0);
	return 0;
}

/* A target's function dropped the packet: (skb, struct xt_action_param *), whose second member points to the target's
 * data. That lies in the entry of a legacy table, or in an expression of nf_tables (net/netfilter/nft_compat.c). */
inline_always void note_target(u64 skb, u64 parameters, u64 function, union scratch *scratch)
{
	struct netfilter_layout *layout = current_layout();
	struct xt_visit *visit = xt_visit_of(skb);
	u64 data = read_pointer(scratch, parameters + sizeof(u64));
	struct nft_visit *nft;

	if (layout && visit) {
		u64 entries = visit->private + layout->xt_entries;
		if (data - entries < read_u32(scratch, visit->private + layout->xt_size)) {
			visit->of.verdict = data;
			visit->function = function;
			return;
		}
	}
	nft = HAS_NFT ? nft_visit_of(skb) : NULL;
	if (nft) {
		nft->of.verdict = data - sizeof(u64);
		nft->function = function;
	}
}

/* reject_tg and reject_tg6 always drop, after they have answered. */
int on_drop_target(struct pt_regs *ctx)
{
	union scratch scratch;

	note_target(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_IP(ctx), &scratch);
	return 0;
}

/* Others may drop or not. */
int on_target(struct pt_regs *ctx)
{
	int zero = 0;

	note_call(target_calls.lookup(&zero), ctx);
	return 0;
}

int on_target_return(struct pt_regs *ctx)
{
	union scratch scratch;
	int zero = 0;
	struct call *call;

	call = take_call(target_calls.lookup(&zero), ctx);
	if (!call || (u32)PT_REGS_RC(ctx) == XT_CONTINUE || (PT_REGS_RC(ctx) & NF_VERDICT_MASK) != NF_DROP)
		return 0;
	note_target(call->first, call->second, call->function, &scratch);
	return 0;
}
