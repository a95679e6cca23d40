/* How the records that cross to user space begin. */

#define begin_record(record, time, packet, record_type)                                                                \
	((record)->header = (struct record_header){                                                                    \
		 .time_ns = (time), .skb = (packet), .type = (record_type), .size = sizeof(*(record))})

/* A DROP record: who did it, and how the code came there. What is not known of every death is zero. */
inline_always void begin_drop_record(struct drop_record *record, void *ctx, u64 now, u64 skb)
{
	__builtin_memset(record, 0, __builtin_offsetof(struct drop_record, stack));
	begin_record(record, now, skb, RECORD_DROP);
	record->pid = bpf_get_current_pid_tgid() >> 32;
	record->cpu = bpf_get_smp_processor_id();
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	record->stack_bytes = bpf_get_stack(ctx, record->stack, sizeof(record->stack), 0);
}
