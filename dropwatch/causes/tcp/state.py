"""TCP, the connection: segments that do not fit its state. Most are answered, so that the other end can repair it."""

from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

_LOOK = Fix("see the connection", "ss -tinmp 'sport = :DPORT and dst SADDR'")
_CAPTURE = Fix(
    "capture both directions on both ends and compare",
    "tcpdump -ni DEV -w capture.pcap host SADDR and tcp port DPORT",
)

STATE = (
    Cause(
        id="tcp.paws",
        title="the TCP timestamp goes backwards (PAWS)",
        why="""
With the timestamp option every segment carries a clock value that must not go backwards within a connection;
older ones are dropped as leftovers from before a wrap of the sequence numbers (RFC 7323). Segments of the
same connection that come from machines with different clocks break it: a load balancer or failover that moves
a connection, NAT that mixes two clients, a virtual machine restored from a snapshot. Strong reordering can,
too.
""",
        confirm="""
$ nstat -az TcpExtPAWSEstab TcpExtPAWSActive
$ tcpdump -nvvi DEV tcp port DPORT
"TS val" of the segments from one side must not go backwards.
""",
        fix=(
            _CAPTURE,
            Step(
                "for a test, on the client: disable timestamps",
                "sysctl -w net.ipv4.tcp_timestamps=0",
                elsewhere=True,
            ),
        ),
        reasons=("TCP_RFC7323_PAWS",),
        seen_at=("tcp_validate_incoming", "tcp_rcv_synsent_state_process"),
    ),
    Cause(
        id="tcp.timestamp-echo",
        title="the segment echoes a TCP timestamp that this host never sent",
        why="""
The ACK that should complete a handshake echoes a timestamp outside the range that this host can have sent.
The segment is not an answer to our SYN-ACK: a blind forgery, a leftover of an earlier connection with the
same ports, or a middlebox that writes timestamps of its own.
""",
        confirm="""
$ nstat -az TcpExtTSEcrRejected
$ tcpdump -nvvi DEV 'tcp port DPORT and host SADDR'
""",
        fix=(_CAPTURE,),
        reasons=("TCP_RFC7323_TSECR",),
        seen_at=("tcp_check_req", "tcp_v4_rcv", "tcp_v6_rcv"),
    ),
    Cause(
        id="tcp.invalid-ack",
        title="the acknowledgement number is not acceptable",
        why="""
The segment acknowledges something this end has not sent yet, or something so old that it cannot belong to
what is going on. It is answered with a challenge ACK (during a handshake with a reset) and dropped. One end
of the connection, or a middlebox, is out of step: rewritten sequence numbers, a snapshot restored, an old
connection with the same ports, or a forgery (RFC 5961).
""",
        confirm="""
$ nstat -az TcpExtTCPChallengeACK TcpExtTCPACKSkippedChallenge
$ tcpdump -nvvSi DEV tcp port DPORT
""",
        fix=(_CAPTURE, _LOOK),
        reasons=("TCP_INVALID_ACK_SEQUENCE", "TCP_ACK_UNSENT_DATA", "TCP_TOO_OLD_ACK", "TCP_OLD_ACK"),
        seen_at=(
            "tcp_rcv_established",
            "tcp_rcv_state_process",
            "tcp_rcv_synsent_state_process",
            "tcp_v4_do_rcv",
        ),
    ),
    Cause(
        id="tcp.invalid-syn",
        title="a SYN in the middle of an existing connection",
        why="""
This end has a connection with these addresses and ports, and a SYN for it arrives. It answers with a
challenge ACK: a peer that really restarted then sends a reset and can connect again (RFC 5961). A client that
lost its state (reboot, NAT timeout) and got the same port again, or a firewall that drops the challenge ACK
or the reset, so that connecting hangs until the old connection times out here.
""",
        confirm="""
$ nstat -az TcpExtTCPSYNChallenge TcpExtTCPChallengeACK
$ ss -tano 'sport = :DPORT and dst SADDR'
""",
        fix=(
            Fix("end the old connection here", "ss -K 'dst SADDR and dport = :SPORT and sport = :DPORT'"),
            Fix("have every firewall on the path accept the challenge ACK and the reset"),
            Fix("detect dead peers earlier, with keepalives", "sysctl -w net.ipv4.tcp_keepalive_time=600"),
        ),
        reasons=("TCP_INVALID_SYN",),
        seen_at=("tcp_validate_incoming",),
    ),
    Cause(
        id="tcp.reset",
        title="a reset that the connection does not accept",
        why="""
A reset is only accepted when its sequence number is exactly the next one expected; one that merely lies
within the window gets a challenge ACK, so that nobody can tear a connection down by guessing (RFC 5961). A
genuine peer answers with a proper reset. Also dropped: a reset to a listening socket, and one without ACK in
answer to a SYN. Firewalls and load balancers that forge resets often do not know the exact number.
""",
        confirm="""
$ nstat -az TcpExtTCPChallengeACK
$ tcpdump -nvvSi DEV 'tcp[tcpflags] & tcp-rst != 0 and host SADDR'
""",
        fix=(
            Fix(
                "find out what sends the reset: the TTL tells the peer from a middlebox",
                "tcpdump -nvvi DEV 'tcp[tcpflags] & tcp-rst != 0'",
            ),
        ),
        reasons=("TCP_RESET",),
        seen_at=("tcp_validate_incoming", "tcp_rcv_state_process", "tcp_rcv_synsent_state_process"),
    ),
    Cause(
        id="tcp.flags-invalid",
        title="TCP flags that make no sense in this state",
        why="""
A segment without ACK, SYN and RST on a connection, a SYN with FIN, or an answer to our SYN that is neither
SYN-ACK nor reset. No working TCP sends them. Port scanners do (nmap's null, FIN and Xmas scans), and so do
broken middleboxes.
""",
        confirm="""
$ tcpdump -nvvi DEV 'tcp and host SADDR'
""",
        fix=(Fix("see who sends them", "tcpdump -c 10 -eni DEV tcp and host SADDR"),),
        reasons=("TCP_FLAGS",),
        seen_at=("tcp_rcv_established", "tcp_rcv_state_process", "tcp_rcv_synsent_state_process"),
    ),
    Cause(
        id="tcp.no-connection",
        title="a segment of a connection that this host does not have",
        why="""
Not a SYN, and there is no socket for it: this host has no such connection, or no longer has it. It answers
with a reset. The host was rebooted, the program was killed, the connection timed out here while the other end
kept it, traffic was moved here from another host (failover, a load balancer that changed its mind), or a
middlebox passes only one direction of a connection.
""",
        confirm="""
$ ss -tan 'dst SADDR'
$ nstat -az TcpOutRsts
""",
        fix=(
            Fix(
                "look for the connection in all network namespaces",
                "ip -all netns exec ss -tan dst SADDR",
            ),
            Fix(
                "load balancers: capture there, to see whether a health check or the hashing moves connections",
                _CAPTURE.command,
            ),
        ),
        seen_as=("NO_SOCKET",),
        seen_at=("tcp_v4_rcv", "tcp_v6_rcv"),
    ),
    Cause(
        id="tcp.fastopen-refused",
        title="refused while a TCP Fast Open handshake is unfinished",
        why="""
With TCP Fast Open data comes with the SYN, and the connection exists before its handshake is complete. Until
then each segment must fit the pending handshake; this one does not (a wrong acknowledgement, a reset, a
repeated SYN). Middleboxes that strip or mangle the option are the usual reason for trouble with Fast Open.
""",
        confirm="""
$ nstat -az TcpExtTCPFastOpenPassive TcpExtTCPFastOpenPassiveFail TcpExtTCPFastOpenBlackhole
$ sysctl net.ipv4.tcp_fastopen
""",
        fix=(
            Fix("for a test, disable Fast Open on this host", "sysctl -w net.ipv4.tcp_fastopen=0"),
            _CAPTURE,
        ),
        reasons=("TCP_FASTOPEN",),
        seen_at=("tcp_rcv_state_process",),
    ),
    Cause(
        id="tcp.time-wait",
        title="the last connection with these ports is still in TIME_WAIT",
        why="""
After a connection is closed, the end that closed first remembers it for a minute, so that late segments of it
cannot be taken for new ones. A new connection from the same address and port within that minute is accepted
only if its timestamp or sequence number is newer. A client behind NAT, or one that uses few ports and random
timestamps, can fail that and must wait.
""",
        confirm="""
$ ss -tano state time-wait 'sport = :DPORT and dst SADDR'
$ nstat -az TcpExtPAWSTimewait TcpExtTW
""",
        fix=(
            Step(
                "on the client: use more source ports",
                "sysctl -w net.ipv4.ip_local_port_range='10240 65535'",
                elsewhere=True,
            ),
            Fix("have the client close first: then TIME_WAIT is on the client"),
        ),
        reasons=("TCP_RFC7323_TW_PAWS",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("tcp_v4_rcv", "tcp_v6_rcv", "tcp_timewait_state_process"),
    ),
)
