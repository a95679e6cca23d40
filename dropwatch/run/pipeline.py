"""Event to Finding: the stages that every run has in common, put together here and nowhere else."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import chain
from typing import TYPE_CHECKING

from dropwatch.enrich.answers import Answers
from dropwatch.enrich.drop import Enricher
from dropwatch.host.host import Host
from dropwatch.match import owner
from dropwatch.match.coverage import names_ports
from dropwatch.match.flow import FlowMatcher
from dropwatch.match.ipsec import TooManyPolicies, match_ipsec
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Drop, Event, Finding, MatchResult, Verdict
from dropwatch.model.filter import Filter
from dropwatch.recording.listener import Listener
from dropwatch.run.copies import Copies
from dropwatch.run.folds import Folds, Rows
from dropwatch.run.nearest import Nearest
from dropwatch.run.options import UNKNOWN, Options
from dropwatch.run.scans import PORT_SCAN, Scans, is_attempt
from dropwatch.run.sent_again import SentAgain
from dropwatch.run.solicitations import UNRESOLVED, Solicitations, gateway
from dropwatch.run.verdicts import Diagnosis, Verdicts

if TYPE_CHECKING:
    from dropwatch.causes.cause import Cause

NOT_PACKETS = "benign.unix-socket"  # what the probes count by themselves: nothing of it becomes an Event
_BENIGN = "benign."
_NAMED = 16
_UNREADABLE = "its policies cannot be read, it may be gone"
_TOO_MANY = "it would take too long to find out which of its policies comes first"

Matching = Callable[[Drop], MatchResult | None]


def pipeline(
    answers: Answers,
    options: Options,
    listener: Listener,
    matching: Callable[[Matching], Matching] = lambda by_filter: by_filter,
    *,
    remembers: bool = False,
) -> "Pipeline":
    """Enrich, match, diagnose: by the answers of this host or of a recording, of which the listener hears.

    `matching` makes of how a drop fits the filter how it fits the run: a recording and a trace know more of it.
    `remembers`: equal drops of a live run are judged once. A recording needs the answers for each.
    """
    asked = listener.noting(answers)
    ipsec = IpsecMatching(asked.host)

    def judged(drop: Drop, host: Host) -> Diagnosis:
        return judge()(drop, host)

    stages = Stages(
        enrich=Enricher(asked).drop,
        match=matching(FlowMatcher(options.wanted, ipsec, asked.interface).match),
        diagnose=Verdicts(judged, asked.host).of if remembers else partial(judged, host=asked.host),
        control_group=asked.host.control_group,
        gateway=partial(gateway, asked.host),
    )
    return Pipeline(stages, options, listener, ipsec)


@cache
def judge() -> Callable[[Drop, Host], Diagnosis]:
    """Imports the causes, a third of all modules: a run is ready without them, and has them before its first drop."""
    from dropwatch.causes.diagnose import diagnose

    return diagnose


class IpsecMatching:
    """Asks match_ipsec with what is configured in the drop's namespace, and counts what could not be asked."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._unreadable: Counter[int | None] = Counter()
        self._too_many: Counter[int | None] = Counter()

    def __call__(self, drop: Drop, wanted: Filter) -> MatchResult | None:
        config = self._host.xfrm(drop.event.netns, drop.event.monotonic_ns)
        try:
            result = match_ipsec(drop, wanted, config)
        except TooManyPolicies:
            self._note(self._too_many, drop)
            return None
        if config is None and result is None:
            self._note(self._unreadable, drop)
        return result

    def _note(self, counts: Counter[int | None], drop: Drop) -> None:
        """Of many namespaces the first are named: anybody can have thousands."""
        netns = drop.event.netns
        counts[netns if netns in counts or len(counts) < _NAMED else None] += 1

    @property
    def blind_spots(self) -> tuple[str, ...]:
        return (
            *(_not_matched(count, inode, _UNREADABLE) for inode, count in self._unreadable.items()),
            *(_not_matched(count, inode, _TOO_MANY) for inode, count in self._too_many.items()),
        )


@dataclass(frozen=True, slots=True)
class Stages:
    """What is done with one Event: each a function, so that a test can stand in for any of them."""

    enrich: Callable[[Event], Drop]
    match: Matching
    diagnose: Callable[[Drop], Diagnosis]
    control_group: Callable[[int, int, int], str | None] = lambda inode, pid, since: None
    gateway: Callable[[Drop], Address | None] = lambda drop: None


