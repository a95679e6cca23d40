"""Netfilter beyond rules: connection tracking, NAT, queues to programs, SYNPROXY, and other hooks."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step, twice
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

_SEEN_AS = ("NETFILTER_DROP",)

ENGINES = (
    Cause(
        id="netfilter.conntrack-full",
        title="the conntrack table is full",
        why="""
Every flow takes an entry in the conntrack table of its network namespace. When net.netfilter.nf_conntrack_max
entries are in use and none can be evicted early, the first packet of every new flow is dropped, while
existing connections go on. The log says "nf_conntrack: table full, dropping packet". Floods, port scans, very
many short UDP flows (DNS), and long timeouts (a TCP connection that nobody closes is kept for five days) fill
it.
""",
        confirm="""
$ sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max
$ conntrack -S
"drop" and "early_drop" rise.
$ dmesg | grep 'table full'
""",
        fix=(
            Fix(
                "enlarge the table (each entry takes about 320 bytes)",
                twice("net.netfilter.nf_conntrack_max"),
            ),
            Fix(
                "see who has the most entries",
                "conntrack -L | grep -oP 'src=\\K\\S+' | sort | uniq -c | sort -rn | head",
            ),
            Fix(
                "do not track what needs none: `notrack` in a chain of priority raw, or -j CT --notrack in the "
                "raw table"
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nf_hook_slow", "nf_conntrack_in"),
    ),
    Cause(
        id="netfilter.conntrack-invalid",
        title="conntrack finds the packet INVALID",
        why="""
Conntrack could not match the packet to a connection: a TCP segment outside the window it has seen, a flag
combination that cannot be, an ICMP error about an unknown flow, a bad checksum, a truncated header. Conntrack
itself lets such packets pass as INVALID; it is a rule ("ct state invalid drop") that drops them. Asymmetric
routing is the usual reason: the firewall sees one direction only, so that the sequence numbers look wrong.
NAT does not translate an INVALID packet either: a segment for another host or port then meets this host's own
sockets, which send a reset that ends a healthy connection.
""",
        confirm="""
$ conntrack -S
"invalid" rises. Have the kernel say why it found a packet invalid (it writes to the log, for all protocols):
$ sysctl -w net.netfilter.nf_conntrack_log_invalid=255
$ dmesg -w
""",
        fix=(
            Fix("route both directions of the flow through this host"),
            Step(
                "or have conntrack be liberal about TCP windows",
                "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1",
                fits=fits.tcp,
                weakens="forged segments outside the window can pass as well",
            ),
        ),
        seen_as=(*_SEEN_AS, "NO_SOCKET"),
        seen_at=("nf_hook_slow", "nft_do_chain", "tcp_v4_rcv", "tcp_v6_rcv"),
    ),
    Cause(
        id="netfilter.conntrack-clash",
        title="conntrack cannot add it: a clash, or no free port",
        why="""
A new connection is added to the table when its first packet leaves. If another packet of the same flow
got there first on another CPU, the entry clashes and the packet is dropped (insert_failed): two DNS queries
sent at once from the same port, A and AAAA, through NAT, are the classic, with a delay of five seconds as the
symptom. Or NAT found no free port for the connection, because all ports of the address are in use towards
that destination.
""",
        confirm="""
$ conntrack -S
"insert_failed" and "clash_resolve" rise.
$ conntrack -L --src-nat | wc -l
""",
        fix=(
            Step(
                "have the resolver use one query at a time: options single-request-reopen in /etc/resolv.conf",
                fits=fits.dns,
            ),
            Fix(
                "where it is translated: give the rule more addresses or ports, chosen at random "
                "(--random-fully of iptables, fully-random of nft)",
                "iptables-save -t nat | grep -E 'SNAT|MASQUERADE'; nft list ruleset | grep -E 'snat|masquerade'",
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nf_hook_slow", "__nf_conntrack_confirm", "nf_nat_inet_fn"),
    ),
    Cause(
        id="netfilter.nat-icmp",
        title="NAT refuses an ICMP redirect about a translated connection",
        why="""
A router on the network of this host sent a redirect: packets to that destination should go to another router.
The packet that it quotes belongs to a connection whose addresses this host translates, so that the redirect was
meant for this host and not for the host behind it. NAT drops it and passes it on to nobody. The connection goes
on through the router that sent the redirect; each of its packets takes one step more than it has to.
""",
        confirm="""
