"""The causes of filters and policers of traffic control, of a CPU's queue, and of devices that are off."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step, twice
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

BRING_UP = "ip link set DEV up"
CARRIER = (
    Fix("bring it up", BRING_UP),
    Step(
        "have routes ignore interfaces without carrier",
        "sysctl -w net.ipv4.conf.DEV.ignore_routes_with_linkdown=1",
        fits=fits.ipv4,
    ),
    Step(
        "have routes ignore interfaces without carrier",
        "sysctl -w net.ipv6.conf.DEV.ignore_routes_with_linkdown=1",
        fits=fits.ipv6,
    ),
)


def _by_a_filter(way: str) -> tuple[Fix, ...]:
    """Of the filters at one hook: ingress or egress, as tc calls it."""
    return (
        Fix(
            "find the filter by its counter, and the program",
            f"tc -s filter show dev DEV {way}; bpftool net show dev DEV",
        ),
        Fix("if Cilium put it there: see why it drops", "cilium-dbg monitor --type drop"),
        Step(
            "delete all filters there, if they are not needed; for a single one add `pref` and its number",
            f"tc filter del dev DEV {way}",
            weakens="whatever they block can pass",
        ),
    )


CONTROL = (
    Cause(
        id="queueing.tc-ingress",
        title="a tc filter or BPF program drops it on ingress",
        why="""
At the ingress hook of the interface (qdisc clsact or ingress, or tcx) a filter matched and its action was
drop: flower, u32 or matchall with "action drop", a policer above its rate, or a BPF program that returned
TC_ACT_SHOT. Cilium, Calico's eBPF dataplane, libvirt's bandwidth limits and OpenStack put such things on
interfaces.
""",
        confirm="""
Each filter with its counters; then the BPF programs, those attached with tcx among them:
$ tc -s filter show dev DEV ingress
$ bpftool net show dev DEV
""",
        fix=_by_a_filter("ingress"),
        reasons=("TC_INGRESS",),
        seen_at=("__netif_receive_skb_core", "sch_handle_ingress", "tcf_classify"),
    ),
    Cause(
        id="queueing.tc-egress",
        title="a tc filter or BPF program drops it on egress",
        why="""
At the egress hook of the interface (qdisc clsact, or tcx) a filter matched and its action was drop: flower,
u32 or matchall with "action drop", a policer above its rate, or a BPF program that returned TC_ACT_SHOT. Some
kernels also say so when a redirecting action (mirred) led a packet back into the qdisc that was just handling
it.
""",
        confirm="""
Each filter with its counters; then the BPF programs, those attached with tcx among them:
$ tc -s filter show dev DEV egress
$ bpftool net show dev DEV
""",
        fix=_by_a_filter("egress"),
        reasons=("TC_EGRESS",),
        seen_at=("__dev_queue_xmit", "sch_handle_egress", "tcf_classify"),
    ),
    Cause(
        id="queueing.police",
        title="a policer drops what is over its rate",
        why="""
A filter of traffic control at the interface has the action police: it lets so many bytes a second pass, and
bursts of a size, and drops the rest at once instead of delaying it. A packet that is larger than the burst never
passes. Bandwidth limits of libvirt, OpenStack, Kubernetes (the bandwidth plugin) and of providers' scripts are
made so.
""",
        confirm="""
"dropped" and "overlimits" of the action rise:
$ tc -s filter show dev DEV ingress
$ tc -s filter show dev DEV egress
""",
        fix=(
            Fix(
                "see its rate, burst and counters",
                "tc -s filter show dev DEV ingress; tc -s filter show dev DEV egress",
            ),
            Fix(
                "if more may pass, raise rate and burst where the limit was made; or have the senders send less"
            ),
        ),
        seen_as=("TC_INGRESS", "TC_EGRESS", "NOT_SPECIFIED"),
        seen_at=("__netif_receive_skb_core", "__dev_queue_xmit"),
    ),
    Cause(
        id="queueing.redirect-down",
        title="redirected to a device that is down",
        why="""
A filter of traffic control at the interface has the action mirred, which sends the packet on through another
device. That device is down, has no carrier, or is gone, so the packet is dropped. Bandwidth limits on the way in
(an ifb device), mirrors of cloud networks and container plugins redirect packets so.
""",
        confirm="""
"overlimits" of the action rises, and the log says "tc mirred to Houston: device ... is down":
$ tc -s filter show dev DEV ingress
$ tc -s filter show dev DEV egress
$ ip link show
""",
        fix=(
            Fix(
                "see to which device it sends",
                "tc -s filter show dev DEV ingress; tc -s filter show dev DEV egress",
            ),
            Fix("bring that device up, or delete the filter"),
        ),
        seen_as=("TC_INGRESS", "TC_EGRESS", "NOT_SPECIFIED"),
        seen_at=("__netif_receive_skb_core", "__dev_queue_xmit"),
    ),
    Cause(
        id="queueing.cpu-backlog",
        title="the input queue of a CPU is full",
        why="""
Packets that come through loopback, veth and other virtual devices, and those that RPS hands to another CPU,
wait in the input queue of a CPU. It held more than net.core.netdev_max_backlog packets (1000 by default), or
the flow limit decided that one flow takes more than its share of it. The CPU is busy elsewhere, or one CPU
does the work of many.
""",
        confirm="""
One line for each CPU, in hexadecimal: processed, dropped, squeezed; the eleventh column is the flow limit:
$ cat /proc/net/softnet_stat
$ mpstat -P ALL 1
$ sysctl net.core.netdev_max_backlog
""",
        fix=(
            Fix("lengthen the queue for larger bursts", twice("net.core.netdev_max_backlog")),
            Fix(
                "spread the work over all CPUs: write their mask (ff for eight) into rps_cpus of each receive queue, "
                "in /sys/class/net/DEV/queues"
            ),
        ),
        reasons=("CPU_BACKLOG",),
        seen_at=("enqueue_to_backlog",),
    ),
    Cause(
        id="queueing.noqueue-down",
        title="sent through an interface that is down or has no carrier",
        why="""
The route still pointed to the device, but it is not running: it is down, its cable or its peer is gone, or it
is being removed. A virtual device without a queue of its own (veth, bridge, tunnels) drops at once; with a
queue the qdisc is emptied.
""",
        confirm="""
$ ip link show DEV
$ ip -ts monitor link
$ ethtool DEV | grep 'Link detected'
""",
        fix=CARRIER,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("__dev_queue_xmit", "__dev_direct_xmit", "__rtnl_unlock"),
    ),
    Cause(
        id="queueing.not-active",
        title="sent while the interface's queue is not active",
        why="""
The interface is up and has a carrier, but its queue still has the qdisc noop, which drops everything. The kernel
puts it there when an interface goes down or loses its carrier, and takes it away a moment after both are back (up
to a second if the carrier comes and goes often). It is there also while another qdisc is attached with `tc`.
""",
        confirm="""
$ ip -ts monitor link
$ tc qdisc show dev DEV
$ cat /sys/class/net/DEV/carrier_changes
""",
        fix=(
            Fix(
                "find out what changes the interface: its carrier, or a program that replaces its qdisc",
                "ip -ts monitor link; tc monitor",
            ),
            Fix("if the carrier comes and goes: check the cable, the switch port or the peer", "ethtool DEV"),
            Fix("nothing, if it has only just come up: what is sent now is sent"),
        ),
        seen_as=("QDISC_DROP", "NOT_SPECIFIED"),
        seen_at=("__dev_queue_xmit",),
    ),
)
