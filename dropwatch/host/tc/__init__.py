"""Traffic control of a device: its qdiscs, and the filters at one of its hooks."""
