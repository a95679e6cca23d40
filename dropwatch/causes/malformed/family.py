"""The judge of malformed packets."""

from dropwatch.causes.family import Family, Judgement, in_order
from dropwatch.causes.malformed.catalogue import CAUSES, EXTENSIONS
from dropwatch.causes.malformed.headers import wrong_header
from dropwatch.causes.malformed.quotes import ICMP_QUOTE, bad_quote, cut_quote
from dropwatch.causes.malformed.sctp import SCTP, wrong_sctp_sum
from dropwatch.causes.malformed.sums import udp_without_checksum, wrong_sum
from dropwatch.causes.when import when
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop

_other_signs = in_order(
    ("malformed.udp-zero-checksum", udp_without_checksum),
    ("malformed.sctp-checksum", wrong_sctp_sum),
    ("malformed.truncated", cut_quote),
    ("malformed.icmp-quote", bad_quote),
    (
        "malformed.ip-header",
        when(reasons=("IP_INHDR",), at=("ip_rcv_core", "ip_rcv_finish_core", "ip6_rcv_core")),
    ),
    (
        "malformed.ip-header",
        when(reasons=("UNHANDLED_PROTO",), at=("ip6_rcv_core",), fact="the version in the header is not 6"),
    ),
    ("malformed.ipv6-extension", when(reasons=("IP_INHDR", "UNHANDLED_PROTO"), at=EXTENSIONS)),
    (
        "malformed.ipv6-extension",
        when(reasons=("IP_INHDR", "UNHANDLED_PROTO"), through=("ip6_parse_tlv", "ipv6_parse_hopopts")),
    ),
)


def _judge(drop: Drop, host: Host) -> Judgement | None:
    return wrong_header(drop) or wrong_sum(drop, host) or _other_signs(drop, host)


MALFORMED = Family("malformed", (*CAUSES, ICMP_QUOTE, SCTP), _judge)
