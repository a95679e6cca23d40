"""What the names and numbers of the kernel mean: symbols/*.toml read, protocols, the xfrm ABI."""
