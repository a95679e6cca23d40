/* BCC sizes ring buffers in pages; whydrop gives the size of the running kernel's (-DPAGE_SIZE). */
#ifndef PAGE_SIZE
#error "PAGE_SIZE is not given"
#endif
