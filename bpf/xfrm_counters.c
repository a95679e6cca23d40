/* The xfrm statistics of a namespace (/proc/net/xfrm_stat): which of them rose while the kernel had a packet in hand. */

#define MOST_COUNTERS 48 /* kernels have 29 to 33 */
#define XFRM_COUNTERS (ENUM___LINUX_MIB_XFRMMAX < MOST_COUNTERS ? ENUM___LINUX_MIB_XFRMMAX : MOST_COUNTERS)

struct xfrm_counters {
	u64 address; /* of this CPU's counters in the packet's namespace, 0: unknown */
	u64 before[MOST_COUNTERS];
};

inline_always void read_counters(struct xfrm_counters *counters, u64 skb, union scratch *scratch)
{
	struct settings *wanted = current_settings();
	u64 net;

	counters->address = 0;
	if (!wanted || !wanted->per_cpu_value)
		return;
	net = read_pointer(scratch, read_pointer(scratch, skb + OFF_sk_buff__dev) + OFF_net_device__nd_net);
	counters->address = read_pointer(scratch, net + OFF_net__mib__xfrm_statistics) + this_cpu_offset();
	if (read_bytes(counters->before, XFRM_COUNTERS * sizeof(u64), counters->address))
		counters->address = 0;
}

/* Counters of this CPU that rose since they were read: softirqs do not nest, so it was this packet. */
inline_always u64 risen_counters(const struct xfrm_counters *counters, union scratch *scratch)
{
	int number = XFRM_COUNTERS;
	u64 risen = 0;

	if (!counters->address)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < number; i++)
		risen |= is_not_zero(read_pointer(scratch, counters->address + i * sizeof(u64)) ^ counters->before[i])
			 << i;
	return risen;
}
