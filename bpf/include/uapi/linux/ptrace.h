/* The registers a kprobe sees, as the kernel lays them out for each architecture (arch/.../asm/ptrace.h). */
#ifndef WHYDROP_PTRACE_H
#define WHYDROP_PTRACE_H

#if defined(__x86_64__)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__aarch64__)
struct user_pt_regs {
	__u64 regs[31], sp, pc, pstate;
};
struct pt_regs {
	__u64 regs[31], sp, pc, pstate;
};
#endif

#endif
