/* What decides beside the rules: connection tracking, queues to programs, and other hook functions.
 *
 * The answers of some functions are watched; connection tracking also says why it finds a packet invalid, whether
 * that is logged or not (net/netfilter/nf_conntrack_proto.c). */

#define IPS_NAT 0x30 /* IPS_SRC_NAT, IPS_DST_NAT: linux/netfilter/nf_conntrack_common.h */
#define NO_MEMORY ((u64)-12) /* -ENOMEM */
#define ANSWERED_NS 20000000 /* other answers than those that are noted are made in the same call */
#define QUEUED 4096 /* packets in queues: by default one holds 1024 */

/* A packet in a queue waits, often with many others, and its verdict may come on another CPU. */
struct waiting {
	u64 head; /* skb->head: another packet may have this skb by now */
	u32 queue;
	u32 unused;
};

struct engines_visit {
	u64 skb;
	u64 entry; /* skb->_nfct, as nf_conntrack_in left it */
	struct engines_record record; /* without its header */
};

BPF_PERCPU_ARRAY(engines_visits, struct engines_visit, SLOTS);
BPF_PERCPU_ARRAY(answer_calls, struct calls, 1);
BPF_PERCPU_ARRAY(queueing, u64, 1); /* the packet that nf_queue has on this CPU */
BPF_TABLE("lru_hash", u64, struct waiting, queued, QUEUED); /* by skb */

inline_always struct engines_visit *engines_visit_of(u64 skb)
{
	int slot = slot_of(skb);
	struct engines_visit *visit = engines_visits.lookup(&slot);

	return visit && visit->skb == skb ? visit : NULL;
}

/* A reset or an error about it is under way: however long that takes, it is freed after it. */
inline_always int is_being_answered(u64 skb)
{
	struct tcp_visit *tcp = current_tcp_visit();
	struct answers *icmp = current_answers();

	return (tcp && tcp->skb == skb) || (icmp && icmp->request == skb);
}

/* What this host makes itself, right after it had an INVALID packet: the reset that answers it comes before its death. */
inline_always int may_answer(const struct engines_visit *visit, u64 skb)
{
	union scratch scratch;

	if (!visit->skb || !visit->record.words[0] || read_u32(&scratch, skb + OFF_sk_buff__skb_iif))
		return 0;
	return bpf_ktime_get_ns() - visit->record.header.time_ns < ANSWERED_NS || is_being_answered(visit->skb);
}

inline_always void begin_engines_visit(struct engines_visit *visit, u64 skb)
{
	visit->skb = skb;
	visit->entry = 0;
	visit->record.refuser = 0;
	visit->record.tracked = 0;
	visit->record.invalid = 0;
	visit->record.table_full = 0;
	visit->record.queued = 0;
	visit->record.queue_errno = 0;
	visit->record.bpf_id = 0;
	visit->record.nat = 0;
	visit->record.words[0] = 0;
}

inline_always struct engines_visit *new_engines_visit(u64 skb)
{
	int slot = slot_of(skb);
	struct engines_visit *visit = engines_visits.lookup(&slot);

	if (!visit || visit->skb == skb)
		return visit;
	if (may_answer(visit, skb))
		return NULL;
	begin_engines_visit(visit, skb);
	return visit;
}

/* Connection tracking has said why it finds it invalid. */
inline_always int is_invalid(u64 skb)
{
	struct engines_visit *visit = engines_visit_of(skb);

	return visit && visit->record.words[0];
}

inline_always void end_engines_visit(u64 skb)
{
	struct engines_visit *visit = engines_visit_of(skb);

	if (visit)
		visit->skb = 0;
}

inline_always void note_answer(struct pt_regs *ctx, u64 skb)
{
	int zero = 0;
	struct call *call = note_call(answer_calls.lookup(&zero), ctx);

	if (call)
		call->noted = skb;
}

