/* Which policy a search for one has found, and what it says: read when that search has refused a packet. */

#define SEARCH_STACK 2048 /* bytes between who searches and the function that finds: no two stacks are as near */
#define LIFETIME_ADD 16 /* struct xfrm_lifetime_cur: bytes, packets, add_time */

/* A search that goes on: __xfrm_policy_check or xfrm_lookup_with_ifid, known by its stack pointer as in bpf/calls.c. */
struct policy_search {
	u64 sp;
	u64 policy; /* 0: none yet */
	u64 add_time;
	u32 index;
	u32 found; /* enum policy_found */
	u32 unclear; /* it has found several, or an error */
	u32 pad;
};

struct policy_searches {
	struct policy_search search[CALLS];
};

BPF_PERCPU_ARRAY(policy_searches, struct policy_searches, 1);

inline_always struct policy_searches *current_searches(void)
{
	int zero = 0;
	return policy_searches.lookup(&zero);
}

inline_always void begin_policy_search(struct pt_regs *ctx)
{
	struct policy_searches *searches = current_searches();
	u64 sp = PT_REGS_SP(ctx);
	struct policy_search *search;

	if (!searches)
		return;
	search = &searches->search[sp >> 9 & (CALLS - 1)];
	__builtin_memset(search, 0, sizeof(*search));
	search->sp = sp;
}

/* As take_call(). */
inline_always struct policy_search *take_policy_search(struct pt_regs *ctx)
{
	struct policy_searches *searches = current_searches();

	if (!searches)
		return NULL;
#pragma clang loop unroll(disable)
	for (int i = 0; i < CALLS; i++) {
		struct policy_search *search = &searches->search[i];
		if (PT_REGS_SP(ctx) - search->sp > 2 * sizeof(u64))
			continue;
		search->sp = 0;
		return search;
	}
	return NULL;
}

inline_always void note_found(struct policy_search *search, u64 policy)
{
	union scratch scratch;

	if (policy >= LOWEST_ERROR || (policy && search->policy && policy != search->policy))
		search->unclear = 1;
	else if (!policy && !search->policy)
		search->found = POLICY_NONE;
	if (search->unclear || !policy || search->policy)
		return;
	search->policy = policy;
	search->index = read_u32(&scratch, policy + OFF_xfrm_policy__index);
	search->add_time = read_pointer(&scratch, policy + OFF_xfrm_policy__curlft + LIFETIME_ADD);
	search->found = POLICY_FOUND;
}

/* At the return of xfrm_policy_lookup_bytype and xfrm_sk_policy_lookup: for the search that is the nearest above on
 * this stack. */
int on_policy_found(struct pt_regs *ctx)
{
	struct policy_searches *searches = current_searches();
	u64 nearest = SEARCH_STACK;
	int at = CALLS;

	if (!searches)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < CALLS; i++) {
		u64 above = searches->search[i].sp - PT_REGS_SP(ctx);
		if (above < nearest) {
			nearest = above;
			at = i;
		}
	}
	if (at < CALLS)
		note_found(&searches->search[at & (CALLS - 1)], PT_REGS_RC(ctx));
	return 0;
}

inline_always void read_template(struct xfrm_template *template, u64 from, union scratch *scratch)
{
	read_member(template->daddr, from, OFF_xfrm_tmpl__id__daddr);
	read_member(template->spi, from, OFF_xfrm_tmpl__id__spi);
	template->proto = read_u8(scratch, from + OFF_xfrm_tmpl__id__proto);
	read_member(template->saddr, from, OFF_xfrm_tmpl__saddr);
	template->family = read_u16(scratch, from + OFF_xfrm_tmpl__encap_family);
	read_member(template->reqid, from, OFF_xfrm_tmpl__reqid);
	template->mode = read_u8(scratch, from + OFF_xfrm_tmpl__mode);
	template->optional = read_u8(scratch, from + OFF_xfrm_tmpl__optional);
}

/* What the search found. The kernel has given the policy back by now: it is told if it is still the one that was found. */
inline_always void read_found(struct xfrm_policy_record *record, const struct policy_search *search)
{
	union scratch scratch;
	u64 template;
	u64 policy;
	u32 count;

	record->found = POLICY_UNKNOWN;
	if (!search || search->unclear)
		return;
	if (search->found != POLICY_FOUND) {
		record->found = search->found;
		return;
	}
	policy = search->policy;
	read_member(record->selector, policy, OFF_xfrm_policy__selector);
	read_member(record->priority, policy, OFF_xfrm_policy__priority);
	read_member(record->mark, policy, OFF_xfrm_policy__mark); /* struct xfrm_mark: v, m */
	read_member(record->mark_mask, policy, OFF_xfrm_policy__mark + 4);
	read_member(record->if_id, policy, OFF_xfrm_policy__if_id);
	record->action = read_u8(&scratch, policy + OFF_xfrm_policy__action);
	count = read_u8(&scratch, policy + OFF_xfrm_policy__xfrm_nr);
	template = policy + OFF_xfrm_policy__xfrm_vec;
#pragma clang loop unroll(disable)
	for (int i = 0; i < POLICY_TEMPLATES; i++) {
		if (i >= count)
			break;
		read_template(&record->templates[i], template, &scratch);
		template += SIZE_xfrm_tmpl;
		end_of_body(i);
	}
	record->count = count;
	read_member(record->index, policy, OFF_xfrm_policy__index);
	read_member(record->add_time, policy, OFF_xfrm_policy__curlft + LIFETIME_ADD);
	if (record->index == search->index && record->add_time == search->add_time)
		record->found = POLICY_FOUND;
}

inline_always void copy_found(struct xfrm_policy_record *to, const struct xfrm_policy_record *from)
{
	if (from->found)
		read_bytes(to, sizeof(*to), from);
}
