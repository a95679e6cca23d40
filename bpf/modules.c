/* Modules that come and go: user space attaches the probes of their functions. */

/* module_load and module_free: (struct module *) */
int on_module(struct bpf_raw_tracepoint_args *ctx)
{
	struct module_record *record = events.ringbuf_reserve(sizeof(*record));

	if (!record)
		return 0;
	begin_record(record, bpf_ktime_get_ns(), 0, RECORD_MODULE);
	bpf_probe_read_kernel_str(record->name, sizeof(record->name), (void *)(ctx->args[0] + OFF_module__name));
	events.ringbuf_submit(record, 0);
	return 0;
}
