/* Frames that a bridge sends out of all its ports because it does not know where their receiver is: all other hosts drop
 * their copies. The copies share the bytes of the frame. */

#define FLOOD_NS 1000000000ULL /* that a copy may be under way */

struct flooded {
	u64 time_ns;
	u64 addresses[2]; /* the hardware addresses: 12 bytes, the rest is zero */
};

BPF_TABLE("lru_hash", u64, struct flooded, floods, 1024); /* by skb->head */

inline_always void read_ends(struct flooded *frame, u64 skb, u64 head, union scratch *scratch)
{
	u64 link = head + read_u16(scratch, skb + OFF_sk_buff__mac_header); /* `frame` may be in `scratch` */

	__builtin_memset(frame, 0, sizeof(*frame));
	read_bytes(frame->addresses, 12, link);
}

/* (struct net_bridge *, struct sk_buff *, ...) */
int on_br_flood(struct pt_regs *ctx)
{
	u64 skb = PT_REGS_PARM2(ctx);
	struct flooded frame;
	union scratch scratch;
	u64 head = read_pointer(&scratch, skb + OFF_sk_buff__head);

	read_ends(&frame, skb, head, &scratch);
	if (*(u8 *)frame.addresses & 1) /* to a group or to all */
		return 0;
	frame.time_ns = bpf_ktime_get_ns();
	floods.update(&head, &frame);
	return 0;
}

inline_always int was_flooded(u64 skb, union scratch *scratch)
{
	u64 head = read_pointer(scratch, skb + OFF_sk_buff__head);
	struct flooded *known = floods.lookup(&head);
	struct flooded *frame = (struct flooded *)scratch->bytes;

	if (!known || bpf_ktime_get_ns() - known->time_ns > FLOOD_NS)
		return 0;
	read_ends(frame, skb, head, scratch);
	return frame->addresses[0] == known->addresses[0] && frame->addresses[1] == known->addresses[1];
}
