"""What led to a drop: earlier decisions about the packet, without which it would not have died."""
