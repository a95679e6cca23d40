"""BPF programs that refuse packets: XDP, cgroups, lightweight tunnels, netfilter."""
