"""The BPF programs at a hook of the security modules: bpf_lsm_NAME is the function that they are attached to."""

from dropwatch.host.bpf.programs import Program, attached_to, programs_of_type, read_program
from dropwatch.kernel.btf import vmlinux

_TYPE = 29  # BPF_PROG_TYPE_LSM


def read_lsm_programs(hook: str) -> tuple[Program, ...]:
    """All that are loaded for it; none where this kernel has no such hook. Raises OSError."""
    function = vmlinux().function(f"bpf_lsm_{hook}")
    if function is None:
        return ()
    return tuple(
        read_program(number) for number in programs_of_type(_TYPE) if attached_to(number) == function
    )
