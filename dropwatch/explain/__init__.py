"""What whydrop knows, in pages: causes, drop reasons, functions of the kernel, counters; and the search in them."""
