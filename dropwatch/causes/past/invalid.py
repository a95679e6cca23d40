"""Conntrack called a packet INVALID: that is why a rule dropped it, or why NAT did not translate it."""

from collections.abc import Iterator

from dropwatch.causes.netfilter import words
from dropwatch.host.host import Host
from dropwatch.model.drop import Decision, Drop, Verdict

_INVALID = "netfilter.conntrack-invalid"


def decisions(drop: Drop, host: Host, cause_id: str | None, verdict: Verdict) -> Iterator[Decision]:
    """What conntrack refuses by itself has died of that: it is no earlier decision."""
    del host
    note = drop.event.netfilter.conntrack if drop.event.netfilter is not None else None
    if note is None or note.refused == "nf_conntrack_in" or not note.invalid:
        return
    by_rule = cause_id == _INVALID and verdict.culprit is not None
    untranslated = note.words is not None and note.nat
    if not by_rule and not untranslated:
        return
    why = f": {words.of_the_kernel(note.words)}" if note.words is not None else ", without giving a reason"
    left = ", and so NAT did not translate it" if untranslated else ""
    seen = ("probe nf_ct_l4proto_log_invalid, nf_l4proto_log_invalid",) if note.words is not None else ()
    yield Decision(
        f"conntrack found it INVALID{why}{left}",
        "certain",
        None,
        (*seen, "skb->_nfct, at the drop: no connection"),
    )
