/* What waits for a neighbour. While the kernel asks for its address, the flow of a packet is noted that waits for the
 * answer and that the filter asks for: should the question die, it is found by that flow. */

#define WAITING 4 /* packets that are looked at, the oldest first */
#define ARP_TARGET 24 /* bytes into a question of ARP for an address of IPv4 (RFC 826) */
#define IPV6_HEADER 40
#define SOLICITATION 135 /* ICMPv6, RFC 4861 */
#define SOLICITED 8 /* bytes into it */

struct solicitation {
	u32 is_on; /* somebody is being asked for on this CPU, and a packet waits that the filter asks for */
	u32 target[4]; /* whose address is asked for; of IPv4 the first */
	struct flow flow; /* of that packet */
};

BPF_PERCPU_ARRAY(solicitations, struct solicitation, 1);

inline_always struct solicitation *current_solicitation(void)
{
	int zero = 0;
	return solicitations.lookup(&zero);
}

/* (struct neighbour *, struct sk_buff *) */
int on_solicit(struct pt_regs *ctx)
{
	struct solicitation *now = current_solicitation();
	struct settings *wanted = current_settings();
	union scratch scratch;
	u64 neighbour = PT_REGS_PARM1(ctx);
	u64 queue =
		neighbour +
		OFF_neighbour__arp_queue; /* struct sk_buff_head: next is the first member, as of a struct sk_buff */
	u64 skb;

	if (!now || !wanted || !wanted->asks_flow)
		return 0;
	now->is_on = 0;
	read_member(now->target, neighbour, OFF_neighbour__primary_key);
	skb = read_pointer(&scratch, queue);
#pragma clang loop unroll(disable)
	for (int i = 0; i < WAITING; i++) {
		u64 network = read_pointer(&scratch, skb + OFF_sk_buff__head);
		struct flow flow = {};

		if (!skb || skb == queue || now->is_on)
			break;
		network += read_u16(&scratch, skb + OFF_sk_buff__network_header);
		read_flow(&flow, network, &scratch);
		if (flow_matches(&flow, wanted)) {
			now->flow = flow;
			now->is_on = 1;
		}
		skb = read_pointer(&scratch, skb);
		end_of_body(i);
	}
	return 0;
}

int on_solicit_return(struct pt_regs *ctx)
{
	struct solicitation *now = current_solicitation();

	if (now)
		now->is_on = 0;
	return 0;
}

inline_always int is_solicited(void)
{
	struct solicitation *now = current_solicitation();

	return now && now->is_on;
}

/* The note, where this packet is the question; else NULL. */
inline_always struct solicitation *solicitation_of(u64 skb, union scratch *scratch)
{
	struct solicitation *now = current_solicitation();
	u64 at = read_pointer(scratch, skb + OFF_sk_buff__head);
	u16 protocol = bpf_ntohs(read_u16(scratch, skb + OFF_sk_buff__protocol));
	u32 target[4] = {};

	if (!now || !now->is_on)
		return NULL;
	at += read_u16(scratch, skb + OFF_sk_buff__network_header);
	if (protocol == ETH_P_ARP)
		return read_u32(scratch, at + ARP_TARGET) == now->target[0] ? now : NULL;
	at += IPV6_HEADER;
	if (protocol != ETH_P_IPV6 || read_u8(scratch, at) != SOLICITATION)
		return NULL;
	read_bytes(target, sizeof(target), at + SOLICITED);
	return target[0] == now->target[0] && target[1] == now->target[1] && target[2] == now->target[2] &&
			       target[3] == now->target[3]
		       ? now
		       : NULL;
}

/* As origin_of() in bpf/past.c, 0: it is no question. */
inline_always u64 origin_of_question(u64 skb, union scratch *scratch)
{
	struct solicitation *now = solicitation_of(skb, scratch);
	u64 sum;

	if (!now)
		return 0;
	sum = MIX(now->flow.daddr[3]) ^ now->flow.dport;
	return (MIX(sum) & ~ORIGIN_BITS) | NOTE_PAST | ORIGIN_FITS;
}
