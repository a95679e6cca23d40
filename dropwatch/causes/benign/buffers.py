"""What is freed with something else, or was no packet at all."""

from dropwatch.causes.cause import Cause

BUFFERS: tuple[Cause, ...] = (
    Cause(
        id="benign.told-before",
        title="the rest of a packet whose loss has been told",
        why="""
A ping without privileges has a socket of its own kind, which gets a copy of each echo reply. Where the copy finds no
room in the socket's buffer, or its filter refuses it, the copy is freed, and that is the loss that is told
(socket.raw-buffer-full). The packet itself is freed right after it, with the same reason: it is the same loss.
""",
        confirm="""
$ ss -wampn
""",
        fix=(),
        seen_as=("SOCKET_RCVBUFF", "PROTO_MEM", "SOCKET_FILTER"),
        seen_at=("icmp_rcv", "icmpv6_rcv"),
    ),
    Cause(
        id="benign.empty-buffer",
        title="not a packet: an empty buffer that the kernel made to try it",
        why="""
When a device gets its receive queue (a tunnel or a bridge port is made, a container starts), some kernels allocate
one buffer, look at it and free it again, to see early whether they are configured right. Nothing was sent, and
nothing is lost.
""",
        confirm="""
$ ip -ts monitor link
""",
        fix=(),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("napi_get_frags_check",),
    ),
    Cause(
        id="benign.fragment-list",
        title="a fragment, freed together with its packet",
        why="""
A datagram that was reassembled from fragments, or merged by GRO, keeps its parts as a list. When the whole is
freed, so are the parts, and older kernels report each of them as a drop even when a program has read the
whole. If the whole was dropped, that is reported by itself.
""",
        confirm="""
The stack shows skb_release_data below the function that freed the whole:
$ whydrop --all --cause benign.fragment-list --stack
""",
        fix=(),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("skb_release_data",),
    ),
)