The redirect names the better router:
$ tcpdump -eni DEV 'icmp[0] = 5 or icmp6[0] = 137'
$ conntrack -L --any-nat
""",
        fix=(
            Fix("add a route through the router that the redirect names", "ip route add DADDR via GATEWAY"),
            Step(
                "or have the router that sends redirects send none",
                "sysctl -w net.ipv4.conf.all.send_redirects=0",
                fits=fits.ipv4,
                elsewhere=True,
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nf_hook_slow", "nf_nat_icmp_reply_translation", "nf_nat_icmpv6_reply_translation"),
    ),
    Cause(
        id="netfilter.queue-unheard",
        title="NFQUEUE: no program is bound, or the queue is full",
        why="""
A rule sends the packet to a program through NFQUEUE: an intrusion prevention system, a content filter. No
program is bound to that queue number, and the rule lacks "bypass"; or the program is too slow and its queue
of packets, or its netlink socket, is full. Then the packet is dropped.
""",
        confirm="""
Queue number, port id of the program, packets waiting, and the two columns of drops:
$ cat /proc/net/netfilter/nfnetlink_queue
$ nft list ruleset | grep queue
$ iptables-save | grep NFQUEUE
""",
        fix=(
            Fix("start the program that should be bound to the queue"),
            Fix(
                "see which program is bound, and how many packets wait",
                "cat /proc/net/netfilter/nfnetlink_queue",
            ),
            Fix(
                "if it is too slow: spread the load over several queues (fanout), each with a program of its own"
            ),
            Step(
                "or accept packets while no program is bound: bypass (nft), --queue-bypass (iptables)",
                weakens="nothing inspects them then",
            ),
        ),
        seen_as=(*_SEEN_AS, "NOT_SPECIFIED"),
        seen_at=("nf_queue", "nf_hook_slow", "nfqnl_enqueue_packet"),
    ),
    Cause(
        id="netfilter.queue-verdict",
        title="the program behind NFQUEUE drops it",
        why="""
A rule handed the packet to a program through NFQUEUE, and the program's verdict was drop: Suricata or Snort
in inline mode, a filter of an antivirus, OpenSnitch, a program with libnetfilter_queue. The kernel only
carries out the verdict; the program's own log has the reason.
""",
        confirm="""
Who listens (the port id is usually the process id):
$ cat /proc/net/netfilter/nfnetlink_queue
$ ss -nlp -f netlink | grep nfnl
""",
        fix=(
            Fix(
                "see the log of the program that is bound: its process id is the second number",
                "cat /proc/net/netfilter/nfnetlink_queue",
            ),
            Step(
                "for a test, delete the rule that sends to the queue",
                "nft -a list ruleset | grep queue; iptables-save | grep NFQUEUE",
                weakens="the program inspects nothing then",
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nf_reinject", "nfqnl_recv_verdict"),
    ),
    Cause(
        id="netfilter.synproxy",
        title="SYNPROXY refused the handshake",
        why="""
SYNPROXY answers SYNs on behalf of a server and lets a connection through when the client has completed the
handshake. It drops the last ACK when its cookie is wrong or too old, and SYNs whose TCP options it cannot
read. It needs TCP timestamps and "nf_conntrack_tcp_loose = 0"; without the latter conntrack picks up
connections midstream.
""",
        confirm="""
$ cat /proc/net/stat/synproxy
$ sysctl net.netfilter.nf_conntrack_tcp_loose net.ipv4.tcp_timestamps
""",
        fix=(
            Fix(
                "have conntrack not pick up connections midstream",
                "sysctl -w net.netfilter.nf_conntrack_tcp_loose=0",
            ),
            Fix("give SYNPROXY the options (mss, wscale, sack, timestamp) that the server really has"),
        ),
        seen_as=_SEEN_AS,
        seen_at=("ipv4_synproxy_hook", "synproxy_tg4", "nf_hook_slow"),
    ),
    Cause(
        id="netfilter.hook-other",
        title="another function at a netfilter hook drops it",
        why="""
Not only rules are attached to netfilter hooks: IPVS (load balancing), SELinux and Smack (packet labels), a
BPF program that is attached to a hook, br_netfilter, and other modules are as well. Any of them can return
drop, and the kernel gives the same reason for all.
""",
        confirm="""
$ nft list hooks
It names the functions and modules at each hook, with their priority.
$ ipvsadm -Ln --stats
$ bpftool link show
""",
        fix=(
            Fix("list the functions at the hook", "nft list hooks"),
            Fix("SELinux: look for denials of packets", "ausearch -m avc -ts recent | grep packet"),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nf_hook_slow", "ip_vs_in_hook", "br_handle_frame"),
    ),
)
