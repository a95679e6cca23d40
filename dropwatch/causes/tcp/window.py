"""TCP, the data: a window that is closed, data that is too old, too far ahead, or finds no room."""

from dropwatch.causes.advice import last_twice
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

_LOOK = Fix("see the connection", "ss -tinmp 'sport = :DPORT and dst SADDR'")
_CAPTURE = Fix(
    "capture both directions on both ends and compare",
    "tcpdump -ni DEV -w capture.pcap host SADDR and tcp port DPORT",
)

WINDOW = (
    Cause(
        id="tcp.zero-window",
        title="the receive window is closed: the program does not read",
        why="""
The receiver's buffer is full because its program does not read, and it has told the sender to stop (window
zero). What arrives nevertheless, a window probe or data that was under way, is answered with an ACK and
dropped. TCP works as it should: the connection waits for the program. Look at the program, not at the
network.
""",
        confirm="""
Recv-Q is what the program has not read:
$ ss -tinmp
$ nstat -az TcpExtTCPZeroWindowDrop TcpExtTCPToZeroWindowAdv TcpExtTCPFromZeroWindowAdv
""",
        fix=(
            Fix("see which program does not read", "ss -tinmp 'sport = :DPORT'"),
            Fix("see what it waits for", "cat /proc/PID/stack; cat /proc/PID/wchan"),
            Fix(
                "if bursts are normal, allow a larger buffer",
                last_twice("net.ipv4.tcp_rmem"),
            ),
        ),
        reasons=("TCP_ZEROWINDOW",),
        seen_as=("TCP_INVALID_END_SEQUENCE", "PROTO_MEM"),
        seen_at=("tcp_data_queue", "tcp_validate_incoming"),
    ),
    Cause(
        id="tcp.out-of-window",
        title="the sequence number is outside the receive window",
        why="""
The segment lies outside the range that this end is ready to take: beyond the window it has offered, or, on
older kernels with the same reason, before it (an old duplicate or a keepalive). It is answered with an ACK
that says what is expected. Reasons: a middlebox that rewrites sequence numbers or the window scale in one
direction only, a firewall that lost its state, a peer that was restored from a snapshot, blind injection.
""",
        confirm="""
$ nstat -az TcpExtTCPACKSkippedSeq TcpExtTCPChallengeACK TcpExtBeyondWindow
$ ss -ti 'sport = :DPORT'
$ tcpdump -nvvSi DEV tcp port DPORT
""",
        fix=(
            _CAPTURE,
            Fix("Cisco ASA and the like: disable sequence number randomisation for a test"),
            _LOOK,
        ),
        reasons=("TCP_INVALID_SEQUENCE", "TCP_INVALID_END_SEQUENCE", "TCP_OVERWINDOW"),
        seen_at=("tcp_validate_incoming", "tcp_data_queue"),
    ),
    Cause(
        id="tcp.old-data",
        title="the data has already been received: a spurious retransmission",
        why="""
All bytes of the segment are here already. The sender repeated them because it thought they were lost: its
timer was too short for a delay that jumped, the ACK was lost or late, or packets were reordered. The segment
is answered with a DSACK ("got that twice") and dropped. Nothing is lost; but if it happens often, the path
back loses ACKs or the delay varies widely (bufferbloat, Wi-Fi, a busy hypervisor).
""",
        confirm="""
$ nstat -az TcpExtTCPDSACKOldSent TcpExtTCPDSACKOfoSent TcpExtTCPOFOMerge TcpExtDelayedACKLost
On the sender:
$ nstat -az TcpExtTCPSpuriousRTOs TcpExtTCPDSACKRecv
""",
        fix=(
            Fix("capture on both ends, to see whether ACKs are lost on the path back", _CAPTURE.command),
            _LOOK,
        ),
        reasons=("TCP_OLD_DATA", "TCP_OLD_SEQUENCE", "TCP_OFOMERGE", "TCP_OFO_DROP"),
        seen_at=("tcp_data_queue", "tcp_data_queue_ofo", "tcp_ofo_queue", "tcp_validate_incoming"),
    ),
    Cause(
        id="tcp.ofo-pruned",
        title="out-of-order data is discarded: the receive buffer is full",
        why="""
A segment is missing, what came after it waits in the out-of-order queue, and the receive buffer is full of
that. The kernel throws away what lies furthest ahead, although it had arrived; the sender will repeat it. The
reason is loss on a long fat path, a program that does not read, or a receive buffer that is too small for the
path.
""",
        confirm="""
$ nstat -az TcpExtOfoPruned TcpExtRcvPruned TcpExtPruneCalled TcpExtTCPOFODrop
$ ss -tinm 'sport = :DPORT'
""",
        fix=(
            Fix("allow a larger receive buffer", last_twice("net.ipv4.tcp_rmem")),
            Fix(
                "find the loss that made the gap, on the way to this host",
                "tcpdump -ni DEV host SADDR and tcp port DPORT",
            ),
        ),
        reasons=("TCP_OFO_QUEUE_PRUNE",),
        seen_as=("PROTO_MEM",),
        seen_at=("tcp_prune_ofo_queue", "tcp_data_queue", "tcp_data_queue_ofo"),
    ),
)
