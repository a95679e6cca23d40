"""whydrop: says why, where, and by which line of your configuration the Linux kernel dropped a packet."""

__version__ = "0.2.0"
