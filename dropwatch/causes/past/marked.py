"""Who set the mark that the rule which killed the packet looks at."""

from collections.abc import Iterator

from dropwatch.causes.past import rule_words
from dropwatch.causes.past.rule_words import ChangingRule
from dropwatch.host.host import Host
from dropwatch.model.culprits import EbtablesRule, IptablesRule, NftRule
from dropwatch.model.drop import Decision, Drop, Verdict

_SHOWN = 3


def decisions(drop: Drop, host: Host, cause_id: str | None, verdict: Verdict) -> Iterator[Decision]:
    """Rules of today that can have set it: nothing in a packet tells who did."""
    del cause_id
    rule, mark = verdict.culprit, drop.event.mark
    if (
        not mark
        or not isinstance(rule, NftRule | IptablesRule | EbtablesRule)
        or not rule_words.tests_mark(rule.text)
    ):
        return
    yield from who_marked(drop, host, mark)


def who_marked(drop: Drop, host: Host, mark: int) -> Iterator[Decision]:
    """Nothing where no rule of today can have done it: a program may (SO_MARK)."""
    event, ends = drop.event, rule_words.as_ends(drop.packet)
    known = host.changing_rules(event.netns, event.monotonic_ns)
    if known is None or ends is None:
        return
    connection = event.past.connection if event.past is not None else None
    seen: tuple[str, ...] = (f"mark {mark:#x} of the packet, at the drop",)
    found: list[ChangingRule] = [
        one
        for one in known.rules
        if rule_words.sets_mark(one, mark)
        and (connection is not None or rule_words.may_be_for(one, drop.packet.proto or "", ends))
    ]
    if connection is not None and connection.mark == mark:
        seen = (*seen, f"its connection has the mark {mark:#x} as well (conntrack entry, at the drop)")
        found += [one for one in known.rules if rule_words.restores_mark(one)]
    if len(found) == 1:
        text = f"got its mark {mark:#x} from {rule_words.shown(found[0])}"
        yield Decision(text, "likely", found[0], (*seen, "the only current rule that can have set it"))
    elif found:
        listed = tuple(f"current: {rule_words.shown(one)}" for one in found[:_SHOWN])
        yield Decision(
            f"got its mark {mark:#x} from one of {len(found)} rules", "likely", None, (*seen, *listed)
        )
