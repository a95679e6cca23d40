"""Event to Finding: the stages that every run has in common, live or from a recording."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Drop, Event, Finding, MatchResult, Verdict
from dropwatch.run.options import UNKNOWN, Options

NOT_PACKETS = "benign.unix-socket"  # what the probes count by themselves: nothing of it becomes an Event
_BENIGN = "benign."


@dataclass(frozen=True, slots=True)
class Stages:
    """What is done with one Event: each a function, so that a recording or a test can stand in for the host."""

    enrich: Callable[[Event], Drop]
    match: Callable[[Drop], MatchResult | None]
    diagnose: Callable[[Drop], tuple[Cause | None, Verdict]]


def held_back(cause_id: str, options: Options) -> bool:
    """Whether it is known to be harmless, and neither --all nor its name was asked for."""
    return cause_id.startswith(_BENIGN) and not options.all_drops and cause_id not in options.wanted.causes


class Judgement:
    """Event to Finding, with the counts of what fitted and of what is known to be harmless."""

    def __init__(
        self,
        stages: Stages,
        options: Options,
        keep: Callable[[Drop, MatchResult], None] = lambda drop, match: None,
    ) -> None:
        """`keep` is told of every drop that was asked for, also of one that is held back as harmless."""
        self._stages = stages
        self._options = options
        self._keep = keep
        self.matched = 0
        self.suppressed: Counter[str] = Counter()

    def finding(self, event: Event) -> Finding | None:
        """None for a drop that the user did not ask for, or that is harmless and not asked for by name."""
        drop = self._stages.enrich(event)
        match = self._stages.match(drop)
        if match is None:
            return None
        cause, verdict = self._stages.diagnose(drop)
        cause_id = cause.id if cause is not None else UNKNOWN
        wanted = self._options.wanted
        if (wanted.causes and cause_id not in wanted.causes) or cause_id in wanted.not_causes:
            return None
        self._keep(drop, match)
        if held_back(cause_id, self._options):
            self.suppressed[cause_id] += 1
            return None
        self.matched += 1
        return Finding(
            drop=drop,
            match=match,
            cause_id=cause_id,
            title=verdict.title or (cause.title if cause is not None else UNKNOWN),
            confidence=verdict.confidence,
            culprit=verdict.culprit,
            evidence=verdict.evidence,
            fix=verdict.fix or (cause.fix if cause is not None else ()),
        )