class Pipeline:
    """Event to Finding, with the counts of what fitted and of what is known to be harmless.

    The listener is told of every drop that was asked for, also of one that is held back as harmless.
    """

    def __init__(self, stages: Stages, options: Options, listener: Listener, ipsec: IpsecMatching) -> None:
        self._stages, self._options, self._listener, self._ipsec = stages, options, listener, ipsec
        one_by_one = options.view == "findings" and not options.every_packet
        self._scans = Scans() if one_by_one and not names_ports(options.wanted) else None
        self._copies = Copies() if one_by_one else None
        self._solicitations = Solicitations()
        self._folds: Folds | None = None
        self._nearest: Nearest | None = None
        self._sent_again: SentAgain | None = None
        self.matched = 0
        self.suppressed: Counter[str] = Counter()

    @property
    def blind_spots(self) -> tuple[str, ...]:
        """What could not be matched with the filter, in words."""
        return self._ipsec.blind_spots

    def fold(self, rows: Rows) -> None:
        """The kernel sends the first of equal drops, and only counts the others."""
        self._folds = Folds(rows, self.named)

    def tell_refused(self, nearest: Nearest) -> None:
        """What does not fit is told there."""
        self._nearest = nearest

    def join(self, sent_again: SentAgain) -> None:
        """What is judged is told there."""
        self._sent_again = sent_again

    def named(self, event: Event) -> Drop:
        """The names only, for an event that is not to be judged."""
        return self._stages.enrich(event)

    def finding(self, event: Event) -> Finding | None:
        """None for a drop that the user did not ask for, that is harmless and not asked for by name, or that due()
        gives."""
        self._listener.next_event()
        drop = self._stages.enrich(event)
        match = self._stages.match(drop)
        if match is None:
            self._note(event, None)
            if self._nearest is not None:
                self._nearest.refused(drop)
            return None
        finding = self._with_question(_finding(drop, match, *self._stages.diagnose(drop)))
        if self._sent_again is not None:
            self._sent_again.judged(finding)
        if not self._fits_owner(finding):
            self._note(event, None)
            return None
        self._note(event, finding)
        may_be_scan = self._scans is not None and is_attempt(finding)
        if not (self.asks_for(finding.cause_id) or (may_be_scan and self.asks_for(PORT_SCAN))):
            self._refuse(finding)
            return None
        self._listener.kept(drop, match)
        if self._scans is not None and may_be_scan:
            self._scans.take(finding)
            return None
        return self._settled(finding)

    def due(self, now_ns: int | None) -> Iterator[Finding]:
        """Findings that waited for others of their kind, as it is at this time of the events' clock; None: the rest."""
        late = self._scans.due(now_ns) if self._scans is not None else ()
        folded = self._folds.due(now_ns) if self._folds is not None else ()
        for finding in chain(late, folded):
            settled = self._settled(finding)
            if settled is not None:
                yield settled
        if self._copies is not None:
            yield from self._copies.due(now_ns)

    def _with_question(self, finding: Finding) -> Finding:
        """Whose question for the neighbour, or its answer, has died before: that is what the packet waited for."""
        self._solicitations.take(finding)
        drop = finding.drop
        if finding.cause_id != UNRESOLVED or not self._solicitations.is_any(drop.event.netns):
            return finding
        hops = (drop.packet.daddr, self._stages.gateway(drop))
        return self._solicitations.explained(finding, [hop for hop in hops if hop is not None])

    def _note(self, event: Event, finding: Finding | None) -> None:
        if self._folds is not None and event.row:
            self._folds.note(event.row, finding)

    def _fits_owner(self, finding: Finding) -> bool:
        """Whose packet it is shows its socket, which the judges have asked for."""
        wanted, drop = self._options.wanted, finding.drop
        but = wanted.but.owner if wanted.but is not None else None
        process = finding.owner or drop.process
        group = partial(self._control_group, drop)
        if wanted.owner is not None and not owner.fits(wanted.owner, process, group):
            return False
        return but is None or not owner.excludes(but, process, group)

    def _control_group(self, drop: Drop, pid: int) -> str:
        return self._stages.control_group(drop.event.netns, pid, drop.event.monotonic_ns) or ""

    def asks_for(self, cause_id: str) -> bool:
        """Whether drops of this cause are to be told, unless it is harmless."""
        wanted = self._options.wanted
        return cause_id not in wanted.not_causes and (not wanted.causes or cause_id in wanted.causes)

    def _refuse(self, finding: Finding) -> None:
        if self._nearest is not None:
            self._nearest.other_cause(finding)

    def _settled(self, finding: Finding) -> Finding | None:
        """Its cause is known: counted, and given back where it is to be told now."""
        if not self.asks_for(finding.cause_id):
            self._refuse(finding)
            return None
        if held_back(finding.cause_id, self._options):
            self.suppressed[finding.cause_id] += finding.count
            return None
        self.matched += finding.count
        self._listener.found(finding)
        return None if self._copies is not None and self._copies.keeps(finding) else finding


def held_back(cause_id: str, options: Options) -> bool:
    """Whether it is known to be harmless, and neither --all nor its name was asked for."""
    return cause_id.startswith(_BENIGN) and not options.all_drops and cause_id not in options.wanted.causes


def _finding(drop: Drop, match: MatchResult, cause: "Cause | None", verdict: Verdict) -> Finding:
    """The words of the cause, unless the verdict has better ones."""
    return Finding(
        drop=drop,
        match=match,
        cause_id=cause.id if cause is not None else UNKNOWN,
        title=verdict.title or (cause.title if cause is not None else UNKNOWN),
        confidence=verdict.confidence,
        culprit=verdict.culprit,
        evidence=verdict.evidence,
        fix=verdict.fix or (cause.fix if cause is not None else ()),
        owner=verdict.owner,
        led_by=verdict.led_by,
    )


def _not_matched(count: int, inode: int | None, why: str) -> str:
    packets = "1 IPsec packet" if count == 1 else f"{count} IPsec packets"
    where = f"in network namespace {inode}" if inode else "in an unknown network namespace"
    if inode is None:
        where = "in other network namespaces"
    return f"{packets} {where} could not be matched with the filter: {why}"
