"""A sort of findings in words: whose packets, and the object with its place."""

from dropwatch.model.culprits import Culprit
from dropwatch.model.report import Folded
from dropwatch.render.finding import packet_words, phrases


def flow(one: Folded) -> str:
    """Without the ports that not all of them had: `udp 10.9.0.1 > 10.9.0.2:5000`."""
    drop = one.finding.drop
    return packet_words.said(drop) if one.one_flow else packet_words.flow_words(drop)


def kind(culprit: Culprit) -> str:
    """`nftables rule in inet filter input, handle 7`, `SA`; `nearest SA` of one that did not do it."""
    relation = getattr(culprit, "relation", None)
    words = phrases.object_words(culprit.kind)
    words = f"{relation} {words}" if relation else words
    place = within(culprit)
    return f"{words} in {place}" if place else words


def within(culprit: Culprit) -> str:
    """Where a rule or a chain's policy is: `inet filter input, handle 7`."""
    if not hasattr(culprit, "chain"):  # a route has a table as well: a number, which its text tells
        return ""
    place = [getattr(culprit, key, None) for key in ("family", "table", "chain")]
    numbers = [(key, getattr(culprit, key, None)) for key in ("handle", "number")]
    number = [f"{key} {value}" for key, value in numbers if value is not None]
    return ", ".join(part for part in (" ".join(word for word in place if word), *number[:1]) if part)
