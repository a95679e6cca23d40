"""BPF programs at the ingress or egress hook of an interface that no filter of traffic control holds (tcx)."""

from dropwatch.host.bpf.programs import Program, attached, read_program
from dropwatch.host.netns.enter import entered
from dropwatch.host.tc.filters import EGRESS, INGRESS

_TYPES = {INGRESS: 46, EGRESS: 47}  # BPF_TCX_INGRESS, _EGRESS of enum bpf_attach_type


def read_tcx_programs(netns_inode: int, ifindex: int, hook: int) -> tuple[Program, ...]:
    """In the order in which they run, before the filters; `hook` is INGRESS or EGRESS. Raises OSError."""
    with entered(netns_inode):
        return tuple(read_program(each) for each in attached(ifindex, _TYPES[hook]))
