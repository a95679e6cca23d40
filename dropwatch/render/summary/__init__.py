"""A summary as table, full screen or JSON."""
