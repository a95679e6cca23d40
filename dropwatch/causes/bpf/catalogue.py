"""BPF programs that refuse packets: XDP, cgroups, lightweight tunnels, netfilter."""

from dropwatch.causes.advice import Step
from dropwatch.causes.bpf.cgroup import ENTERING, LEAVING
from dropwatch.causes.bpf.lwt import PLACES
from dropwatch.causes.bpf.xdp import GENERIC, NATIVE
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

CAUSES = (
    Cause(
        id="bpf.xdp-generic",
        title="an XDP program (in generic mode) drops it",
        why="""
An XDP program sees each packet before the network stack does. This interface has one in generic mode, and its
verdict was XDP_DROP, or XDP_ABORTED after an error in the program, or no known verdict. Generic mode is used
where the driver has no XDP of its own, or where somebody asked for it. In native mode the driver drops before
a packet exists: that shows only in the counters of the driver and of the program.
""",
        confirm="""
"xdpgeneric" and the program's id:
$ ip -d link show DEV
$ bpftool net show dev DEV
$ bpftool prog show
XDP_ABORTED (errors in the program) has a tracepoint of its own:
$ perf trace -e xdp:xdp_exception
""",
        fix=(
            Fix("see which program it is, and what loaded it", "bpftool net show dev DEV; bpftool prog show"),
            Step(
                "detach it, for a test",
                "ip link set dev DEV xdpgeneric off",
                weakens="it may protect this host",
            ),
        ),
        seen_as=("XDP", "NOT_SPECIFIED"),
        seen_at=GENERIC,
    ),
    Cause(
        id="bpf.xdp-native",
        title="an XDP program (in native mode) drops it",
        why="""
The driver of this interface runs an XDP program on each packet that arrives, and its verdict was XDP_DROP, or
XDP_ABORTED after an error in the program, or no known verdict. Most drivers drop before a packet exists, and
then nothing shows but their own counters: whydrop names such interfaces and programs in its last lines. veth has
a packet by then, which shows. Load balancers, protection against floods and Cilium use such programs.
""",
        confirm="""
"xdp" and the program's id; the driver's own counters:
$ ip -d link show DEV
$ ethtool -S DEV | grep -i xdp
$ bpftool net show dev DEV
XDP_ABORTED (errors in the program) has a tracepoint of its own:
$ perf trace -e xdp:xdp_exception
""",
        fix=(
            Fix("see which program it is, and what loaded it", "bpftool net show dev DEV; bpftool prog show"),
            Step(
                "detach it, for a test",
                "ip link set dev DEV xdpdrv off",
                weakens="it may protect this host",
            ),
        ),
        seen_as=("NOT_SPECIFIED", "XDP"),
        seen_at=NATIVE,
    ),
    Cause(
        id="bpf.cgroup-ingress",
        title="a BPF program of the receiver's cgroup refuses it",
        why="""
The cgroup of the receiving socket has a BPF program for incoming packets, and it refused the packet. systemd
attaches one to units with IPAddressDeny=, container managers for network policy. Programs of the cgroups above
run as well, as those of a slice do. A probe sees who refused the packet, for the kernel gives the same reason for
the socket's own filter; where it could not be attached, whydrop is not certain.
""",
        confirm="""
$ bpftool cgroup tree
$ systemctl show UNIT -p IPAddressDeny,IPAddressAllow,IPIngressFilterPath
Which cgroup is the program in?
$ cat /proc/PID/cgroup
""",
        fix=(
            Fix("see which cgroups have programs", "bpftool cgroup tree"),
            Step(
                "if it is systemd's IPAddressDeny=, allow the sender in the unit",
                "systemctl set-property --runtime UNIT IPAddressAllow=SADDR",
            ),
        ),
        seen_as=("SOCKET_FILTER",),
        seen_at=ENTERING,
    ),
    Cause(
        id="bpf.cgroup-egress",
        title="a BPF program of the sender's cgroup refuses it",
        why="""
The cgroup of the sending socket has a BPF program for outgoing packets, and it refused the packet; the
program's send() usually fails with EPERM. systemd attaches one to units with IPAddressDeny= or
RestrictNetworkInterfaces=, container managers for network policy.
""",
        confirm="""
$ bpftool cgroup tree
$ systemctl show UNIT -p IPAddressDeny,IPAddressAllow,RestrictNetworkInterfaces
Which cgroup is the program in?
$ cat /proc/PID/cgroup
""",
        fix=(
            Step(
                "if it is systemd's IPAddressDeny=, allow the destination in the unit of the sender",
                "systemctl set-property --runtime $(ps -o unit= -p PID) IPAddressAllow=DADDR",
            ),
            Fix("see which cgroups have programs", "bpftool cgroup tree"),
            Fix("see in which cgroup the sender is", "cat /proc/PID/cgroup"),
        ),
        reasons=("BPF_CGROUP_EGRESS",),
        seen_at=LEAVING,
    ),
    Cause(
        id="bpf.cgroup-call",
        title="a BPF program of the cgroup refuses the call, before there is a packet",
        why="""
The cgroup of the socket has a BPF program for connect(), bind() or the sending of datagrams, and it refused the call:
the program gets EPERM, or another error that the BPF program chose, and no packet ever exists. systemd attaches one
to units with SocketBindDeny=; Cilium and container managers have them for network policy and load balancing. Those of
the cgroups above run as well. Of bind() the address that was refused is shown as the destination: where packets
were to be received.
""",
        confirm="""
$ bpftool cgroup tree
$ systemctl show UNIT -p SocketBindAllow,SocketBindDeny
Which cgroup is the program in?
$ cat /proc/PID/cgroup
""",
        fix=(
            Fix("see which cgroups have programs", "bpftool cgroup tree"),
            Fix("see in which cgroup the process is", "cat /proc/PID/cgroup"),
        ),
        seen_at=("__cgroup_bpf_run_filter_sock_addr",),
    ),
    Cause(
        id="bpf.lwt",
        title="the BPF program of a route refuses it",
        why="""
The route has a BPF program attached (encap bpf in, out or xmit), and the program returned BPF_DROP, or
something that is no verdict, or failed. Such routes are made for load balancing, encapsulation and segment
routing by hand.
""",
        confirm="""
$ ip route show table all | grep 'encap bpf'
$ bpftool prog show | grep lwt
""",
        fix=(
            Fix("find the route", "ip route get DADDR; ip route show table all | grep 'encap bpf'"),
            Fix("for a test, replace it by one without a program", "ip route replace DADDR via GATEWAY"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=tuple(PLACES),
    ),
    Cause(
        id="bpf.netfilter",
        title="a BPF program at a netfilter hook refuses it",
        why="""
Since Linux 6.4 a BPF program can be attached to a netfilter hook directly, beside the rules of nftables and
iptables. It returned drop. Such programs do not appear in any listing of rules; the list of hooks names them,
with the priority that decides whether they run before or after the rules. whydrop reports such a drop as
netfilter.hook-other, the cause of every function at a hook that is not a rule table, and names the program.
""",
        confirm="""
$ nft list hooks
$ bpftool link show
Look for links of type netfilter.
""",
        fix=(
            Fix("find the program, and what loaded it", "bpftool link show; bpftool prog show"),
            Fix("see its place among the other hooks", "nft list hooks"),
        ),
        seen_as=("NETFILTER_DROP",),
        seen_at=("nf_hook_slow",),
    ),
)
