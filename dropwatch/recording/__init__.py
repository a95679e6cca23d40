"""Keeps what a run met and what it asked the host, and gives it back on another machine."""
