"""What may be asked of a host's BPF programs."""

from dropwatch.host.bpf.cgroups import CgroupProgram, read_cgroup_programs
from dropwatch.host.bpf.keepers import Keepers, read_keepers
from dropwatch.host.bpf.links import NetfilterLink, read_netfilter_links
from dropwatch.host.bpf.lsm import read_lsm_programs
from dropwatch.host.bpf.lwt import read_lwt_programs
from dropwatch.host.bpf.programs import Program
from dropwatch.host.bpf.tcx import read_tcx_programs
from dropwatch.host.bpf.xdp import XdpProgram, read_xdp
from dropwatch.host.question import Asked, question


class BpfQuestions(Asked):
    """A part of Host."""

    @question("BPF programs of cgroups")
    def cgroup_programs(self, inode: int, cgroup: int, attach_type: int) -> tuple[CgroupProgram, ...]:
        """Those that run for a socket of the cgroup of this number."""
        return read_cgroup_programs(cgroup, attach_type)

    @question("keepers of BPF programs", sparing=10)
    def program_keepers(self, inode: int, program: int) -> Keepers:
        """Who has the program of this number: files and processes."""
        return read_keepers(program)

    @question("XDP programs")
    def xdp_programs(self, inode: int) -> tuple[XdpProgram, ...]:
        """Those of the interfaces of the namespace."""
        return read_xdp(inode)

    @question("BPF programs of routes")
    def lwt_programs(self, inode: int, hook: str) -> tuple[Program, ...]:
        """All that are loaded for the hook in, out or xmit of routes."""
        return read_lwt_programs(hook)

    @question("BPF programs of security modules")
    def lsm_programs(self, inode: int, hook: str) -> tuple[Program, ...]:
        """All that are loaded for the hook of this name."""
        return read_lsm_programs(hook)

    @question("links of BPF programs")
    def netfilter_links(self, inode: int, program: int) -> tuple[NetfilterLink, ...]:
        """Those of the program of this number to hooks of netfilter."""
        return read_netfilter_links(program)

    @question("BPF programs at interfaces")
    def tcx_programs(self, inode: int, ifindex: int, hook: int) -> tuple[Program, ...]:
        """Those at the ingress or egress hook of the interface of this index, but for those in filters."""
        return read_tcx_programs(inode, ifindex, hook)
