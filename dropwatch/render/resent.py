"""What is said of TCP segments that were sent again: had they died here, or has this host lost nothing."""

from collections import Counter
from collections.abc import Iterator

from dropwatch.model.drop import Address
from dropwatch.model.resent import Lost, Resent
from dropwatch.render.layout import Layout

_MOST_CAUSES = 4
_UNKNOWN = "unknown"


def sent_again(resent: Resent, layout: Layout) -> list[str]:
    """At the end of a run, a paragraph; nothing where nothing was sent again."""
    if not resent.segments:
        return []
    words = "; ".join([_counted(resent), *_lost(resent)])
    if resent.lost_here < resent.segments:
        words += f". Not watched: {'; '.join((*resent.not_watched, *resent.never_watched))}"
    return layout.paragraph(words, "  sent again: ", "    ")


def later(lost: Lost, layout: Layout) -> list[str]:
    """Of a finding that was told: the segment has been sent again."""
    what = "" if lost.died == "segment" else ", for its ACK had died"
    after = _after((lost.resent_ns - lost.death_ns) / 1e9)
    text = f"... sent again {after} later{what}: {_flow(lost)}  [{_cause(lost)}]"
    return layout.paragraph(text, "  ", "      ")


def _counted(resent: Resent) -> str:
    segments = "1 TCP segment" if resent.segments == 1 else f"{resent.segments:,} TCP segments"
    if resent.lost_here:
        return segments
    if resent.not_watched or resent.unclear:
        return f"{segments}; none of them, nor an ACK of theirs, was seen to die here before"
    return f"{segments}; none of them, nor an ACK of theirs, had died here: this host lost nothing of them"


def _lost(resent: Resent) -> Iterator[str]:
    if resent.lost_here:
        yield f"{resent.lost_here:,} because the one before, or its ACK, had died here ({_causes(resent)})"
        if resent.not_lost_here:
            what = "nothing was seen to die here" if resent.not_watched else "nothing had died here"
            yield f"for the other {resent.not_lost_here:,} {what}"
    if resent.failed:
        yield f"{resent.failed:,} did not leave the host this time either"


def _causes(resent: Resent) -> str:
    """`netfilter.nft-rule 7, queueing.qdisc-full 3`."""
    counts: Counter[str] = Counter()
    for lost in resent.connections:
        counts[_cause(lost)] += lost.segments
    most = counts.most_common(_MOST_CAUSES)
    left = resent.lost_here - sum(count for _, count in most)
    return ", ".join(
        [*(f"{cause} {count:,}" for cause, count in most), *([f"others {left:,}"] if left else [])]
    )


def _cause(lost: Lost) -> str:
    """Where nobody asked for the finding, or does not know, the place."""
    known = lost.cause_id not in (None, _UNKNOWN)
    return str(lost.cause_id) if known else f"in {lost.function or 'an unknown function'}"


def _after(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _flow(lost: Lost) -> str:
    return f"tcp {_end(lost.saddr, lost.sport)} > {_end(lost.daddr, lost.dport)}"


def _end(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
