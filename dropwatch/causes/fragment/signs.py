"""Signs of fragments: which piece it is, what is missing, and what reassembly is limited to."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.fragment.catalogue import EXPIRED
from dropwatch.causes.when import NONE_GIVEN, when
from dropwatch.host.fragments import Fragments
from dropwatch.host.host import Host
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Packet, Verdict

# The same reason is given to pieces that are thrown away because their network namespace ends, and by IP-TFS.
_OTHER_ENDS = frozenset({"fqdir_pre_exit", "inet_frag_queue_flush", "iptfs_drop_timer"})
_QUEUEING = frozenset(
    {
        *("ip_defrag", "ip_frag_queue", "ip6_frag_queue", "ipv6_frag_rcv"),
        *("nf_ct_frag6_gather", "nf_ct_frag6_queue"),
    }
)
_PURGING = frozenset({"inet_frag_destroy", "inet_frag_rbtree_purge"})
_INSERTED = "probe inet_frag_queue_insert"
_SOURCE = "fragments, after the drop"
_HEADERS = {4: 20, 6: 48}  # of IPv6 with the header of a fragment

_by_its_timer = when(
    reasons=(NONE_GIVEN,), at=EXPIRED, fact="this function is the reassembly timer of an incomplete packet"
)


def timed_out(drop: Drop, host: Host) -> Verdict | None:
    """With the piece that was freed: the kernel tells of the first that it has, newer ones of each."""
    if drop.reason == "FRAG_REASM_TIMEOUT":
        verdict = None if _OTHER_ENDS & kernel_word.way(drop) else kernel_word.certain(drop)
    else:
        verdict = _by_its_timer(drop, host)
    if verdict is None:
        return None
    known = _known(drop, host)
    facts = [Evidence("packet", _piece(drop.packet))]
    if known is not None and known.seconds is not None:
        name = _names(drop)[1]
        facts.append(
            Evidence(_SOURCE, f"{name} is {known.seconds} s; {known.queues:,} more packets are incomplete")
        )
    return replace(verdict, evidence=(*facts, *verdict.evidence))


def _piece(packet: Packet) -> str:
    """Which one it is, and what has to be missing since it was the first that was there."""
    size = max(0, packet.length - _HEADERS.get(packet.family or 4, 0))
    number = f" of packet {packet.fragment_id:#x}" if packet.fragment_id is not None else ""
    end = packet.fragment_offset + size
    piece = f"a piece{number} that was there: bytes {packet.fragment_offset:,} to {end:,}"
    if not packet.fragment_offset and packet.more_fragments:
        return f"{piece}, the first one; what follows did not all come"
    if not packet.more_fragments:
        return f"{piece}, the last one; what comes before did not all come"
    return f"{piece}; what is missing comes before or after"


def no_memory(drop: Drop, host: Host) -> Verdict | None:
    """The first piece of a packet finds no room: what is incomplete has more than the limit right after."""
    if kernel_word.place(drop) not in _QUEUEING or not kernel_word.gave_no_reason(drop):
        return None
    known = _known(drop, host)
    if known is None or known.limit is None or known.memory <= known.limit:
        return None
    name, _ = _names(drop)
    fact = f"{known.queues:,} incomplete packets have {known.memory:,} bytes, and {name} is {known.limit:,}"
    verdict = kernel_word.likely(drop, Evidence(_SOURCE, fact, "proof"))
    culprit = Sysctl(f"{name} = {known.limit}", name, known.limit, known.memory)
    return pinned.doubted(
        replace(verdict, culprit=culprit), pinned.doubts(drop, host, pinned.Source("sysctls", None))
    )


def came_twice(drop: Drop, host: Host) -> Verdict | None:
    """Where the kernel has no reason for it."""
    del host  # the probe has seen it
    if "piece-twice" not in drop.event.notes:
        return None
    fact = f"{_bytes(drop.packet)}: all of them were there already"
    return kernel_word.certain(drop, Evidence(_INSERTED, fact, "proof"))


def does_not_fit(drop: Drop, host: Host) -> Verdict | None:
    """The piece that overlaps others, and those that are given up because of it."""
    del host  # the probe has seen it
    if "piece-overlaps" not in drop.event.notes:
        return None
    fact = "some of them were there already, from other pieces"
    if kernel_word.place(drop) in _PURGING:
        fact = "one that came later overlaps pieces of this packet"
    return kernel_word.certain(drop, Evidence(_INSERTED, f"{_bytes(drop.packet)}: {fact}", "proof"))


def _bytes(packet: Packet) -> str:
    end = packet.fragment_offset + max(0, packet.length - _HEADERS.get(packet.family or 4, 0))
    return f"bytes {packet.fragment_offset:,} to {end:,} of a packet in pieces"


def overlapping(drop: Drop, host: Host) -> Verdict | None:
    """IPv4 alone counts them. A kernel that has no reason for a piece that came twice frees it there as well."""
    if kernel_word.place(drop) not in _QUEUEING or not kernel_word.gave_no_reason(drop):
        return None
    known = _known(drop, host)
    if known is None or not known.overlaps:
        return None
    facts = (
        Evidence("packet", _bytes(drop.packet)),
        Evidence(_SOURCE, f"{known.overlaps:,} pieces here have overlapped others (ReasmOverlaps)"),
    )
    return kernel_word.likely(drop, *facts)


def _known(drop: Drop, host: Host) -> Fragments | None:
    return host.fragments(drop.event.netns, drop.packet.family or 4, drop.event.monotonic_ns)


def _names(drop: Drop) -> tuple[str, str]:
    six = drop.packet.family == 6
    where = "net.ipv6.ip6frag" if six else "net.ipv4.ipfrag"
    return f"{where}_high_thresh", f"{where}_time"
