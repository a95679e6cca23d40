"""BPF programs: which are attached where, what they are called, and who keeps them."""
