"""What is known of a listening socket of TCP that refused a packet."""

from ipaddress import IPv4Address, IPv6Address

from dropwatch.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ListenerNote:
    """The listening socket as it was when it had no room for a SYN, or (`handshake_done`) for the ACK that ends one.

    `overflowed` and `syn_queue_full`: the kernel counted it in ListenOverflows, in TCPReqQFullDrop. `accept_queue`
    connections wait for accept(), and with more than `accept_limit` it is full. `syn_queue` are the half-open ones.
    `max_syn_backlog`, `somaxconn` and `syncookies` are the sysctls of its namespace. `inode` is what /proc/PID/fd calls
    the socket by.
    """

    handshake_done: bool
    overflowed: bool
    syn_queue_full: bool
    accept_queue: int
    accept_limit: int
    syn_queue: int
    max_syn_backlog: int
    somaxconn: int
    syncookies: int
    inode: int
    address: IPv4Address | IPv6Address
    port: int
    bound_ifindex: int | None = None
