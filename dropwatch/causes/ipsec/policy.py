"""IPsec policy: what may pass in clear text, what must be protected, and by which SA."""

from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

_CHECKED_AT = (
    "udp_rcv",
    "udpv6_rcv",
    "__udp4_lib_rcv",
    "__udp6_lib_rcv",
    "icmp_rcv",
    "ip_forward",
    "ip6_forward",
    "ip_protocol_deliver_rcu",
    "ip6_protocol_deliver_rcu",
    "raw_rcv",
    "tcp_v4_rcv",
    "tcp_v6_rcv",
    "udp_queue_rcv_one_skb",
    "udpv6_queue_rcv_one_skb",
)
_POLICIES = "ip xfrm policy list"
_SEEN_AS = ("XFRM_POLICY", "NOT_SPECIFIED")

# The first two tell more than that there was no policy, and so are asked before it.
POLICY = (
    Cause(
        id="ipsec.interface-mismatch",
        title="the SA or policy has another interface's if_id",
        why="""
SAs and policies can be bound to an xfrm interface by its if_id. A packet of an SA with if_id 42 appears on
the interface with if_id 42, and only policies with that if_id are for it. If no interface has the SA's if_id,
or policy and SA have different ones, the packet finds no policy (XfrmInNoPols) or no SA on the way out.
""",
        confirm="""
$ ip -d link show type xfrm
$ ip xfrm state list nokeys
$ ip xfrm policy list
The if_id must be the same in all three.
""",
        fix=(
            Fix("add an interface with the SA's if_id", "ip link add ipsec0 type xfrm dev DEV if_id IFID"),
            Fix("or correct if_id_in and if_id_out in swanctl.conf, and set up the connection again"),
        ),
        seen_as=_SEEN_AS,
        seen_at=(*_CHECKED_AT, "xfrm_input", "xfrmi_rcv_cb", "xfrmi_xmit"),
    ),
    Cause(
        id="ipsec.mark-mismatch",
        title="the packet lacks the mark of the SA or policy",
        why="""
Only packets whose mark, under the mask, is the same find an SA or policy with a mark. An ESP packet must have
the mark before IPsec sees it, so it must be set in a PREROUTING chain, or by the VTI interface that it
belongs to. If the rule that sets it is missing, is for another interface, or was flushed by a firewall
reload, the kernel finds no SA (XfrmInNoStates) or no policy.
""",
        confirm="""
$ ip xfrm state list nokeys
$ ip xfrm policy list
The line "mark" shows value and mask. What sets marks here:
$ nft list ruleset | grep 'mark set'
$ iptables-save -t mangle
""",
        fix=(
            Fix(
                "set the mark before IPsec looks for the SA",
                "iptables -t mangle -A PREROUTING -p PROTO -s SADDR -d DADDR -j MARK --set-mark MARKVALUE",
            ),
            Fix("or set up the SA without a mark: mark_in in swanctl.conf"),
        ),
        seen_at=("xfrm_input",),
    ),
    Cause(
        id="ipsec.selector-mismatch",
        title="the decrypted packet is outside its SA's selector",
        why="""
An SA can have a selector: the addresses, protocol and ports that it may carry. The packet was decrypted, but
the inner packet is outside of it. The kernel counts XfrmInStateMismatch. The sender puts traffic into the SA
that was not agreed upon, usually because the two ends have different subnets (traffic selectors) for the
tunnel.
""",
        confirm="""
$ ip xfrm state list nokeys
The line "sel" is what the SA may carry.
$ cat /proc/net/xfrm_stat
""",
        fix=(
            Fix("compare the traffic selectors of both ends: local_ts and remote_ts in swanctl.conf"),
            Fix("SAs made by hand: look at the selector", "ip xfrm state list nokeys"),
        ),
        seen_as=_SEEN_AS,
        seen_at=_CHECKED_AT,
    ),
    Cause(
        id="ipsec.template-mismatch",
        title="the packet is not protected as the policy requires",
        why="""
An IPsec policy covers this packet and its template names the protection that it requires: protocol, mode,
endpoints, reqid. Either the packet came in clear text (the sender has no matching policy, or its policy has
another priority), or it came through another SA than the template requires (wrong reqid or mode, other tunnel
endpoints). Counted as XfrmInTmplMismatch. A packet in clear text was not encrypted by its sender: look there.
""",
        confirm="""
$ ip xfrm policy list
$ ip xfrm state list nokeys
The reqid and mode of "tmpl" must be those of the SA.
$ cat /proc/net/xfrm_stat
""",
        fix=(
            Fix("see which policy matches the packet, and what its template requires", _POLICIES),
            Step(
                "on the sender: is there an outbound policy for it?",
                "ip xfrm policy list dir out",
                elsewhere=True,
            ),
            Step(
                "if this flow may come in clear text, add a policy without a template and with a lower "
                "priority value",
                weakens="anybody on the way can then read and forge these packets",
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=_CHECKED_AT,
    ),
    Cause(
        id="ipsec.no-policy",
        title="no IPsec policy allows what came out of the SA",
        why="""
The packet was decrypted, and now a policy must say that traffic of this kind may come through this SA. There
is none, and then the kernel refuses it (XfrmInNoPols). Packets in clear text and in transport mode are
refused as well where the default policy of the direction is "block" (ip xfrm policy setdefault). Tunnel mode
needs an inbound policy, and forwarded packets need a policy of direction "fwd" as well: that one is often
forgotten.
""",
        confirm="""
$ ip xfrm policy list dir in
$ ip xfrm policy list dir fwd
$ ip xfrm policy getdefault
$ cat /proc/net/xfrm_stat
""",
        fix=(
            Fix("list the policies that are there for this packet", _POLICIES),
            Fix(
                "add the missing policy, in and fwd",
                "ip xfrm policy add src SADDR dst DADDR dir fwd "
                "tmpl src REMOTE dst SELF proto esp mode tunnel reqid REQID",
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=_CHECKED_AT,
    ),
    Cause(
        id="ipsec.policy-block",
        title="an IPsec policy blocks it",
        why="""
A policy with the action "block" (in strongSwan: mode = drop) matches the packet. In the directions in and fwd
the packet is dropped where it would have been delivered or forwarded (XfrmInPolBlock). In the direction out
no packet exists yet: the program's send() fails with EPERM, and XfrmOutPolBlock is counted. Such policies are
often a safety net, so that nothing leaks while the tunnel is down. Where no policy matches, the default
policy of direction out decides, and it can be "block" too (ip xfrm policy setdefault).
""",
        confirm="""
$ ip xfrm policy list | grep -B1 -A3 'action block'
$ ip xfrm policy getdefault
$ cat /proc/net/xfrm_stat
""",
        fix=(
            Fix("find the policy by its selector and priority", _POLICIES),
            Step(
                "delete it by its index, if it is not wanted",
                "ip xfrm policy delete dir in index INDEX",
                weakens="whatever it blocks can pass",
            ),
        ),
        seen_as=_SEEN_AS,
        seen_at=(*_CHECKED_AT, "xfrm_lookup_with_ifid"),
    ),
)
