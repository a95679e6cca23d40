"""Queues and traffic control: qdiscs, tc filters, the input queue of a CPU."""
