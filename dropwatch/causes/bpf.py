"""BPF programs that refuse packets: XDP, cgroups, lightweight tunnels, netfilter."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import Step, of_catalogue
from dropwatch.causes.cause import Cause
from dropwatch.causes.family import Family, in_order
from dropwatch.causes.when import NONE_GIVEN, when
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict

_XDP = ("do_xdp_generic", "netif_receive_generic_xdp", "bpf_prog_run_generic_xdp")
_LWT = ("bpf_input", "bpf_output", "bpf_xmit", "run_lwt_bpf")

_CAUSES = (
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
            Fix("see which program it is, and who loaded it", "bpftool net show dev DEV; bpftool prog show"),
            Step(
                "detach it, for a test",
                "ip link set dev DEV xdpgeneric off",
                weakens="it may be there to keep attackers out",
            ),
        ),
        seen_as=("XDP", "NOT_SPECIFIED"),
        seen_at=_XDP,
    ),
    Cause(
        id="bpf.cgroup-ingress",
        title="a BPF program of the receiving program's cgroup refuses it",
        why="""
The cgroup of the receiving socket has a BPF program for incoming packets, and it said no. systemd attaches
one to units with IPAddressDeny= or SocketBindDeny=, container managers for network policy. The kernel gives
the same reason for the socket's own filter, so whydrop does not tell the two apart yet.
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
        seen_at=("udp_queue_rcv_one_skb", "udpv6_queue_rcv_one_skb", "tcp_v4_rcv", "tcp_v6_rcv", "raw_rcv"),
    ),
    Cause(
        id="bpf.cgroup-egress",
        title="a BPF program of the sending program's cgroup refuses it",
        why="""
The cgroup of the sending socket has a BPF program for outgoing packets, and it said no; the program's send()
usually fails with EPERM. systemd attaches one to units with IPAddressDeny= or RestrictNetworkInterfaces=,
container managers for network policy.
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
        seen_at=("ip_finish_output", "ip6_finish_output", "ip_mc_finish_output"),
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
        seen_at=_LWT,
    ),
    Cause(
        id="bpf.netfilter",
        title="a BPF program at a netfilter hook refuses it",
        why="""
Since Linux 6.4 a BPF program can be attached to a netfilter hook directly, beside the rules of nftables and
iptables. It answered drop. Such programs do not appear in any listing of rules; the list of hooks names them,
with the priority that decides whether they run before or after the rules. whydrop reports such a drop as
netfilter.hook-other, the cause of every function at a hook that is no table of rules, and names the program.
""",
        confirm="""
$ nft list hooks
$ bpftool link show
Look for links of type netfilter.
""",
        fix=(
            Fix("find the program and who loaded it", "bpftool link show; bpftool prog show"),
            Fix("see its place among the other hooks", "nft list hooks"),
        ),
        seen_as=("NETFILTER_DROP",),
        seen_at=("nf_hook_slow",),
    ),
)

_REDIRECTED = (
    Fix("which program is it, and where does it redirect to?", "bpftool net show dev DEV; bpftool prog show"),
    Fix("is that interface there, and up?", "ip link show"),
    Fix("errors of redirects, with the interfaces, as they happen", "perf trace -e xdp:xdp_redirect_err"),
)


def _redirect_failed(drop: Drop, host: Host) -> Verdict | None:
    """do_xdp_generic gives this reason itself for nothing else: what a program drops has none (net/core/dev.c)."""
    if drop.reason != "XDP" or kernel_word.place(drop) != "do_xdp_generic":
        return None
    fact = "the program said XDP_REDIRECT, and the packet could not be handed to where it was to go"
    said = kernel_word.certain(drop, Evidence("place", fact))
    title = "an XDP program (in generic mode) redirects it, and that fails"
    return replace(said, title=title, fix=of_catalogue(_REDIRECTED, drop))


BPF = Family(
    "bpf",
    _CAUSES,
    in_order(
        ("bpf.xdp-generic", _redirect_failed),
        ("bpf.xdp-generic", when(reasons=("XDP",))),
        (
            "bpf.xdp-generic",
            when(
                reasons=(NONE_GIVEN,),
                at=_XDP,
                confidence="likely",
                fact="where an XDP program in generic mode is run; no memory to prepare the packet is the other reason",
            ),
        ),
        (
            "bpf.lwt",
            when(
                reasons=(NONE_GIVEN,),
                at=_LWT,
                confidence="likely",
                fact="the place where a route's BPF program runs; a broken route dies there as well",
            ),
        ),
    ),
)
