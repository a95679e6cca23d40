"""Malformed packets: wrong checksums, lengths that cannot be, headers that make no sense."""

from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

OFFLOAD = Fix(
    "from a container or guest on this host: disable checksum offload on its interface in there (ethtool -K, tx off)"
)
_CAPTURE = "tcpdump -c 5 -vvni DEV host SADDR"
EXTENSIONS = (
    "ip6_parse_tlv",
    "ip6_tlvopt_unknown",
    "ipv6_parse_hopopts",
    "ipv6_destopt_rcv",
    "ipv6_dest_hao",
)

CAUSES = (
    Cause(
        id="malformed.ip-checksum",
        title="wrong IPv4 header checksum",
        why="""
The checksum over the IPv4 header does not match, so some field of the header is not what its sender wrote.
The packet is dropped without an answer, since its source address cannot be trusted either. One in millions is
a bad cable or memory; all packets of a flow is a device that rewrites the header (NAT, TTL, DSCP) and does
not correct the checksum, or a program that builds packets itself.
""",
        confirm="""
$ nstat -az IpExtInCsumErrors
$ tcpdump -c 5 -vvni DEV host SADDR
tcpdump says "bad cksum". On the machine that sends them that is normal, if the card computes checksums.
""",
        fix=(
            Fix("see which packets they are", _CAPTURE),
            Fix("find where they break: capture before and after each hop"),
        ),
        reasons=("IP_CSUM",),
        seen_at=("ip_rcv_core",),
    ),
    Cause(
        id="malformed.udp-checksum",
        title="wrong UDP checksum",
        why="""
The checksum over data, ports and addresses does not match. The data was damaged, an address or port was
rewritten without correcting the checksum, or the checksum was never finished: virtual interfaces leave that
to the hardware, and a frame that reaches a real receiver by another path (a bridge to a tunnel, a raw copy,
some userspace networking) still has the half-done sum. Dropped silently; the program never sees the datagram.
""",
        confirm="""
$ nstat -az UdpInCsumErrors Udp6InCsumErrors
$ tcpdump -c 5 -vvni DEV udp and host SADDR
$ ethtool -k DEV | grep checksum
""",
        fix=(Fix("see which packets they are", "tcpdump -c 5 -vvni DEV udp and host SADDR"), OFFLOAD),
        reasons=("UDP_CSUM",),
        seen_at=(
            *("udp_rcv", "__udp4_lib_rcv", "udp_queue_rcv_one_skb", "udp_recvmsg"),
            *("udpv6_rcv", "__udp6_lib_rcv", "udpv6_queue_rcv_one_skb", "udpv6_recvmsg"),
        ),
    ),
    Cause(
        id="malformed.udp-zero-checksum",
        title="UDP over IPv6 without a checksum",
        why="""
A checksum of zero means that the sender computed none. IPv4 allows that; over IPv6 a datagram without one is only
taken by a socket whose program asked for it (UDP_NO_CHECK6_RX), as tunnels do. The datagram is not damaged:
sender and receiver do not agree. As a rule it is a tunnel, VXLAN for instance, that is told to send none
(udp6zerocsumtx), while the other end was not told to take it (udp6zerocsumrx).
""",
        confirm="""
$ tcpdump -c 5 -vvni DEV 'ip6 and udp and ip6[46:2] = 0'
$ nstat -az Udp6InCsumErrors
""",
        fix=(
            Fix(
                "have the sender compute checksums; VXLAN: noudp6zerocsumtx",
                "ip -d link show",
            ),
            Fix("or have the receiving program or tunnel accept datagrams without one (UDP_NO_CHECK6_RX)"),
        ),
        seen_as=("UDP_CSUM",),
        seen_at=("udpv6_rcv", "__udp6_lib_rcv"),
    ),
    Cause(
        id="malformed.tcp-checksum",
        title="wrong TCP checksum",
        why="""
The checksum over data, ports and addresses does not match. TCP drops such segments silently and the sender
repeats them, so that it shows as a slow or hanging connection rather than as an error. It was damaged in
transit, rewritten without correcting the checksum, or never finished by an interface that left it to the
hardware.
""",
        confirm="""
$ nstat -az TcpInCsumErrors
$ tcpdump -c 5 -vvni DEV tcp and host SADDR
$ ethtool -k DEV | grep checksum
""",
        fix=(Fix("see which packets they are", "tcpdump -c 5 -vvni DEV tcp and host SADDR"), OFFLOAD),
        reasons=("TCP_CSUM",),
        seen_at=(
            "tcp_v4_rcv",
            "tcp_v6_rcv",
            "tcp_v4_do_rcv",
            "tcp_v6_do_rcv",
            "tcp_rcv_established",
            "tcp_add_backlog",
        ),
    ),
    Cause(
        id="malformed.icmp-checksum",
        title="wrong ICMP checksum",
        why="""
The checksum of an ICMP or ICMPv6 message does not match. That of ICMPv6 also covers the addresses, so
anything that changes an IPv6 address without correcting it (prefix translation, a home-made proxy) breaks
every ICMPv6 message. Otherwise: damage in transit, or a program that builds packets itself.
""",
        confirm="""
$ nstat -az IcmpInCsumErrors Icmp6InCsumErrors
$ tcpdump -c 5 -vvni DEV 'icmp or icmp6'
""",
        fix=(Fix("see which messages they are", "tcpdump -c 5 -vvni DEV 'icmp or icmp6'"),),
        reasons=("ICMP_CSUM",),
        seen_at=("icmp_rcv", "icmpv6_rcv"),
    ),
    Cause(
        id="malformed.truncated",
        title="the packet is shorter than its headers say",
        why="""
A length field promises more than arrived: the total length of IPv4, the payload length of IPv6, the length of
UDP, the data offset of TCP; or the packet ends within a header. A tunnel or middlebox truncated it, a driver
delivered only the first buffer of a large frame, a program or scanner built it wrongly.
""",
        confirm="""
$ tcpdump -c 5 -vvni DEV host SADDR
tcpdump says "truncated-ip" or "bad length".
$ nstat -az IpExtInTruncatedPkts Ip6InTruncatedPkts UdpInErrors TcpInErrs
""",
        fix=(
            Fix("see what is missing", _CAPTURE),
            Fix("jumbo frames: compare the MTU of all interfaces on the link", "ip link show DEV"),
            Fix("for a test, disable the merging of received packets", "ethtool -K DEV gro off lro off"),
        ),
        reasons=("PKT_TOO_SMALL",),
        seen_at=(
            "ip_rcv_core",
            "ip6_rcv_core",
            "__udp4_lib_rcv",
            "__udp6_lib_rcv",
            "tcp_v4_rcv",
            "tcp_v6_rcv",
        ),
    ),
    Cause(
        id="malformed.ip-header",
        title="the IP header makes no sense",
        why="""
The version is not the one that the frame's ethertype says, the header length is below its minimum or beyond
the end of the packet, the total length is smaller than the header, or the options cannot be read. No working
sender produces that: look for a device that corrupts packets, a tunnel that hands over something other than
IP, or a program that builds packets.
""",
        confirm="""
$ nstat -az IpInHdrErrors Ip6InHdrErrors
$ tcpdump -c 5 -vvXni DEV
""",
        fix=(Fix("see what the frames contain", "tcpdump -c 5 -evvXni DEV"),),
        seen_as=("IP_INHDR", "UNHANDLED_PROTO"),
        seen_at=("ip_rcv_core", "ip6_rcv_core", "ip_rcv_finish_core"),
    ),
    Cause(
        id="malformed.ipv6-extension",
        title="a bad IPv6 extension header or option",
        why="""
The chain of extension headers could not be walked: a length that does not fit, an option that this kernel
does not know and whose number says "then drop the packet", a header at a place where it must not be, or more
headers than the kernel is willing to read. Rare in ordinary traffic, frequent in tests, scans and attacks.
""",
        confirm="""
$ tcpdump -c 5 -vvni DEV 'ip6 and host SADDR'
$ nstat -az Ip6InHdrErrors
""",
        fix=(Fix("see the headers", "tcpdump -c 5 -vvXni DEV ip6 and host SADDR"),),
        reasons=("IPV6_BAD_EXTHDR", "IPV6_TOO_MANY_EXTHDRS"),
        seen_as=("IP_INHDR", "UNHANDLED_PROTO", "NOT_SPECIFIED"),
        seen_at=EXTENSIONS,
    ),
)
