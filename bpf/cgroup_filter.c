/* What the BPF programs of a cgroup refuse: the packet dies next, and the socket whose cgroup it was is known here only. */

#define NET_XMIT_CN 2 /* linux/netdevice.h: it goes on */
#define REFUSED_NS 1000000000ULL /* after which it is another packet at the same address */

struct cgroup_refusal {
	u64 time_ns;
	u64 sock; /* struct sock */
};

BPF_TABLE("lru_hash", u64, struct cgroup_refusal, cgroup_refusals, 1024); /* by struct sk_buff */

/* __cgroup_bpf_run_filter_skb(sk, skb, type) */
int on_cgroup_filter(struct bpf_raw_tracepoint_args *ctx)
{
	struct cgroup_refusal refusal = {};
	s32 answer = ctx->args[3];
	u64 skb;

	if (!answer || answer == NET_XMIT_CN)
		return 0;
	skb = as_number(ctx->args[1]);
	refusal.time_ns = bpf_ktime_get_ns();
	refusal.sock = as_number(ctx->args[0]);
	cgroup_refusals.update(&skb, &refusal);
	return 0;
}

/* The socket by whose cgroup this packet was refused, 0: it was not. Asked once for every death. */
inline_always u64 refused_in_cgroup_of(u64 skb)
{
	struct cgroup_refusal *refusal = cgroup_refusals.lookup(&skb);
	u64 sock;

	if (!refusal || bpf_ktime_get_ns() - refusal->time_ns > REFUSED_NS)
		return 0;
	sock = refusal->sock;
	refusal->sock = 0; /* it stays in its place until another packet at the same address is refused */
	return sock;
}
