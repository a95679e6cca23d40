/* What XDP programs lose by an error: nobody has a packet of it, so it is counted, by interface and program. */

#define FAILED_REDIRECT 256 /* in place of an action of XDP (linux/bpf.h) */

struct xdp_exception {
	u32 netns; /* inode number */
	u32 ifindex;
	u32 program; /* its number */
	u32 action;
};

BPF_TABLE("lru_hash", struct xdp_exception, u64, xdp_exceptions, 1024);

inline_always void count_exception(u64 device, u64 program, u32 action)
{
	struct settings *wanted = current_settings();
	struct xdp_exception key = {.action = action};
	union scratch scratch;
	u64 first = 1;
	u64 *count;

	if (!wanted)
		return;
	key.netns = netns_inode(read_pointer(&scratch, device + OFF_net_device__nd_net), wanted->netns_operations,
				&scratch);
	key.ifindex = read_u32(&scratch, device + OFF_net_device__ifindex);
	key.program = read_u32(&scratch, read_pointer(&scratch, program + OFF_bpf_prog__aux) + OFF_bpf_prog_aux__id);
	count = xdp_exceptions.lookup(&key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		xdp_exceptions.update(&key, &first);
}

/* xdp:xdp_exception(device, program, action): the program has failed, or what it has decided could not be done. */
int on_xdp_exception(struct bpf_raw_tracepoint_args *ctx)
{
	count_exception(as_number(ctx->args[0]), as_number(ctx->args[1]), ctx->args[2]);
	return 0;
}

/* xdp:xdp_redirect_err(device, program, ...), of older kernels also xdp:xdp_redirect_map_err */
int on_xdp_redirect_error(struct bpf_raw_tracepoint_args *ctx)
{
	count_exception(as_number(ctx->args[0]), as_number(ctx->args[1]), FAILED_REDIRECT);
	return 0;
}
