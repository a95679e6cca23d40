/* WireGuard: a decrypted packet whose source no peer may use is freed as if it had been used (wg_packet_consume_data_done in
 * drivers/net/wireguard/receive.c): who may, wg_allowedips_lookup_src tells. */

struct wireguard_visit {
	u64 skb; /* that is looked at on this CPU, in the softirq of its interface; 0: none */
	struct refused death;
};

BPF_PERCPU_ARRAY(wireguard_visits, struct wireguard_visit, 1);

inline_always struct wireguard_visit *current_wireguard_visit(void)
{
	int zero = 0;
	return wireguard_visits.lookup(&zero);
}

/* wg_allowedips_lookup_src(table, skb) */
int on_allowed_ips(struct pt_regs *ctx)
{
	struct wireguard_visit *visit = current_wireguard_visit();

	if (!visit)
		return 0;
	visit->skb = PT_REGS_PARM2(ctx);
	visit->death.function = PT_REGS_IP(ctx);
	return 0;
}

/* In bpf/refused.c. */
inline_always void send_not_allowed(struct pt_regs *ctx, u64 skb, struct refused *death, union scratch *scratch);

/* It returns the peer that has the source among its allowed IPs, or NULL. */
int on_allowed_ips_return(struct pt_regs *ctx)
{
	struct wireguard_visit *visit = current_wireguard_visit();
	union scratch scratch;
	u64 skb;

	if (!visit)
		return 0;
	skb = visit->skb;
	visit->skb = 0;
	if (!skb || PT_REGS_RC(ctx))
		return 0;
	count_seen(SOURCE_WG_ALLOWEDIPS_LOOKUP_SRC);
	send_not_allowed(ctx, skb, &visit->death, &scratch);
	end_journey(skb);
	return 0;
}
