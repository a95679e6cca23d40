"""The laboratory: Debian kernels in QEMU, on this machine's own root file system, without KVM."""
