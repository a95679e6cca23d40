"""IPsec, on the way out: from the policy that wants protection to the packet that is too big for it."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

OUTPUT = (
    Cause(
        id="ipsec.out-no-state",
        title="an IPsec policy requires an SA, and there is none",
        why="""
An outbound policy covers the packet and no SA fits its template. The kernel asks the IKE daemon for one
(acquire) and meanwhile drops packets in a blackhole route, or queues a few of them, depending on
net.core.xfrm_larval_drop. The program sees a successful send(). This goes on for as long as no daemon
answers, or its negotiation fails. An SA that exists but has another reqid, mode or endpoints than the
template does not count.
""",
        confirm="""
$ ip xfrm policy list dir out
$ ip xfrm state list nokeys
An SA with SPI zero is the placeholder of an unanswered request.
$ ip xfrm monitor acquire
$ cat /proc/net/xfrm_stat
""",
        fix=(
            Fix("see why the IKE daemon sets up no SA", "swanctl --log"),
            Fix("start the negotiation by hand", "swanctl --initiate --child CHILD"),
            Fix(
                "SAs made by hand: reqid, mode and addresses must be those of the template",
                "ip xfrm policy list dir out",
            ),
        ),
        seen_as=("NOT_SPECIFIED", "QUEUE_PURGE", "XFRM_POLICY"),
        seen_at=(
            "dst_discard_out",
            "ip_forward",
            "ip6_forward",
            "xfrmi_xmit",
            "xfrm_lookup_with_ifid",
            "xdst_queue_output",
            "xfrm_policy_queue_process",
            "xfrm_policy_kill",
        ),
    ),
    Cause(
        id="ipsec.out-expired",
        title="the outbound SA has reached its hard limit",
        why="""
The SA for the packet has reached its hard limit of time, bytes or packets, and no new one was set up at the
soft limit: the IKE daemon is not running, cannot reach the peer, or does not know the SA. The kernel counts
XfrmOutStateExpired.
""",
        confirm="""
$ ip -s xfrm state list
$ ip xfrm monitor expire
$ cat /proc/net/xfrm_stat
""",
        fix=(
            Fix("have the IKE daemon rekey now", "swanctl --rekey --child CHILD"),
            Fix("SAs made by hand: delete and add them again, without a limit or with a larger one"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("xfrm_output_resume", "xfrm_output_one"),
    ),
    Cause(
        id="ipsec.out-seq-overflow",
        title="the outbound SA has used up its sequence numbers",
        why="""
Without extended sequence numbers an SA can protect 2^32 packets; then the counter would start again, which
would defeat the replay protection, so the kernel refuses (XfrmOutStateSeqError). At ten gigabits per second
that is less than two hours of full-sized packets, and five minutes of the smallest. With an IKE daemon a
rekey should have come long before.
""",
        confirm="""
$ ip -s xfrm state list
"oseq" near 0xffffffff means that the numbers are used up.
$ cat /proc/net/xfrm_stat
""",
        fix=(
            Fix("set up a new SA now", "swanctl --rekey --child CHILD"),
            Fix("use extended sequence numbers: ESN in the proposal (esp_proposals = aes128gcm16-esn)"),
            Fix("rekey earlier: rekey_packets in swanctl.conf"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("xfrm_output_resume", "xfrm_output_one"),
    ),
    Cause(
        id="ipsec.out-mtu",
        title="too big once IPsec is added, and it may not be fragmented",
        why="""
IPsec makes a packet longer: by 50 to 80 bytes in tunnel mode, more in UDP. If it then exceeds the MTU of the
path to the peer and may not be fragmented (DF, or IPv6), the kernel drops it and tells the sender the size
that would fit. If that ICMP message is filtered, connections hang as soon as they send full packets: the path
MTU black hole.
""",
        confirm="""
$ ip route get DADDR
$ ping -M do -s 1400 DADDR
$ nstat -az IpFragFails Ip6FragFails
""",
        fix=(
            Step(
                "have TCP use smaller segments through the tunnel, in new connections",
                "iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
                fits=fits.both(fits.tcp, fits.came_in),
            ),
            Step("make the program send smaller packets", fits=fits.not_tcp),
            Fix(
                "or lower the MTU of the route through the tunnel",
                "ip route change DADDR via GATEWAY mtu 1400",
            ),
            Fix("have every firewall on the path accept ICMP fragmentation needed and ICMPv6 packet too big"),
        ),
        seen_as=("NOT_SPECIFIED", "PKT_TOO_BIG"),
        seen_at=(
            "xfrm_output",
            "xfrm_output_resume",
            "__xfrm6_output",
            "ip_forward",
            "ip6_forward",
            "xfrmi_xmit",
        ),
    ),
)
