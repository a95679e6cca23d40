"""SCTP packets that end an association which does not exist here."""

from dropwatch.causes import kernel_word
from dropwatch.causes.cause import Cause
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.packet.sctp import sctp

# Types of chunks that SCTP drops without an answer where there is no association (sctp_rcv_ootb, RFC 9260, 8.4).
_NEVER_ANSWERED = {6: "ABORT", 14: "SHUTDOWN COMPLETE"}

SCTP = Cause(
    id="socket.sctp-no-association",
    title="the SCTP packet ends an association that does not exist here",
    why="""
An SCTP ABORT or SHUTDOWN COMPLETE came for addresses and ports between which there is no association. SCTP drops it
without an answer. No data is lost with it, but it says that the other end refused something: this host has sent to a
port on which nobody listens there, one of the two was restarted, or a path failed over to an address that the
association does not have. Other packets without an association are answered with an ABORT.
""",
    confirm="""
$ ss -Sanp
"SctpOutOfBlues" and "SctpAborteds" rise:
$ cat /proc/net/sctp/snmp
$ cat /proc/net/sctp/assocs
""",
    fix=(
        Fix("see the associations, with their addresses and ports", "ss -Sanp"),
        Fix("see what the other end answers to", "tcpdump -c 20 -vni DEV sctp and host SADDR"),
        Fix(
            "have a program listen on the other end's port, or correct the address that this host connects to"
        ),
    ),
    seen_as=("NOT_SPECIFIED",),
    seen_at=("sctp_rcv",),
)


def no_association(drop: Drop, host: Host) -> Verdict | None:
    """With an association only a full backlog, a filter or a policy of IPsec would refuse it at the same place."""
    del host
    if not kernel_word.gave_no_reason(drop) or kernel_word.place(drop) != "sctp_rcv":
        return None
    found = sctp(drop)
    if found is None or found.chunk not in _NEVER_ANSWERED or found.instead is not None:
        return None
    fact = (
        f"its first chunk is {_NEVER_ANSWERED[found.chunk]}, which is dropped where there is no association"
    )
    return kernel_word.likely(drop, Evidence("packet", fact, "proof"))