int on_conntrack_in(struct pt_regs *ctx)
{
	u64 skb = PT_REGS_PARM1(ctx);
	struct engines_visit *visit;

	note_answer(ctx, skb);
	end_engines_visit(skb);
	visit = new_engines_visit(skb);
	if (visit)
		visit->record.tracked = 1;
	return 0;
}

/* A function of the packet alone, or of the packet first. */
int on_answer(struct pt_regs *ctx)
{
	note_answer(ctx, PT_REGS_PARM1(ctx));
	return 0;
}

/* A hook function: (priv, skb, state). */
int on_hook_answer(struct pt_regs *ctx)
{
	note_answer(ctx, PT_REGS_PARM2(ctx));
	return 0;
}

inline_always void note_refuser(struct call *call, union scratch *scratch)
{
	struct engines_visit *visit = new_engines_visit(call->noted);
	u64 program;

	if (!visit)
		return;
	visit->record.refuser = call->function;
	/* nf_hook_run_bpf has a struct bpf_prog first. What others have there is no program, and nobody asks. */
	program = read_pointer(scratch, call->first + OFF_bpf_prog__aux);
	visit->record.bpf_id = read_u32(scratch, program + OFF_bpf_prog_aux__id);
	bpf_probe_read_kernel_str(visit->record.bpf_name, NAME_BYTES, (void *)(program + OFF_bpf_prog_aux__name));
}

int on_answer_return(struct pt_regs *ctx)
{
	int zero = 0;
	struct call *call = take_call(answer_calls.lookup(&zero), ctx);
	union scratch scratch;

	if (call && (PT_REGS_RC(ctx) & NF_VERDICT_MASK) == NF_DROP)
		note_refuser(call, &scratch);
	return 0;
}

/* nf_nat_icmp_reply_translation, nf_nat_icmpv6_reply_translation(skb, ...): 0 where NAT refuses the message. */
int on_icmp_translation_return(struct pt_regs *ctx)
{
	int zero = 0;
	struct call *call = take_call(answer_calls.lookup(&zero), ctx);
	union scratch scratch;

	if (call && !(u32)PT_REGS_RC(ctx))
		note_refuser(call, &scratch);
	return 0;
}

/* TCP takes its entry off a packet before a listening socket has it. */
int on_conntrack_return(struct pt_regs *ctx)
{
	int zero = 0;
	struct call *call = take_call(answer_calls.lookup(&zero), ctx);
	struct engines_visit *visit;
	union scratch scratch;

	if (!call)
		return 0;
	if ((PT_REGS_RC(ctx) & NF_VERDICT_MASK) == NF_DROP) {
		note_refuser(call, &scratch);
		return 0;
	}
	visit = engines_visit_of(call->noted);
	if (visit)
		visit->entry = read_pointer(&scratch, call->noted + OFF_sk_buff___nfct);
	return 0;
}

#define DEEPER 1024 /* bytes of stack between nf_conntrack_in and what it calls, at most */

/* Called in nf_conntrack_in for a packet that begins a connection: its call is the one that lies a little further up
 * on this stack. */
int on_conntrack_alloc_return(struct pt_regs *ctx)
{
	int zero = 0;
	struct calls *calls = answer_calls.lookup(&zero);

	if (!calls || PT_REGS_RC(ctx) != NO_MEMORY)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < CALLS; i++) {
		struct engines_visit *visit = NULL;
		if (calls->call[i].sp - PT_REGS_SP(ctx) < DEEPER)
			visit = engines_visit_of(calls->call[i].noted);
		if (visit)
			visit->record.table_full = 1;
	}
	return 0;
}

