"""The causes of qdiscs: what waits to leave through an interface."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step, twice
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

_SHOW = Fix("see which qdisc drops, and how full it is", "tc -s qdisc show dev DEV")
_QDISC_AT = ("__dev_queue_xmit", "__dev_xmit_skb", "fq_codel_dequeue", "fq_codel_enqueue")

QDISCS = (
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
                "if it is a shaper (tbf, htb, cake) and the line can take more, raise its rate with `tc "
                "qdisc change` "
                "or `tc class change`, and repeat its other settings"
            ),
            Step(
                "if it is a plain queue (pfifo, bfifo, pfifo_fast), share it fairly and keep the delay low; "
                "this deletes shapers and classes",
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
The interface has a netem qdisc with a loss probability: it simulates a bad line. Often it is left over from a
test, or set by a chaos engineering tool (Chaos Mesh, Pumba, tc in a script). The kernel gives the same reason
as for a queue that is full; what tells the two apart is the qdisc that is configured on the interface.
""",
        confirm="""
$ tc -s qdisc show dev DEV
A line "netem ... loss 5%" is it.
$ tc qdisc show | grep netem
""",
        fix=(
            Fix("delete it, if it is the root qdisc", "tc qdisc del dev DEV root"),
            _SHOW,
        ),
        seen_as=("QDISC_DROP", "QDISC_DROP_GENERIC"),
        seen_at=("__dev_queue_xmit", "netem_enqueue"),
    ),
    Cause(
        id="queueing.congested",
        title="dropped early by the queue, to slow the sender down",
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
                "have TCP use ECN: packets are then marked instead of dropped",
                "sysctl -w net.ipv4.tcp_ecn=1",
                fits=fits.both(fits.tcp, fits.own),
            ),
            Fix("if the link is faster than the rate of the shaper, raise the rate"),
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
                "have fq send such packets at the horizon instead, if it is the root qdisc",
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
        scenario="Several CPUs have to send at once, and the test kernels run on one.",
        reasons=("QDISC_BURST_DROP",),
        seen_at=("__dev_queue_xmit", "__dev_xmit_skb"),
    ),
    Cause(
        id="queueing.no-class",
        title="the shaper has no class for the packet",
        why="""
The qdisc (htb, hfsc, drr, qfq, ets) sorts packets into classes: by a filter, by the packet's priority, else into
its default class. No filter led this packet to a class that exists, and the default class is missing, or none is
set. hfsc, drr and qfq drop such packets at once. htb sends them past all its classes, through a queue of
direct_qlen packets, and drops them when that one is full. A script that added the qdisc but not all of its
classes, and a class that was deleted later, lead here.
""",
        confirm="""
"default" of the qdisc is a class that "tc class show" does not list; "direct_packets_stat" of htb rises:
$ tc -s qdisc show dev DEV
$ tc -s class show dev DEV
$ tc filter show dev DEV
""",
        fix=(
            Fix(
                "see which classes there are, and which one is the default",
                "tc class show dev DEV; tc qdisc show dev DEV",
            ),
            Fix("add the class that is missing, or make one that exists the default"),
        ),
        seen_as=("QDISC_DROP", "NOT_SPECIFIED"),
        seen_at=("__dev_queue_xmit", "__dev_xmit_skb"),
    ),
    Cause(
        id="queueing.burst-too-small",
        title="the packet is larger than the shaper's burst",
        why="""
The tbf qdisc sends a packet when it has saved up as many bytes as the packet has, and saves up no more than its
burst. A packet that is larger never leaves, so tbf drops it, however little is sent. Small packets pass, large
ones and those that TCP hands over in one piece (GSO) do not.
""",
        confirm="""
"burst" is smaller than the MTU and its link header, or smaller than what GSO hands over:
$ tc -s qdisc show dev DEV
$ ip -d link show DEV
""",
        fix=(
            Fix("see its burst", "tc qdisc show dev DEV"),
            Fix(
                "give it a burst in which the largest packets fit: `tc qdisc change` with all its other settings"
            ),
        ),
        seen_as=("QDISC_DROP", "NOT_SPECIFIED"),
        seen_at=("__dev_queue_xmit", "tbf_enqueue"),
    ),
)
