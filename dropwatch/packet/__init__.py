"""What stands in a packet's bytes."""
