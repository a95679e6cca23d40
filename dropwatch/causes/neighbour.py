"""Neighbours: ARP and IPv6 neighbour discovery, the way to the next hop's hardware address."""

from dataclasses import replace

from dropwatch.causes import fits, kernel_word
from dropwatch.causes.advice import Step, twice
from dropwatch.causes.cause import Cause
from dropwatch.causes.family import Family, in_order
from dropwatch.causes.when import NONE_GIVEN, when
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict

_UNANSWERED = ("arp_error_report", "ndisc_error_report", "neigh_invalidate")
_FREEING = ("neigh_flush_dev", "neigh_destroy")  # of an entry that is out of the table: what waits in it goes
# The callers of both in net/core/neighbour.c, the first that fits: a deletion marks the entry as failed, too.
_TAKEN_BY = {
    "neigh_timer_handler": None,
    "neigh_carrier_down": "the interface lost its carrier",
    "neigh_ifdown": "the interface went down",
    "neigh_changeaddr": "the hardware address of the interface changed",
    "neigh_delete": "the entry was deleted",
    "arp_invalidate": "the entry was deleted",
    "__neigh_update": "the entry was set to failed",
    "neigh_flush_dev": "the entries of the interface were flushed",
    "neigh_destroy": "the entry was taken out of the table",
}

_CAUSES = (
    Cause(
        id="neighbour.unresolved",
        title="the next hop does not answer ARP or neighbour discovery",
        why="""
To send the packet, the kernel needs the hardware address of the next hop: of the destination itself if it is
on the same network, else of the gateway. It asked three times, a second apart, and nobody answered. Then
everything that waited is dropped and the senders get "no route to host". The next hop is off or its address
is wrong, it is on another VLAN or behind a port that does not forward, its firewall drops ARP, or the prefix
length here is wrong, so that a distant address is taken for a neighbour. The drop comes from a timer, about
three seconds after the packet was sent.
""",
        confirm="""
The entry is FAILED or INCOMPLETE:
$ ip neigh show DADDR
$ ip route get DADDR
Does the question leave, and does an answer come?
$ tcpdump -eni DEV 'arp or icmp6[0] = 135 or icmp6[0] = 136'
$ arping -I DEV DADDR
""",
        fix=(
            Fix("is the next hop really a neighbour? See route and prefix", "ip route get DADDR"),
            Fix("look at the entry", "ip neigh show dev DEV"),
            Step(
                "for a test, where the destination itself is the neighbour: enter its hardware address by hand",
                "ip neigh replace DADDR lladdr MAC dev DEV",
            ),
        ),
        reasons=("NEIGH_FAILED",),
        seen_at=_UNANSWERED,
    ),
    Cause(
        id="neighbour.not-asked",
        title="the next hop's hardware address is not asked for: the number of questions is 0",
        why="""
To send the packet, the kernel needs the hardware address of the next hop, has no entry for it, and may not ask:
mcast_solicit (how often it asks all) and app_solicit (how often it asks a program in user space) are both 0 for
this interface. Only entries that somebody made by hand, or a program keeps, are used then. Somebody has set it
so on purpose: a network where ARP is forbidden, a routing daemon that fills the table, an overlay network.
""",
        confirm="""
$ ip neigh show dev DEV
$ sysctl net.ipv4.neigh.DEV.mcast_solicit net.ipv4.neigh.DEV.app_solicit
$ sysctl net.ipv6.neigh.DEV.mcast_solicit net.ipv6.neigh.DEV.app_solicit
""",
        fix=(
            Step(
                "have the kernel ask, three times as it does by default",
                "sysctl -w net.ipv4.neigh.DEV.mcast_solicit=3",
                fits=fits.ipv4,
            ),
            Step(
                "have the kernel ask, three times as it does by default",
                "sysctl -w net.ipv6.neigh.DEV.mcast_solicit=3",
                fits=fits.ipv6,
            ),
            Fix("or see why whatever keeps the entries has none for it", "ip neigh show dev DEV"),
        ),
        seen_as=("NEIGH_FAILED",),
        seen_at=("__neigh_event_send",),
    ),
    Cause(
        id="neighbour.queue-full",
        title="too many packets wait for the next hop's MAC address",
        why="""
While the kernel asks for the hardware address of the next hop, packets wait in a queue of unres_qlen_bytes
(about 200 kB, some hundred packets). It is full, so the oldest packet goes. A burst at the start of a
conversation does that (UDP streams, many connections at once); the rest is sent as soon as the answer comes.
If it goes on, the next hop does not answer at all.
""",
        confirm="""
$ ip neigh show dev DEV
$ cat /proc/net/stat/arp_cache
"unresolved_discards" rises.
$ sysctl net.ipv4.neigh.DEV.unres_qlen_bytes
""",
        fix=(
            Step(
                "if bursts are normal, make the queue larger",
                twice("net.ipv4.neigh.DEV.unres_qlen_bytes"),
                fits=fits.ipv4,
            ),
            Step(
                "if bursts are normal, make the queue larger",
                twice("net.ipv6.neigh.DEV.unres_qlen_bytes"),
                fits=fits.ipv6,
            ),
            Fix("if it goes on, the next hop does not answer: see its entry", "ip neigh show dev DEV"),
        ),
        reasons=("NEIGH_QUEUEFULL",),
        seen_at=("__neigh_event_send",),
    ),
    Cause(
        id="neighbour.table-full",
        title="the neighbour table is full: no entry for the next hop",
        why="""
Each neighbour that this host talks to takes an entry. When gc_thresh3 entries are in use (1024 by default,
for all interfaces and containers together) and none can be thrown out, no new one is made and packets to new
neighbours are dropped. Large flat networks, container hosts, and scans of whole subnets (by us, or through us
as a router) get there. The log says "neighbour: arp_cache: neighbor table overflow!".
""",
        confirm="""
$ cat /proc/net/stat/arp_cache
$ cat /proc/net/stat/ndisc_cache
"table_fulls" rises.
$ ip neigh show nud all | wc -l
The limit exists in the first network namespace only, and counts the entries of all:
$ sysctl net.ipv4.neigh.default.gc_thresh3 net.ipv6.neigh.default.gc_thresh3
""",
        fix=(
            Step(
                "allow more entries, for all namespaces together",
                twice("net.ipv4.neigh.default.gc_thresh3"),
                fits=fits.ipv4,
            ),
            Step(
                "allow more entries, for all namespaces together",
                twice("net.ipv6.neigh.default.gc_thresh3"),
                fits=fits.ipv6,
            ),
            Fix("see who fills the table", "ip neigh show nud all"),
        ),
        seen_as=("NEIGH_CREATEFAIL",),
        seen_at=("ip_finish_output2", "ip6_finish_output2"),
    ),
    Cause(
        id="neighbour.deleted",
        title="the neighbour entry was deleted while packets waited for the answer",
        why="""
The kernel had asked for the hardware address of the next hop, and packets waited for the answer. Before it
came, or the time for it was over, the entry was taken out of the table with all that waited: somebody deleted
or flushed it (a routing daemon, a script, a network manager), the interface went down or lost its carrier, or
its own hardware address changed. The next packet makes a new entry and asks again.
""",
        confirm="""
$ ip -ts monitor neigh link address
$ ip -d link show DEV
""",
        fix=(
            Fix(
                "see what deletes entries or takes the interface down at that moment",
                "ip -ts monitor neigh link address",
            ),
            Fix("does the next hop answer at all?", "ip neigh show dev DEV"),
        ),
        seen_as=("NEIGH_FAILED", "QUEUE_PURGE", "NOT_SPECIFIED"),
        seen_at=(*_UNANSWERED, *_FREEING),
    ),
    Cause(
        id="neighbour.entry-dead",
        title="the neighbour entry was deleted while the packet waited for it",
        why="""
A packet had found the entry of its next hop, and before it could be used the entry was taken out of the
table: the interface went down, its address changed, somebody flushed the table, or the garbage collector was
faster. The next packet makes a new entry. Many of them mean that something keeps flushing neighbours.
""",
        confirm="""
$ ip monitor neigh link address
""",
        fix=(
            Fix(
                "see what changes interfaces or neighbours at that moment",
                "ip -ts monitor neigh link address",
            ),
        ),
        reasons=("NEIGH_DEAD",),
        seen_at=("__neigh_event_send",),
    ),
)


