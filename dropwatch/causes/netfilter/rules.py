"""Netfilter: rules and chain policies of nftables, iptables, ebtables and arptables."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

_SEEN_AS = ("NETFILTER_DROP",)

RULES = (
    Cause(
        id="netfilter.iptables-rule",
        title="an iptables or ip6tables rule drops it",
        why="""
The packet walked through the chains of a legacy iptables table and matched a rule with the target DROP. The
function nf_hook_slow() then freed it; on the OUTPUT hook the sending program gets EPERM. The rule can be in
an unexpected place: in a chain of Docker, of fail2ban or of a distribution's firewall, in another table (raw,
mangle), or in the other implementation (iptables-nft and iptables-legacy keep their rules apart, and both
apply). A rule of iptables-nft is an nftables rule to the kernel, and is shown as one here.
""",
        confirm="""
The packet counter of the rule rises with each such packet:
$ iptables-legacy-save -c
$ ip6tables-legacy-save -c
$ iptables-legacy -t filter -vnL --line-numbers
""",
        fix=(
            Fix(
                "watch the counters while the packets are sent",
                "watch -d -n1 iptables-legacy -vnL --line-numbers",
            ),
            Step(
                "accept the flow before the rule that drops it",
                "iptables-legacy -I CHAIN -p PROTO -s SADDR -d DADDR --dport DPORT -j ACCEPT",
                fits=fits.to_a_service,
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nf_hook_slow", "ipt_do_table", "ip6t_do_table"),
    ),
    Cause(
        id="netfilter.iptables-reject",
        title="an iptables or ip6tables rule rejects it",
        why="""
The rule's target is REJECT: the packet is dropped and the sender is told, by ICMP (port unreachable, or
"administratively prohibited") or by a TCP reset. For the sender it looks as if the port were closed or the
host unreachable, although the service runs.
""",
        confirm="""
$ iptables-legacy-save -c | grep REJECT
$ tcpdump -ni DEV 'icmp[icmptype] = icmp-unreach or tcp[tcpflags] & tcp-rst != 0'
""",
        fix=(
            Fix(
                "watch the counters while the packets are sent",
                "watch -d -n1 iptables-legacy -vnL --line-numbers",
            ),
            Step(
                "accept the flow before the rule that rejects it",
                "iptables-legacy -I CHAIN -p PROTO -s SADDR -d DADDR --dport DPORT -j ACCEPT",
                fits=fits.to_a_service,
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nf_hook_slow", "reject_tg"),
    ),
    Cause(
        id="netfilter.nft-rule",
        title="an nftables rule drops it",
        why="""
A rule of an nftables chain ended with the verdict drop: directly, through a jump or goto, or from a map.
Rules of iptables-nft, firewalld, Docker and Kubernetes are nftables rules as well, and are shown as their own
tool lists them. Several base chains can be attached to one hook: they run one after the other by priority; an
accept in one does not end the others, a drop is final.
""",
        confirm="""
$ nft -a list ruleset
$ nft list hooks
Watch which rules a packet meets (this adds a rule of its own, remove it afterwards):
$ nft add table inet look
$ nft 'add chain inet look pre { type filter hook prerouting priority -301; }'
$ nft add rule inet look pre ip saddr SADDR meta nftrace set 1
$ nft monitor trace
$ nft delete table inet look
""",
        fix=(
            Fix("find the rule with its handle", "nft -a list ruleset"),
            Step(
                "accept the flow before that rule",
                "nft insert rule inet TABLE CHAIN ip saddr SADDR ip daddr DADDR PROTO dport DPORT accept",
                fits=fits.to_a_service,
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nft_do_chain", "nf_hook_slow"),
    ),
    Cause(
        id="netfilter.nft-reject",
        title="an nftables rule rejects it",
        why="""
A rule of an nftables chain ended with a reject statement: the packet is dropped and the sender is told, by
ICMP or by a TCP reset. For the sender it looks as if the port were closed or the host unreachable, although
the service runs. firewalld rejects by default what no service or port allows.
""",
        confirm="""
