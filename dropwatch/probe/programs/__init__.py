"""The BPF programs: their text, compiled once for all kernels, loaded into this one."""
