"""Queues and traffic control: qdiscs, tc filters, the input queue of a CPU."""

from dataclasses import replace

from dropwatch.causes import fits, kernel_word
from dropwatch.causes.advice import Step, of_catalogue, twice
from dropwatch.causes.cause import Cause
from dropwatch.causes.family import Family, in_order
from dropwatch.causes.places import SENDING, is_off
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.names.foreign import quoted

_SHOW = Fix("see which qdisc drops, and how full it is", "tc -s qdisc show dev DEV")
_QDISC_AT = ("__dev_queue_xmit", "__dev_xmit_skb", "fq_codel_dequeue", "fq_codel_enqueue")
_BRING_UP = "ip link set DEV up"
_CARRIER = (
    Fix("bring it up", _BRING_UP),
    Step(
        "have routes ignore devices without carrier",
        "sysctl -w net.ipv4.conf.DEV.ignore_routes_with_linkdown=1",
        fits=fits.ipv4,
    ),
    Step(
        "have routes ignore devices without carrier",
        "sysctl -w net.ipv6.conf.DEV.ignore_routes_with_linkdown=1",
        fits=fits.ipv6,
    ),
)

_CAUSES = (
    Cause(
        id="queueing.qdisc-full",
        title="the queue of the outgoing interface is full",
        why="""
More is sent through the interface than it, or the shaper on it (tbf, htb, cake), lets out, and the queueing
discipline has reached its limit in packets, bytes or memory. For the fq qdisc it can also be the limit of one
flow or one priority band. On a shaped link that is the expected way to slow TCP down; for UDP it is plain
loss.
""",
        confirm="""
"dropped" and "overlimits" rise, "backlog" is near the limit:
$ tc -s qdisc show dev DEV
$ tc -s class show dev DEV
$ ip -s link show DEV
""",
        fix=(
            _SHOW,
            Fix(
                "if it is a shaper (tbf, htb, cake) and the line can take more, raise its rate with `tc qdisc change` "
                "or `tc class change`, and repeat what is shown of its other settings"
            ),
            Step(
                "if it is a plain queue (pfifo, bfifo, pfifo_fast), share it fairly and keep the delay low; this "
                "throws away shapers and classes",
                "tc qdisc replace dev DEV root fq_codel",
            ),
            Fix("or have the sender send less"),
        ),
        reasons=(
            "QDISC_OVERLIMIT",
            "FQ_BAND_LIMIT",
            "FQ_FLOW_LIMIT",
            "QDISC_DROP_OVERLIMIT",
            "QDISC_DROP_MAXFLOWS",
            "QDISC_DROP_BAND_LIMIT",
            "QDISC_DROP_FLOW_LIMIT",
        ),
        seen_as=("QDISC_DROP", "QDISC_DROP_GENERIC"),
        seen_at=_QDISC_AT,
    ),
    Cause(
        id="queueing.qdisc-loss",
        title="netem drops packets at random, as configured",
        why="""
The interface has a netem qdisc with a loss probability: somebody simulates a bad line. Often it was left over
from a test, or set by a chaos engineering tool (Chaos Mesh, Pumba, tc in a script). The kernel gives the same
reason as for a queue that is full; what tells the two apart is the qdisc that is configured on the interface.
""",
        confirm="""
$ tc -s qdisc show dev DEV
A line "netem ... loss 5%" is it.
$ tc qdisc show | grep netem
""",
        fix=(
            Fix("take it away, if it is the root qdisc", "tc qdisc del dev DEV root"),
            _SHOW,
        ),
        seen_as=("QDISC_DROP", "QDISC_DROP_GENERIC"),
        seen_at=("__dev_queue_xmit", "netem_enqueue"),
    ),
    Cause(
        id="queueing.congested",
        title="dropped early by active queue management, to slow the sender down",
        why="""
The queue is not full. But packets have been waiting in it for too long (CoDel, fq_codel, cake, PIE, dualpi2)
or it grows too long on average (RED), and dropping a packet now is the signal by which a sender notices
congestion. It keeps the delay low and is no fault. A sender that does not react, UDP without congestion
control, gets more of it.
""",
        confirm="""
$ tc -s qdisc show dev DEV
Counters such as "drop_overlimit", "ecn_mark", "count" and "lastcount" show the algorithm at work.
""",
        fix=(
            _SHOW,
            Step(
                "let TCP use ECN: then packets are marked instead of dropped",
                "sysctl -w net.ipv4.tcp_ecn=1",
                fits=fits.both(fits.tcp, fits.own),
            ),
            Fix("if the link is faster than the shaper believes, raise the rate"),
        ),
        reasons=(
            "QDISC_CONGESTED",
            "CAKE_FLOOD",
            "DUALPI2_STEP_DROP",
            "QDISC_DROP_CONGESTED",
            "QDISC_DROP_FLOOD_PROTECTION",
            "QDISC_DROP_L4S_STEP_NON_ECN",
        ),
        seen_as=("QDISC_DROP",),
        seen_at=("__dev_queue_xmit", "fq_codel_dequeue"),
    ),
    Cause(
        id="queueing.horizon",
        title="the packet's send time is too far in the future",
        why="""
The packet carries a departure time: from SO_TXTIME, from a BPF program, or from TCP's pacing. It lies beyond
the horizon of the fq qdisc (ten seconds by default), and fq drops such packets. A program used the wrong
clock (CLOCK_TAI or the wall clock instead of CLOCK_MONOTONIC), or sends much faster than its pacing rate for
seconds.
""",
        confirm="""
"horizon_drops" rises:
$ tc -s qdisc show dev DEV
""",
        fix=(
            Fix(
                "let fq send such packets at the horizon instead, where it is the root qdisc",
                "tc qdisc change dev DEV root fq horizon_cap",
            ),
            _SHOW,
            Fix("have the program use CLOCK_MONOTONIC for SO_TXTIME"),
        ),
        reasons=("FQ_HORIZON_LIMIT", "QDISC_DROP_HORIZON_LIMIT"),
        seen_at=("__dev_queue_xmit", "fq_enqueue"),
    ),
    Cause(
        id="queueing.qdisc-burst",
        title="too many packets wait to enter the queueing discipline",
        why="""
Several CPUs sent through the same qdisc at once. Their packets collect in a list before one CPU puts them all
into the qdisc, and that list was longer than net.core.qdisc_max_burst. The qdisc itself has not seen the
packet.
""",
        confirm="""
$ sysctl net.core.qdisc_max_burst
$ tc -s qdisc show dev DEV
""",
        fix=(
            Fix("allow a longer list", twice("net.core.qdisc_max_burst")),
            Fix("or spread the load over several transmit queues, where the device has them (qdisc mq)"),
        ),
        reasons=("QDISC_BURST_DROP",),
        seen_at=("__dev_queue_xmit", "__dev_xmit_skb"),
    ),
    Cause(
        id="queueing.tc-ingress",
        title="a tc filter, policer or BPF program dropped it on the way in",
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
        fix=(
            Fix(
                "find the filter by its counter, and the program",
                "tc -s filter show dev DEV ingress; bpftool net show dev DEV",
            ),
            Fix("where Cilium put it there, ask it why", "cilium-dbg monitor --type drop"),
            Step(
                "delete the filters there, if they are not wanted; a single one goes with `pref` and its number",
                "tc filter del dev DEV ingress",
                weakens="all that they stop may pass then",
            ),
        ),
        reasons=("TC_INGRESS",),
        seen_at=("__netif_receive_skb_core", "sch_handle_ingress", "tcf_classify"),
    ),
    Cause(
        id="queueing.tc-egress",
        title="a tc filter, policer or BPF program dropped it on the way out",
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
        fix=(
            Fix(
                "find the filter by its counter, and the program",
                "tc -s filter show dev DEV egress; bpftool net show dev DEV",
            ),
            Fix("where Cilium put it there, ask it why", "cilium-dbg monitor --type drop"),
            Step(
                "delete the filters there, if they are not wanted; a single one goes with `pref` and its number",
                "tc filter del dev DEV egress",
                weakens="all that they stop may pass then",
            ),
        ),
        reasons=("TC_EGRESS",),
        seen_at=("__dev_queue_xmit", "sch_handle_egress", "tcf_classify"),
    ),
    Cause(
        id="queueing.cpu-backlog",
        title="the input queue of a CPU is full",
        why="""
Packets that come through loopback, veth and other virtual devices, and those that RPS hands to another CPU,
wait in the input queue of a CPU. It held more than net.core.netdev_max_backlog packets (1000 by default), or
the flow limit decided that one flow takes more than its share of it. The CPU spends its time elsewhere, or
one CPU does the work of many.
""",
        confirm="""
One line for each CPU, in hexadecimal: processed, dropped, squeezed; the eleventh column is the flow limit:
$ cat /proc/net/softnet_stat
$ mpstat -P ALL 1
$ sysctl net.core.netdev_max_backlog
""",
        fix=(
            Fix("a longer queue takes larger bursts", twice("net.core.netdev_max_backlog")),
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
        title="sent through a device that is down or has no carrier",
        why="""
The route still pointed to the device, but it is not running: set down, its cable or its other end gone, or
being removed. A virtual device without a queue of its own (veth, bridge, tunnels) drops at once; with a queue
the qdisc is emptied.
""",
        confirm="""
$ ip link show DEV
$ ip -ts monitor link
$ ethtool DEV | grep 'Link detected'
""",
        fix=_CARRIER,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("__dev_queue_xmit", "__dev_direct_xmit", "__rtnl_unlock"),
    ),
)


def _device_is_off(drop: Drop, host: Host) -> Verdict | None:
    if kernel_word.place(drop) not in SENDING or not is_off(drop):
        return None
    said = kernel_word.certain(drop, Evidence("device at the drop", "it was down or had no carrier"))
    return replace(said, fix=_bring_up_what_is_below(drop, host))


def _bring_up_what_is_below(drop: Drop, host: Host) -> tuple[Fix, ...]:
    """Where the device itself is up. Empty where it is down, or nothing is known: what the page says helps then."""
    lower = host.lower(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)
    if lower is None:
        return ()
    others = of_catalogue((fix for fix in _CARRIER if fix.command != _BRING_UP), drop)
    if lower.name is not None:
        what = f"it is up, and what it is connected to or stands on is not: bring {lower.name} up"
        return (Fix(what, f"ip link set dev {quoted(lower.name)} up"), *others)
    other = (
        "it is up, and what it is connected to or stands on, in another network namespace, is not: its index there "
        "stands behind `@if`"
    )
    find = Fix(other, "ip -d link show DEV; ip -all netns exec ip link show")
    return (*of_catalogue((find,), drop), *others)


QUEUEING = Family("queueing", _CAUSES, in_order(("queueing.noqueue-down", _device_is_off)))
