"""Bytes to records: the typed mirror of bpf/event.h and bpf/settings.h."""
