"""Which rule sent a packet to the queue in which it died, or that did not take it."""

from collections.abc import Iterator

from dropwatch.causes.past import rule_words
from dropwatch.causes.past.rule_words import ChangingRule
from dropwatch.host.host import Host
from dropwatch.model.culprits import Queue
from dropwatch.model.drop import Decision, Drop, Verdict

_SHOWN = 3


def decisions(drop: Drop, host: Host, cause_id: str | None, verdict: Verdict) -> Iterator[Decision]:
    """Rules of today that send to this queue: its number was taken when the packet was queued, the rule was not."""
    del cause_id
    queue, ends = verdict.culprit, rule_words.as_ends(drop.packet)
    if not isinstance(queue, Queue) or ends is None:
        return
    known = host.changing_rules(drop.event.netns, drop.event.monotonic_ns)
    if known is None:
        return
    found: list[ChangingRule] = [
        one
        for one in known.rules
        if rule_words.queues_to(one, queue.number)
        and rule_words.may_be_for(one, drop.packet.proto or "", ends)
    ]
    seen = (f"queue {queue.number}, noted when the packet was queued",)
    if len(found) == 1 and known.complete:
        text = f"sent to queue {queue.number} by {rule_words.shown(found[0])}"
        yield Decision(text, "likely", found[0], (*seen, "the only current rule that can have sent it there"))
    elif found:
        listed = tuple(f"current: {rule_words.shown(one)}" for one in found[:_SHOWN])
        which = (
            f"one of {len(found)} rules" if len(found) > 1 else "a rule, of those that could be read this one"
        )
        yield Decision(f"sent to queue {queue.number} by {which}", "likely", None, (*seen, *listed))
