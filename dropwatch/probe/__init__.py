"""Gets Events out of a kernel: the one place that imports bcc."""
