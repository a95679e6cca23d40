"""Sockets, their queues: receive buffers, backlogs and the memory behind them."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step, last_twice, twice
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

QUEUES = (
    Cause(
        id="socket.udp-buffer-full",
        title="the receive buffer of the UDP socket is full",
        why="""
Datagrams arrive faster than the program reads them. What waits is limited by the socket's receive buffer
(SO_RCVBUF, net.core.rmem_default without it), and each datagram is charged with all the memory it occupies,
so that small ones fill the buffer at a fraction of its nominal size. The program is busy, blocked in
something else, stopped, or starved of CPU; or the burst is larger than the buffer.
""",
        confirm="""
In "skmem" r is what is queued, rb the limit, d the drops of this socket:
$ ss -uampn 'sport = :DPORT'
$ nstat -az UdpRcvbufErrors Udp6RcvbufErrors
$ sysctl net.core.rmem_default net.core.rmem_max
""",
        fix=(
            Fix("see which program it is, and whether it reads", "ss -uampn 'sport = :DPORT'"),
            Fix(
                "allow larger buffers; the program must request them (SO_RCVBUF)",
                twice("net.core.rmem_max"),
            ),
            Fix(
                "for programs that do not request a size: raise the default for new sockets",
                twice("net.core.rmem_default"),
            ),
        ),
        seen_as=("SOCKET_RCVBUFF",),
        seen_at=(
            "udp_queue_rcv_one_skb",
            "udpv6_queue_rcv_one_skb",
            "__udp_queue_rcv_skb",
            "__udpv6_queue_rcv_skb",
        ),
    ),
    Cause(
        id="socket.raw-buffer-full",
        title="the receive buffer of a raw or ping socket is full",
        why="""
A raw socket gets a copy of every packet of its protocol, a ping socket every answer to it. Its program reads
too slowly, so the copy is dropped. The packet itself is not affected: other sockets and the protocol get it
all the same. Routing daemons (OSPF, VRRP), monitoring with thousands of pings, and intrusion detection use
such sockets.
""",
        confirm="""
$ ss -wampn
$ cat /proc/net/raw
The last column is the drops of each socket.
""",
        fix=(
            Fix("see which program it is", "ss -wampn"),
            Fix(
                "allow larger buffers; the program must request them (SO_RCVBUF)",
                twice("net.core.rmem_max"),
            ),
            Fix(
                "have the program attach a filter, so that it gets only what it needs (ICMP_FILTER, SO_ATTACH_FILTER)"
            ),
        ),
        seen_as=("SOCKET_RCVBUFF",),
        seen_at=("raw_rcv", "raw_rcv_skb", "rawv6_rcv", "rawv6_rcv_skb", "__ping_queue_rcv_skb"),
    ),
    Cause(
        id="socket.packet-buffer-full",
        title="a sniffer (AF_PACKET) is slow: its copy is lost",
        why="""
tcpdump, Wireshark, a DHCP client, an intrusion detection system: each has an AF_PACKET socket that gets a
copy of every packet its filter lets through. The socket's buffer, or its ring shared with the program, is
full, so this copy is lost. "packets dropped by kernel" in tcpdump counts these. The packet went its way; what
is missing is in the capture.
""",
        confirm="""
$ ss -0 -ampn
$ cat /proc/net/packet
tcpdump says at its end how many it lost.
""",
        fix=(
            Fix(
                "capture less: a filter, and only the headers",
                "tcpdump -i DEV -s 96 -w capture.pcap host SADDR and port DPORT",
            ),
            Fix("or give tcpdump a larger buffer (in KiB)", "tcpdump -i DEV -B 65536 -w capture.pcap"),
        ),
        seen_as=("PACKET_SOCK_ERROR", "NOT_SPECIFIED"),
        seen_at=("packet_rcv", "tpacket_rcv"),
    ),
    Cause(
        id="socket.accept-queue-full",
        title="the accept queue of the listening socket is full",
        why="""
Connections whose handshake is complete wait until the program takes them with accept(). The queue holds the
smaller of the program's listen() backlog and net.core.somaxconn, and one more. When it is full, new SYNs are
dropped, and so is the last ACK of handshakes that are under way: the client believes it is connected and
waits. No tracepoint shows the SYNs: whydrop sees tcp_conn_request refuse them. The program is too slow, stuck,
or has stopped accepting because it has reached a limit of its own (files, workers).
""",
        confirm="""
