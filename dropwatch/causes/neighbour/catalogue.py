"""The causes of neighbours: ARP and IPv6 neighbour discovery, the way to the next hop's hardware address."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step, twice
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

UNANSWERED = ("arp_error_report", "ndisc_error_report", "neigh_invalidate")
FREEING = ("neigh_flush_dev", "neigh_destroy")  # of an entry that is out of the table: what waits in it goes

CAUSES = (
    Cause(
        id="neighbour.unresolved",
        title="the next hop does not reply to ARP or neighbour discovery",
        why="""
To send the packet, the kernel needs the MAC address of the next hop: of the destination itself if it is on
the same network, else of the gateway. It asked three times, a second apart, without a reply. Then everything
that waited is dropped and the senders get "no route to host". The next hop is off or its address is wrong, it
is on another VLAN or behind a port that does not forward, its firewall drops ARP, or the prefix length here
is wrong, so that a distant address is taken for a neighbour. The drop comes from a timer, about three seconds
after the packet was sent.
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
            Fix(
                "check that the next hop is really a neighbour: route and prefix length", "ip route get DADDR"
            ),
            Fix("see the entry", "ip neigh show dev DEV"),
            Step(
                "for a test, if the destination itself is the neighbour: add its MAC address by hand",
                "ip neigh replace DADDR lladdr MAC dev DEV",
            ),
        ),
        reasons=("NEIGH_FAILED",),
        seen_at=UNANSWERED,
    ),
    Cause(
        id="neighbour.answer-lost",
        title="the next hop's reply to ARP or neighbour discovery was dropped here",
        why="""
To send the packet, the kernel needs the MAC address of the next hop. It asked, the next hop replied, and this host
dropped the reply: a rule of its firewall (arptables, nft in the families arp, bridge, netdev, or icmpv6 type
nd-neighbor-advert in ip6 and inet), or the reply was not valid. Rules that drop all of ICMPv6 do that to IPv6. The
packets that waited are dropped some seconds later. whydrop says so where it saw the reply die; with a filter that does
not cover ARP and ICMPv6 it does not, and reports neighbour.unresolved.
""",
        confirm="""
The reply comes in, and the entry is FAILED or INCOMPLETE all the same:
$ tcpdump -eni DEV 'arp[6:2] = 2 or icmp6[0] = 136'
$ ip neigh show dev DEV
""",
        fix=(
            Fix(
                "accept replies: look for the rule that drops them",
                "nft list ruleset; arptables-save; ip6tables-save",
            ),
            Fix("see the drops of replies themselves", "whydrop -i DEV 'arp or icmp6'"),
        ),
        seen_as=("NEIGH_FAILED", "QUEUE_PURGE", "NOT_SPECIFIED"),
        seen_at=UNANSWERED,
    ),
    Cause(
        id="neighbour.not-asked",
        title="the next hop is not asked for its MAC address",
        why="""
To send the packet, the kernel needs the MAC address of the next hop, has no entry for it, and may not ask:
mcast_solicit (how often it asks all) and app_solicit (how often it asks a program in user space) are both 0
for this interface. Only entries that somebody made by hand, or a program keeps, are used then. That is done
on purpose: a network where ARP is forbidden, a routing daemon that fills the table, an overlay network.
""",
        confirm="""
$ ip neigh show dev DEV
$ sysctl net.ipv4.neigh.DEV.mcast_solicit net.ipv4.neigh.DEV.app_solicit
$ sysctl net.ipv6.neigh.DEV.mcast_solicit net.ipv6.neigh.DEV.app_solicit
""",
        fix=(
            Step(
                "have the kernel ask, three times as by default",
                "sysctl -w net.ipv4.neigh.DEV.mcast_solicit=3",
                fits=fits.ipv4,
            ),
            Step(
                "have the kernel ask, three times as by default",
                "sysctl -w net.ipv6.neigh.DEV.mcast_solicit=3",
                fits=fits.ipv6,
            ),
            Fix("or see why the program that keeps the entries has none for it", "ip neigh show dev DEV"),
        ),
        seen_as=("NEIGH_FAILED",),
        seen_at=("__neigh_event_send",),
    ),
    Cause(
        id="neighbour.queue-full",
        title="too many packets wait for the next hop's MAC address",
        why="""
While the kernel asks for the MAC address of the next hop, packets wait in a queue of unres_qlen_bytes
(about 200 kB, some hundred packets). It is full, so the oldest packet goes. A burst at the start of a
conversation does that (UDP streams, many connections at once); the rest is sent as soon as the answer comes.
If it goes on, the next hop does not reply at all.
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
            Fix("if it goes on, the next hop does not reply: see its entry", "ip neigh show dev DEV"),
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
            Fix("see what fills the table", "ip neigh show nud all"),
        ),
        seen_as=("NEIGH_CREATEFAIL",),
        seen_at=("ip_finish_output2", "ip6_finish_output2"),
    ),
    Cause(
        id="neighbour.deleted",
        title="the neighbour entry was deleted while packets waited",
        why="""
The kernel had asked for the MAC address of the next hop, and packets waited for the answer. Before it
came, or the time for it was over, the entry was taken out of the table with all that waited: somebody deleted
or flushed it (a routing daemon, a script, a network manager), the interface went down or lost its carrier, or
its own MAC address changed. The next packet makes a new entry and asks again.
""",
        confirm="""
$ ip -ts monitor neigh link address
$ ip -d link show DEV
""",
        fix=(
            Fix(
                "watch what deletes entries or sets the interface down",
                "ip -ts monitor neigh link address",
            ),
            Fix("see whether the next hop replies at all", "ip neigh show dev DEV"),
        ),
        seen_as=("NEIGH_FAILED", "QUEUE_PURGE", "NOT_SPECIFIED"),
        seen_at=(*UNANSWERED, *FREEING),
    ),
    Cause(
        id="neighbour.entry-dead",
        title="the neighbour entry was deleted while it waited",
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
                "watch what changes interfaces or neighbours",
                "ip -ts monitor neigh link address",
            ),
        ),
        scenario="The entry has to be taken away on another CPU in the moment in which the packet has found it.",
        reasons=("NEIGH_DEAD",),
        seen_at=("__neigh_event_send",),
    ),
)
