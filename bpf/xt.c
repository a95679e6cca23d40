/* The legacy tables of iptables, ip6tables and arptables: which rule dropped it, from the rules' own counters.
 *
 * ipt_do_table calls nothing for a rule, but adds to the counter of each rule that fits, one for each CPU
 * (net/ipv4/netfilter/ip_tables.c). A rule that drops counts only packets that die, so between two deaths no more
 * than one such counter rises. The counters are read when a packet dies; the first packet of a table has them
 * read before its rules run. */

enum xt_family {
	XT_IP = 0,
	XT_IP6 = 1,
	XT_ARP = 2,
};

struct xt_visit {
	struct visit of; /* its verdict: struct xt_entry_target's data of the target that was called and drops */
	u64 table;
	u64 private;
	u64 function; /* that target's */
	u32 family; /* enum xt_family */
	u32 hook;
};

struct xt_slot {
	struct xt_visit way[WAYS];
};

BPF_PERCPU_ARRAY(xt_visits, struct xt_slot, SLOTS);

inline_always struct xt_visit *xt_visit_of(u64 skb)
{
	int slot = slot_of(skb);
	return visit_in(xt_visits.lookup(&slot), sizeof(struct xt_visit), skb);
}

inline_always struct xt_visit *new_xt_visit(u64 skb)
{
	int slot = slot_of(skb);
	return new_visit_in(xt_visits.lookup(&slot), sizeof(struct xt_visit), skb);
}

inline_always int xt_has_detail(u64 skb, u64 location, const struct netfilter_layout *layout)
{
	return xt_visit_of(skb) && is_killer(layout, KILLER_HOOK_SLOW, location);
}

inline_always void end_xt_visit(u64 skb)
{
	struct xt_visit *visit = xt_visit_of(skb);

	if (visit)
		end_visit(&visit->of);
}