For a listening socket Recv-Q is what waits, Send-Q the limit:
$ ss -ltnp 'sport = :DPORT'
$ nstat -az TcpExtListenOverflows TcpExtListenDrops
""",
        fix=(
            Fix("see which program it is, and whether its queue is full", "ss -ltnp 'sport = :DPORT'"),
            Fix("see what it does", "cat /proc/PID/stack; ls /proc/PID/fd | wc -l; cat /proc/PID/limits"),
            Fix(
                "if bursts are normal: raise the limit, and the backlog in the program's settings",
                twice("net.core.somaxconn"),
            ),
        ),
        reasons=("TCP_LISTEN_OVERFLOW",),
        seen_as=("NO_SOCKET", "NOT_SPECIFIED"),
        seen_at=("tcp_v4_rcv", "tcp_v6_rcv", "cookie_v4_check", "tcp_conn_request"),
    ),
    Cause(
        id="socket.syn-queue-full",
        title="too many half-open connections, SYN cookies are off",
        why="""
Handshakes that wait for their last ACK are counted for each listening socket. Their number has reached the
limit (the accept backlog, and net.ipv4.tcp_max_syn_backlog), and because net.ipv4.tcp_syncookies is off the
kernel has no way to answer without keeping state: the SYN is dropped. A SYN flood does that, or clients whose
ACKs are lost.
""",
        confirm="""
$ ss -tn state syn-recv | wc -l
$ nstat -az TcpExtTCPReqQFullDrop TcpExtTCPReqQFullDoCookies
$ sysctl net.ipv4.tcp_syncookies net.ipv4.tcp_max_syn_backlog
""",
        fix=(
            Fix("use SYN cookies when the queue is full", "sysctl -w net.ipv4.tcp_syncookies=1"),
            Fix("allow more half-open connections", twice("net.ipv4.tcp_max_syn_backlog")),
        ),
        seen_at=("tcp_conn_request",),
    ),
    Cause(
        id="socket.backlog-full",
        title="the backlog is full while the program uses the socket",
        why="""
While a program is inside a system call on a TCP socket, arriving segments wait in the socket's backlog. Its
limit is made of the receive and the send buffer, with some room added. A sender with very many small
segments, a program that spends long in one call (a huge read, a page fault on a slow disk), or a CPU that is
starved gets there. The sender will repeat the segment.
""",
        confirm="""
$ nstat -az TcpExtTCPBacklogDrop
$ ss -tmin 'sport = :DPORT'
In "skmem" bl is the backlog.
""",
        fix=(
            Fix("see which program it is", "ss -tmpin 'sport = :DPORT'"),
            Fix("see what it does while it has the socket", "cat /proc/PID/stack; cat /proc/PID/wchan"),
            Fix("larger buffers allow a larger backlog", last_twice("net.ipv4.tcp_rmem")),
        ),
        reasons=("SOCKET_BACKLOG",),
        seen_at=("tcp_add_backlog", "tcp_v4_rcv", "tcp_v6_rcv"),
    ),
    Cause(
        id="socket.memory-pressure",
        title="no memory left for the protocol's receive queues",
        why="""
All UDP sockets of the host share a limit (net.ipv4.udp_mem, in pages), all TCP sockets another
(net.ipv4.tcp_mem), and a cgroup has one of its own that counts socket memory too. It is reached, so the
packet cannot be queued even though the socket's own buffer has room. Very many sockets with data that nobody
reads, or limits that are too low for the machine, lead here.
""",
        confirm="""
"mem" is in pages, to be compared with the three numbers of the sysctl:
$ cat /proc/net/sockstat
$ sysctl net.ipv4.udp_mem net.ipv4.tcp_mem
$ nstat -az UdpMemErrors TcpExtTCPMemoryPressures
$ systemd-cgtop
""",
        fix=(
            Step("raise the limit, in pages", last_twice("net.ipv4.udp_mem"), fits=fits.udp),
            Step("raise the limit, in pages", last_twice("net.ipv4.tcp_mem"), fits=fits.tcp),
            Fix("see which sockets use the memory", "ss -uamn; ss -tamn"),
            Fix("in a container: raise its memory limit", "systemctl set-property UNIT MemoryMax=2G"),
        ),
        seen_as=("PROTO_MEM",),
        seen_at=("udp_queue_rcv_one_skb", "udpv6_queue_rcv_one_skb", "tcp_data_queue", "tcp_data_queue_ofo"),
    ),
)