def _deleted(drop: Drop, host: Host) -> Verdict | None:
    """Not the timer, which ends the wait for an answer, has freed it."""
    freed = kernel_word.gave_no_reason(drop) or drop.reason in {"QUEUE_PURGE", "NEIGH_FAILED"}
    if not freed or kernel_word.place(drop) not in (*_UNANSWERED, *_FREEING):
        return None
    way = kernel_word.way(drop)
    what = next((words for caller, words in _TAKEN_BY.items() if caller in way), None)
    if what is None:
        return None
    who = f" by {drop.task.comm} (pid {drop.task.pid})" if drop.task is not None else ""
    return kernel_word.certain(drop, Evidence("stack", f"{what} while the packet waited for an answer{who}"))


_silent = when(
    reasons=(NONE_GIVEN, "QUEUE_PURGE"),
    at=_UNANSWERED,
    fact="this function only runs when the next hop has not answered",
)


def _unresolved(drop: Drop, host: Host) -> Verdict | None:
    """Nobody has answered; whether the question has left is another question."""
    told = drop.reason == "NEIGH_FAILED" and kernel_word.place(drop) in _UNANSWERED
    verdict = kernel_word.certain(drop) if told else _silent(drop, host)
    if verdict is None or drop.packet.family != 4:
        return verdict
    firewalls = host.firewalls(drop.event.netns, drop.event.monotonic_ns)
    tables = (
        [table for table in (*firewalls.nft, *firewalls.legacy) if table.startswith("arp ")]
        if firewalls
        else []
    )
    if not tables:
        return verdict
    fact = f"this namespace filters ARP ({', '.join(tables)}): its own rules may have kept question or answer"
    return replace(verdict, confidence="likely", evidence=(*verdict.evidence, Evidence("netlink", fact)))


NEIGHBOUR = Family(
    "neighbour",
    _CAUSES,
    in_order(
        ("neighbour.deleted", _deleted),
        (
            "neighbour.not-asked",
            when(
                reasons=("NEIGH_FAILED",),
                at=("__neigh_event_send",),
                fact="the function that begins to ask; it gives up at once only where it may not ask at all",
            ),
        ),
        ("neighbour.unresolved", _unresolved),
        (
            "neighbour.table-full",
            when(
                reasons=("NEIGH_CREATEFAIL",),
                confidence="likely",
                fact="the usual reason for it; memory that could not be allocated is the other",
            ),
        ),
    ),
)
