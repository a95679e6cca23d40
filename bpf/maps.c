/* Everything that the programs share with one another and with user space. */
#include "event.h"
#include "read.h"
#include "settings.h"

#define FOLDS (!SUMMARY && !TRACE) /* drops of one sort are told together: bpf/summary.c */

BPF_RINGBUF_OUTPUT(events, RING_PAGES);
BPF_PERCPU_ARRAY(seen, u64, SOURCES);
BPF_PERCPU_ARRAY(unsent, u64, LOSSES);
BPF_ARRAY(configuration, struct settings, 1);

inline_always struct settings *current_settings(void)
{
	int zero = 0;
	return configuration.lookup(&zero);
}

/* Atomic although per CPU: an interrupt may come between the load and the store. */
inline_always void count_seen(int source)
{
	u64 *count = seen.lookup(&source);
	if (count)
		__sync_fetch_and_add(count, 1);
}

inline_always void count_unsent(int why)
{
	u64 *count = unsent.lookup(&why);
	if (count)
		__sync_fetch_and_add(count, 1);
}

/* What to add to the address of a per-CPU variable, 0: unknown. */
inline_always u64 this_cpu_offset(void)
{
	struct settings *wanted = current_settings();
	int first = 0;
	u64 address = (u64)seen.lookup(&first);

	forget(&address, sizeof(address)); /* what helpers have written is a number */
	return wanted && wanted->per_cpu_value && address ? address - wanted->per_cpu_value : 0;
}

/* Some kernels cannot look through the return of a probed function: the stack ends there, and does not tell whose code
 * it was. Softirqs have a stack of their own, and so have the threads of the kernel, which have no memory (mm). */
inline_always int is_on_task_stack(u64 sp, union scratch *scratch)
{
	u64 task = bpf_get_current_task();
	u64 stack = read_pointer(scratch, task + OFF_task_struct__stack);

	return sp - stack < THREAD_BYTES && read_pointer(scratch, task + OFF_task_struct__mm);
}