/* The format is a constant of the kernel. "%s" and "%pV" (struct va_format) only pass on what the next argument has. */
inline_always void note_words(struct pt_regs *ctx, u32 format)
{
	struct engines_visit *visit = engines_visit_of(PT_REGS_PARM1(ctx));
	u64 text = argument(ctx, format);
	union scratch scratch;

	if (!visit)
		return;
	visit->record.header.time_ns = bpf_ktime_get_ns();
	bpf_probe_read_kernel_str(visit->record.words, INVALID_WORDS, (void *)text);
	if (visit->record.words[0] != '%')
		return;
	text = argument(ctx, format + 1);
	if (visit->record.words[1] == 'p')
		text = read_pointer(&scratch, text);
	bpf_probe_read_kernel_str(visit->record.words, INVALID_WORDS, (void *)text);
}

/* (skb, struct nf_conn *, ...): an INVALID packet is not translated, whatever its connection asks for. */
int on_ct_log_invalid(struct pt_regs *ctx)
{
	struct engines_visit *visit = engines_visit_of(PT_REGS_PARM1(ctx));
	struct netfilter_layout *layout = current_layout();
	union scratch scratch;

	if (!layout)
		return 0;
	if (visit && layout->connection_status)
		visit->record.nat = read_u32(&scratch, PT_REGS_PARM2(ctx) + layout->connection_status) & IPS_NAT;
	note_words(ctx, layout->ct_log_format);
	return 0;
}

int on_log_invalid(struct pt_regs *ctx)
{
	struct netfilter_layout *layout = current_layout();

	if (layout)
		note_words(ctx, layout->log_format);
	return 0;
}

/* nf_queue(skb, state, index, verdict) */
int on_nf_queue(struct pt_regs *ctx)
{
	u64 skb = PT_REGS_PARM1(ctx);
	struct engines_visit *visit = new_engines_visit(skb);
	struct waiting waiting = {.queue = (u32)PT_REGS_PARM4(ctx) >> 16};
	union scratch scratch;
	int zero = 0;
	u64 *current = queueing.lookup(&zero);

	waiting.head = read_pointer(&scratch, skb + OFF_sk_buff__head);
	queued.update(&skb, &waiting);
	if (!visit || !current)
		return 0;
	*current = skb;
	visit->record.queued = 1;
	visit->record.queue = waiting.queue;
	visit->record.queue_errno = 0;
	return 0;
}

int on_enqueue_return(struct pt_regs *ctx)
{
	int zero = 0;
	u64 *current = queueing.lookup(&zero);
	struct engines_visit *visit = current ? engines_visit_of(*current) : NULL;

	if (visit)
		visit->record.queue_errno = (s32)PT_REGS_RC(ctx);
	return 0;
}

/* The note of a packet that waited in a queue, where it was pushed out or is another CPU's. */
inline_always void remember_queue(struct engines_visit *visit, u64 skb, union scratch *scratch)
{
	struct waiting *waiting;

	scratch->address = skb;
	waiting = queued.lookup(&scratch->address);
	if (!waiting || waiting->head != read_pointer(scratch, skb + OFF_sk_buff__head))
		return;
	begin_engines_visit(visit, skb);
	visit->record.queued = 1;
	visit->record.queue = waiting->queue;
}

/* Sends what is known, just before the DROP record. */
inline_always void send_engines(u64 skb, u64 now, union scratch *scratch)
{
	struct netfilter_layout *layout = current_layout();
	int slot = slot_of(skb);
	struct engines_visit *visit = engines_visits.lookup(&slot);
	u64 connection;

	if (!visit)
		return;
	if (visit->skb != skb)
		remember_queue(visit, skb, scratch);
	if (visit->skb != skb)
		return;
	connection = read_pointer(scratch, skb + OFF_sk_buff___nfct);
	visit->record.invalid = visit->record.tracked && !connection;
	connection &= NFCT_POINTER;
	if (connection && layout && layout->connection_status)
		visit->record.nat = read_u32(scratch, connection + layout->connection_status) & IPS_NAT;
	begin_record(&visit->record, now, skb, RECORD_ENGINES);
	if (events.ringbuf_output(&visit->record, sizeof(visit->record), 0))
		count_unsent(LOSS_DETAIL);
}