$ nft -a list ruleset | grep reject
$ tcpdump -ni DEV 'icmp[icmptype] = icmp-unreach or tcp[tcpflags] & tcp-rst != 0'
""",
        fix=(
            Fix("find the rule with its handle", "nft -a list ruleset"),
            Step("with firewalld", "firewall-cmd --add-port=DPORT/PROTO", fits=fits.to_a_service),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nft_do_chain", "nf_hook_slow"),
    ),
    Cause(
        id="netfilter.chain-policy",
        title="no rule accepts it, and the chain's policy is drop",
        why="""
The packet reached the end of a base chain without a verdict from any rule, and the policy of the chain is
drop. Docker sets the policy of FORWARD to DROP, distributions that of INPUT. A rule that was expected to
accept the packet does not match it: another interface, another source, a port after NAT, a missing "ct state
established".
""",
        confirm="""
$ nft list chains
$ iptables-save -c | grep '^:'
The counter behind the policy rises with each such packet.
""",
        fix=(
            Fix("see the chains and their policies", "nft list chains; iptables-save -c | grep '^:'"),
            Step(
                "add a rule that accepts the flow, nftables",
                "nft add rule inet TABLE CHAIN ip saddr SADDR ip daddr DADDR PROTO dport DPORT accept",
                fits=fits.to_a_service,
            ),
            Step(
                "add a rule that accepts the flow, iptables",
                "iptables -A CHAIN -p PROTO -s SADDR -d DADDR --dport DPORT -j ACCEPT",
                fits=fits.to_a_service,
            ),
            Step(
                "packets to Docker containers: use its chain for your own rules",
                "iptables -I DOCKER-USER -p PROTO -s SADDR -d DADDR --dport DPORT -j ACCEPT",
                fits=fits.both(fits.to_a_service, fits.forwarded),
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nf_hook_slow", "nft_do_chain"),
    ),
    Cause(
        id="netfilter.ebtables-rule",
        title="an ebtables rule on a bridge drops it",
        why="""
ebtables looks at the frames of a bridge, below IP: by MAC address, ethertype, bridge port. Virtualisation
tools use it to keep a guest from using somebody else's MAC or IP address (libvirt's clean-traffic filter,
OpenStack). Its rules do not show up in iptables or nftables listings.
""",
        confirm="""
$ ebtables-legacy -t filter -L --Lc --Ln
$ ebtables-legacy -t nat -L --Lc --Ln
$ virsh nwfilter-list
""",
        fix=(
            Fix("find the rule by its counter", "ebtables-legacy -L --Lc --Ln"),
            Fix("libvirt: look at the filter of the interface", "virsh dumpxml GUEST | grep -A3 filterref"),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nf_hook_slow", "br_handle_frame", "ebt_do_table"),
    ),
    Cause(
        id="netfilter.arptables-rule",
        title="an arptables rule drops the ARP packet",
        why="""
arptables filters ARP. Load balancers with direct routing use it so that the real servers do not answer ARP
for the virtual address, and anti-spoofing setups so that nobody answers for others. A rule that drops too
much makes a host unreachable although everything above ARP is fine.
""",
        confirm="""
$ arptables-legacy -L -n -v
$ arptables -L -n -v
""",
        fix=(Fix("find the rule by its counter", "arptables -L -n -v --line-numbers"),),
        seen_as=_SEEN_AS,
        seen_at=("nf_hook_slow", "arpt_do_table"),
    ),
    Cause(
        id="netfilter.rpfilter-match",
        title="a firewall rule's reverse-path check fails",
        why="""
The rule does what the sysctl rp_filter does, but in the firewall: "-m rpfilter --invert -j DROP" in iptables,
"fib saddr . iif oif missing drop" in nftables. firewalld has such a rule for IPv6 by default (IPv6_rpfilter).
The route back to the packet's source does not lead out of the interface on which it came: asymmetric routing,
a second uplink, a VPN with policy routing.
""",
        confirm="""
$ iptables-save | grep rpfilter
$ nft list ruleset | grep 'fib saddr'
$ ip route get SADDR
$ ip rule
""",
        fix=(
            Fix("see where the route back leads", "ip route get SADDR"),
            Fix("make the route symmetric: a route for the source through the interface it came in on"),
            Step(
                "or with firewalld: IPv6_rpfilter=loose in /etc/firewalld/firewalld.conf",
                "firewall-cmd --reload",
                fits=fits.ipv6,
                weakens="forged sources are accepted if there is any route to them",
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=("nf_hook_slow", "nft_do_chain"),
    ),
)
