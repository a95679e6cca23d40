"""Wrong checksums of SCTP."""

from dropwatch.causes import kernel_word
from dropwatch.causes.cause import Cause
from dropwatch.causes.malformed.catalogue import OFFLOAD
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.packet.sctp import sctp

SCTP = Cause(
    id="malformed.sctp-checksum",
    title="wrong SCTP checksum",
    why="""
The checksum (CRC32c) over the SCTP packet does not match. SCTP drops it before it looks at anything else, without
an answer. The data was damaged, a port was rewritten without computing the checksum anew (NAT that does not know
SCTP), the sender uses the old checksum (Adler-32), or it was left to a card that cannot do it.
""",
    confirm="""
"SctpChecksumErrors" rises:
$ cat /proc/net/sctp/snmp
$ tcpdump -c 5 -vvni DEV sctp and host SADDR
$ ethtool -k DEV | grep sctp
""",
    fix=(
        Fix("see which packets they are", "tcpdump -c 5 -vvni DEV sctp and host SADDR"),
        OFFLOAD,
        Fix("find where they break: capture before and after each hop"),
    ),
    seen_as=("NOT_SPECIFIED",),
    seen_at=("sctp_rcv",),
)


def wrong_sctp_sum(drop: Drop, host: Host) -> Verdict | None:
    del host
    if not kernel_word.gave_no_reason(drop) or kernel_word.place(drop) != "sctp_rcv":
        return None
    found = sctp(drop)
    if found is None or found.instead is None:
        return None
    fact = f"its checksum is {found.stands:#010x}, and {found.instead:#010x} would be right"
    return kernel_word.certain(drop, Evidence("packet", fact, "proof"))
