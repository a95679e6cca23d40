"""Malformed packets: checksums, lengths, headers."""
