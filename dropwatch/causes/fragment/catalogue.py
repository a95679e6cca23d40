"""The causes of fragments: pieces that are missing, came twice, overlap, or find no memory."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step, twice
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

EXPIRED = ("ip6_frag_expire", "ip6frag_expire_frag_queue", "ip_expire", "nf_ct_frag6_expire")
_COUNTERS = "nstat -az IpReasmTimeout IpReasmFails IpReasmReqds IpReasmOKs Ip6ReasmTimeout Ip6ReasmFails"

CAUSES = (
    Cause(
        id="fragment.timeout",
        title="the missing fragments of this packet never arrived",
        why="""
The packet was sent in fragments, and not all of them arrived within the time for reassembly (30 seconds for
IPv4, 60 for IPv6). Everything that has arrived is dropped: one lost fragment costs the whole packet.
Firewalls that let only the first fragment pass (the others have no ports), load balancers that send the
fragments to different hosts, and ordinary loss under load are the reasons. The drop comes from a timer, long
after the packet was sent.
""",
        confirm="""
$ nstat -az IpReasmTimeout IpReasmFails IpReasmReqds Ip6ReasmTimeout
Do all fragments arrive? Same id, and an offset for each:
$ tcpdump -vni DEV 'ip[6:2] & 0x3fff != 0 or ip6[6] = 44' and host SADDR
""",
        fix=(
            Step(
                "see which fragments arrive",
                "tcpdump -vni DEV 'ip[6:2] & 0x3fff != 0 and host SADDR'",
                fits=fits.ipv4,
            ),
            Step(
                "see which fragments arrive", "tcpdump -vni DEV 'ip6[6] = 44 and host SADDR'", fits=fits.ipv6
            ),
            Fix("have firewalls and ACLs on the path accept fragments, which have no ports"),
            Step(
                "have the resolver or server send answers that fit: at most 1232 bytes (EDNS buffer size)",
                fits=fits.from_dns,
            ),
            Fix("or have the program send datagrams that fit the MTU"),
        ),
        seen_as=("FRAG_REASM_TIMEOUT", "NOT_SPECIFIED"),
        seen_at=(*EXPIRED, "inet_frag_destroy", "inet_frag_rbtree_purge"),
    ),
    Cause(
        id="fragment.duplicate",
        title="a fragment that has already arrived",
        why="""
The same fragment of the same packet arrived a second time, or arrived after the packet was reassembled.
Nothing is lost. But something duplicates packets in transit: a loop in the layer below, a bond in broadcast
mode, two paths, a mirror port that feeds back.
""",
        confirm="""
$ tcpdump -vni DEV 'ip[6:2] & 0x3fff != 0' and host SADDR
$ nstat -az IpReasmReqds IpReasmOKs
""",
        fix=(
            Step(
                "find out where the second copy comes from",
                "tcpdump -evni DEV 'ip[6:2] & 0x3fff != 0 and host SADDR'",
                fits=fits.ipv4,
            ),
            Step(
                "find out where the second copy comes from",
                "tcpdump -evni DEV 'ip6[6] = 44 and host SADDR'",
                fits=fits.ipv6,
            ),
        ),
        reasons=("DUP_FRAG",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=(
            *("ip_frag_queue", "ip_defrag", "ip6_frag_queue", "ipv6_frag_rcv", "nf_ct_frag6_gather"),
            "nf_ct_frag6_queue",
        ),
    ),
    Cause(
        id="fragment.overlap",
        title="overlapping fragments: the whole packet is refused",
        why="""
Two fragments cover the same bytes of a packet and are not identical. This was used to get data past
firewalls, so both IPv4 and IPv6 drop the whole packet (RFC 5722). Often it is no attack: a fast sender uses up
all 65536 packet ids within the 30 seconds for which fragments are kept, and begins again.
""",
        confirm="""
$ nstat -az IpExtReasmOverlaps IpReasmFails
$ tcpdump -vni DEV 'ip[6:2] & 0x3fff != 0' and host SADDR
""",
        fix=(
            Step(
                "fast senders: keep fragments for a shorter time, so that ids do not collide",
                "sysctl -w net.ipv4.ipfrag_time=3",
                fits=fits.ipv4,
            ),
            Step(
                "fast senders: keep fragments for a shorter time, so that ids do not collide",
                "sysctl -w net.ipv6.ip6frag_time=3",
                fits=fits.ipv6,
            ),
            Fix("or have the sender avoid fragmentation"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=(
            *("ip_frag_queue", "ip_defrag", "ip6_frag_queue", "ipv6_frag_rcv", "nf_ct_frag6_gather"),
            *("nf_ct_frag6_queue", "inet_frag_destroy", "inet_frag_rbtree_purge"),
        ),
    ),
    Cause(
        id="fragment.too-far",
        title="too many newer fragments overtook this packet",
        why="""
While the packet was incomplete, more than ipfrag_max_dist (64) fragments of other packets arrived from the
same sender. The kernel takes the old fragments for the rest of a packet that will never be complete, whose id
has been used again. Much fragmented traffic from one host with losses, or strong reordering, leads here.
""",
        confirm="""
$ sysctl net.ipv4.ipfrag_max_dist
$ nstat -az IpReasmFails IpReasmReqds IpReasmOKs
""",
        fix=(
            Fix("tolerate more reordering (0 disables the check)", "sysctl -w net.ipv4.ipfrag_max_dist=0"),
            Fix("see the reassembly counters", _COUNTERS),
        ),
        reasons=("FRAG_TOO_FAR",),
        seen_at=("ip_frag_reinit", "ip_defrag"),
    ),
    Cause(
        id="fragment.memory",
        title="the memory for fragment reassembly is used up",
        why="""
Incomplete packets may take up to ipfrag_high_thresh bytes for each network namespace (4 MiB by default);
above that no new packet is begun. Much fragmented traffic with losses fills it: each incomplete packet holds
its memory for 30 seconds. Conntrack's own IPv6 reassembly has a limit of its own.
""",
        confirm="""
"memory" of the FRAG line, to be compared with the limit:
$ cat /proc/net/sockstat /proc/net/sockstat6
$ sysctl net.ipv4.ipfrag_high_thresh net.ipv6.ip6frag_high_thresh net.netfilter.nf_conntrack_frag6_high_thresh
$ nstat -az IpReasmFails Ip6ReasmFails
""",
        fix=(
            Step(
                "allow more memory",
                twice("net.ipv4.ipfrag_high_thresh"),
                fits=fits.ipv4,
            ),
            Step(
                "allow more memory",
                twice("net.ipv6.ip6frag_high_thresh"),
                fits=fits.ipv6,
            ),
            Step("free it sooner", "sysctl -w net.ipv4.ipfrag_time=5", fits=fits.ipv4),
            Step("free it sooner", "sysctl -w net.ipv6.ip6frag_time=5", fits=fits.ipv6),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("ip_defrag", "ipv6_frag_rcv"),
    ),
)
