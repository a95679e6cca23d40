"""Signs of connection tracking and NAT: a full table, packets that it refuses, connections that clash."""

from dropwatch.causes import pinned
from dropwatch.causes.advice import Step
from dropwatch.causes.delay import delay
from dropwatch.causes.netfilter.responsible_rule import died_in_a_hook
from dropwatch.causes.netfilter.rule_verdict import why_invalid
from dropwatch.causes.socket.signs import tcp_without_socket
from dropwatch.host.conntrack import ConntrackTable
from dropwatch.host.host import Host
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.model.netfilter import ICMP_TRANSLATION, ConntrackNote

_LIST = Fix("list the translated connections", "conntrack -L --any-nat")


def conntrack_full(drop: Drop, host: Host) -> Verdict | None:
    """No entry could be allocated for the packet: the table is full, or, seldom, memory ran out."""
    note = _refused(drop)
    if note is None or note.refused != "nf_conntrack_in" or not note.table_full:
        return None
    fact = Evidence(
        "probe nf_conntrack_in", "conntrack could not allocate an entry for this packet, and dropped it"
    )
    table = host.conntrack(drop.event.netns, drop.event.monotonic_ns)
    if table is None:
        return Verdict("likely", evidence=(fact, Evidence("sysctl", "count and maximum could not be read")))
    limit, of = _limit(table)
    when = delay(drop, table.read_at_ns)
    size = Evidence("sysctl", f"{when}: {table.count} of {limit} entries are in use{of}", "proof")
    # Entries end by themselves while whydrop looks; far below the limit it was memory, or somebody emptied it.
    full = table.count >= limit * 0.9
    text = f"net.netfilter.nf_conntrack_max = {limit}"
    culprit = Sysctl(text, "net.netfilter.nf_conntrack_max", limit, table.count)
    larger = Fix(
        "enlarge the table (each entry takes about 320 bytes)",
        f"sysctl -w net.netfilter.nf_conntrack_max={2 * limit}",
    )
    who = Fix(
        "see who has the most entries",
        "conntrack -L | grep -oP 'src=\\K\\S+' | sort | uniq -c | sort -rn | head",
    )
    verdict = Verdict("certain" if full else "likely", culprit, (fact, size), (larger, who))
    return pinned.doubted(verdict, pinned.doubts(drop, host, pinned.Source("sysctls", table.read_at_ns)))


def _limit(table: ConntrackTable) -> tuple[int, str]:
    """The limit that holds, and whose it is. A limit of 0 is none."""
    if table.own_max and (not table.max or table.own_max < table.max):
        return table.own_max, " (the limit of the initial namespace applies to all)"
    return table.max, ""


def conntrack_refused(drop: Drop, host: Host) -> Verdict | None:
    """Conntrack itself dropped it, although it lets most INVALID packets pass."""
    note = _refused(drop)
    if note is None or note.refused != "nf_conntrack_in" or note.table_full:
        return None
    fact = Evidence("probe nf_conntrack_in", "conntrack itself dropped this packet, not a rule")
    return Verdict(
        "certain", evidence=(fact, *why_invalid(drop, was_invalid=True)), title="conntrack itself refuses it"
    )


def not_translated(drop: Drop, host: Host) -> Verdict | None:
    """An INVALID packet of a translated connection goes where its header says: here to this host's own sockets."""
    if not tcp_without_socket(drop) or not kept_from_nat(drop):
        return None
    fact = "its connection is translated (NAT), but an INVALID packet is not: untranslated, it matches no socket here"
    return Verdict(
        "certain",
        evidence=(*why_invalid(drop, was_invalid=True), Evidence("probe nf_ct_l4proto_log_invalid", fact)),
        fix=_without_reset(drop),
        title="conntrack found it INVALID, so NAT did not translate it",
    )


def _without_reset(drop: Drop) -> tuple[Fix, ...]:
    tool = "ip6tables" if drop.packet.family == 6 else "iptables"
    return (
        Fix("list the translated connections", "conntrack -L -p tcp --any-nat"),
        Fix(
            "drop INVALID packets before delivery: else this host sends a reset, which ends the connection",
            f"{tool} -I INPUT -m conntrack --ctstate INVALID -j DROP",
        ),
        Step(
            "or have conntrack be liberal about TCP windows",
            "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1",
            weakens="forged segments outside the window can pass as well",
        ),
    )


def kept_from_nat(drop: Drop) -> bool:
    """Conntrack said why it is INVALID, and that of a connection whose packets are translated."""
    note = drop.event.netfilter.conntrack if drop.event.netfilter is not None else None
    return note is not None and note.words is not None and note.invalid is True and note.nat


def conntrack_clash(drop: Drop, host: Host) -> Verdict | None:
    """The connection could not be entered, or NAT could not give it a tuple."""
    note = _refused(drop)
    if note is None or note.refused not in ("__nf_conntrack_confirm", "nf_nat_inet_fn"):
        return None
    if note.refused == "nf_nat_inet_fn":
        fact = Evidence(
            "probe nf_nat_inet_fn", "NAT could not set up the connection: no free address and port"
        )
        return Verdict(
            "certain", evidence=(fact,), title="NAT found no free address and port for the connection"
        )
    said = (
        "the connection could not be added to the conntrack table: an entry with the same addresses and "
        "ports exists"
    )
    title = "another connection holds its addresses and ports"
    if note.nat:
        said += "; NAT found no free port, or another packet of the flow was faster"
        title = "no free port for NAT, or two packets clashed"
    return Verdict("certain", evidence=(Evidence("probe __nf_conntrack_confirm", said),), title=title)


_REDIRECTS = {"icmp": 5, "icmp6": 137}


def icmp_not_translated(drop: Drop, host: Host) -> Verdict | None:
    """Of a translated connection NAT refuses redirects, and what it cannot rewrite (nf_nat_icmp_reply_translation)."""
    note = _refused(drop)
    if note is None or note.refused not in ICMP_TRANSLATION:
        return None
    source = f"probe {note.refused}"
    if drop.packet.icmp_type == _REDIRECTS.get(drop.packet.proto or "") and note.nat:
        fact = "NAT refused the redirect: the connection that it quotes is translated"
        return Verdict("certain", evidence=(Evidence(source, fact),))
    fact = "NAT refused the message: its checksum is wrong, or it is a redirect, or what it quotes cannot be rewritten"
    title = "NAT refuses an ICMP message about a connection"
    return Verdict("likely", evidence=(Evidence(source, fact),), fix=(_LIST,), title=title)


def _refused(drop: Drop) -> ConntrackNote | None:
    """What conntrack said when it was not a rule that killed the packet. NAT's hook runs the nat table's rules."""
    note = drop.event.netfilter
    if note is None or note.conntrack is None or not died_in_a_hook(drop):
        return None
    if note.nft is not None or note.ebt is not None or (note.xt is not None and note.xt.candidates):
        return None
    return note.conntrack
