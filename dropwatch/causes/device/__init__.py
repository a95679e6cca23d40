"""What dies at an interface, a bridge or a queue."""
