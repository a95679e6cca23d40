"""What is configured on this host, read after a drop in the network namespace where it happened."""
