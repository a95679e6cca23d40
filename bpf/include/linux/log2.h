/* BCC sizes its perf buffers with this. */
#ifndef roundup_pow_of_two
#define roundup_pow_of_two(n) ((n) <= 1 ? 1UL : 1UL << (64 - __builtin_clzl((unsigned long)(n)-1)))
#endif
