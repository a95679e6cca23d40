"""One live run, from the first look at the machine to the closing statement."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from functools import partial

from dropwatch.enrich.answers import Answers, live_answers
from dropwatch.errors import CannotRunHere, WhydropError
from dropwatch.host.bpf.native import NativeXdp
from dropwatch.host.host import Host
from dropwatch.host.interfaces import all_namespaces
from dropwatch.host.netns.netns import netns_name, own_inode
from dropwatch.kernel import btf_file
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.reasons import ReasonNames
from dropwatch.match.near import comparable, is_compared
from dropwatch.match.resent import connections
from dropwatch.model.drop import Event, Finding, Totals
from dropwatch.model.filter import Filter
from dropwatch.model.nothing import Nothing
from dropwatch.model.resent import Resent
from dropwatch.names import symbols
from dropwatch.names.foreign import printable
from dropwatch.privilege.capabilities import CAP_KILL, KEPT
from dropwatch.privilege.root import keep_only
from dropwatch.probe.check.brought import DOUBT
from dropwatch.probe.check.lacking import lacking
from dropwatch.probe.check.preflight import first_obstacle, read_user
from dropwatch.probe.check.processes import processes
from dropwatch.probe.tracer import Counts, Tracer
from dropwatch.recording.listener import Listener
from dropwatch.run import ready
from dropwatch.run.command import Command
from dropwatch.run.context import Face, Run
from dropwatch.run.loop import Watch
from dropwatch.run.mode import Mode
from dropwatch.run.nearest import Nearest
from dropwatch.run.options import Options
from dropwatch.run.pipeline import NOT_PACKETS, Pipeline, judge, pipeline
from dropwatch.run.sent_again import SentAgain, not_watched
from dropwatch.run.stop import Stop
from dropwatch.run.witness import Witness
from dropwatch.run.write import listener_for, start_of

ModeOf = Callable[[Kallsyms, Listener], Mode]


class Live(Run):
    """In its block the probes are attached. `told` is what it cannot see, as far as that was known then.

    Entering raises CannotRunHere where it cannot start; WhydropError where it cannot go on. Nothing stays attached.
    """

    _mode: Mode
    _stages: Pipeline
    _tracer: Tracer
    _host: Host
    _answers: Answers
    _native: NativeXdp

    def __init__(self, options: Options, mode_of: ModeOf, face: Face, stop: Stop) -> None:
        super().__init__(face, stop)
        self._options, self._mode_of = options, mode_of
        self._listener = listener_for(options)
        self._command = Command(options.command) if options.command else None
        self._absent: tuple[str, ...] = ()
        self._not_judged, self._why_not = 0, ""
        self._began = 0.0
        self.told: tuple[str, ...] = ()
        self._nearest: Nearest | None = None
        self._witness: Witness | None = None
        self._sent_again: SentAgain | None = None

    @property
    def failure(self) -> str | None:
        """How the command after `--` failed, in words."""
        return self._command.failure() if self._command is not None else None

    def _open(self, contexts: contextlib.ExitStack) -> None:
        if self._options.btf is not None:
            btf_file.bring(self._options.btf)
        obstacle = first_obstacle()
        if obstacle is not None:
            raise obstacle
        options, listener = self._options, self._listener
        reasons = ReasonNames()
        refuse_reasons_without_names(options.wanted, reasons.known)
        self._absent = absent_reasons(options.wanted, reasons.known)
        if options.ready_file is not None:
            ready.clear(options.ready_file)
        if not options.fields:  # which this kernel may not have
            self._face.starting()
        symbols, self._host = Kallsyms(), Host()
        if btf_file.brought():
            self._absent += (
                f"the layout of the kernel's structures comes from the file of --btf: {DOUBT}",
                "the layout of modules' structures is not in the file of --btf: the rules of nf_tables and of legacy "
                "tables are probably not named",
            )
        self._absent += tuple(lacking(read_user(), shows_addresses=symbols.readable, processes=processes()))
        mode = self._mode = self._mode_of(symbols, listener)
        judged = replace(options, all_drops=options.all_drops or mode.judges_all)
        answers = live_answers(symbols, reasons, self._host)
        self._stages = pipeline(answers, judged, listener, mode.matching, remembers=not listener.needs_each)
        each = options.every_packet or listener.needs_each
        first_of_a_sort = 0 if each else mode.first_of_a_sort
        self._face.starting()
        explains = self._face.explains
        tracer = self._tracer = contexts.enter_context(
            Tracer(
                options.wanted,
                symbols,
                options.all_drops,
                summary=mode.counts_in_kernel,
                first_of_a_sort=first_of_a_sort,
                light=options.light,
                follow=mode.follow,
                near=_compared(options.wanted) if explains else None,
                resent=connections(options.wanted) if mode.shows_findings else None,
            )
        )
        self._host.seen = tracer
        if explains:
            self._explain(answers, options.wanted)
        if first_of_a_sort:
            self._stages.fold(tracer)
        if tracer.resent() is not None:
            self._sent_again = SentAgain(answers.frame, answers.netns, listener.sent_again)
            self._stages.join(self._sent_again)
        contexts.enter_context(contextlib.closing(listener))
        listener.begin(start_of(options, own_inode()))
        self._began = time.monotonic()
        self._native = NativeXdp(partial(_namespaces, options.wanted), netns_name, _in_view(options.wanted))
        self.told = (*self._absent, *tracer.blind_spots, *self._native.start())
        contexts.enter_context(contextlib.closing(mode))
        mode.begin(tracer, self._stages.named)

    def _read(self) -> Generator[Finding, None, None]:
        watch = Watch(
            self._tracer,
            self._judge,
            self,
            self._face,
            self._options,
            self._stop,
            self._command,
            listener=self._listener,
            due=self._stages.due,
            patience_ms=self._mode.patience_ms,
        )
        yield from watch.run(self._ready, self._settle)
        last = self._again(time.monotonic()) + self._mode.finish()
        counts = self._tracer.counts()
        by_drivers = self._native.end(self._tracer.xdp_errors())
        totals = self._counted(counts, watch.reported, by_drivers, watch.blind_spots)
        totals = replace(totals, resent=self._resent())
        totals, now = self._mode.totals(totals), time.monotonic()
        self._tell_nothing(totals)
        self._listener.end(totals, counts.not_packets, now)
        self._totals, self.last_words = totals, last + self._mode.end(totals, now)

    def so_far(self) -> Totals:
        """What has been counted until now; to be asked in the mode's tick(), where drops are judged."""
        return self._counted(self._tracer.counts(), self._stages.matched)

    def _counted(
        self, counts: Counts, reported: int, by_drivers: tuple[str, ...] = (), unread: tuple[str, ...] = ()
    ) -> Totals:
        return Totals(
            seen_by=counts.seen_by,
            matched=self._stages.matched,
            reported=reported,
            lost=counts.lost,
            suppressed=dict(self._stages.suppressed + Counter({NOT_PACKETS: counts.not_packets})),
            blind_spots=(
                *self._absent,
                *self._tracer.blind_spots,
                *by_drivers,
                *self._host.blind_spots,
                *self._stages.blind_spots,
                *_not_judged(self._not_judged, self._why_not),
                *unread,
            ),
            seconds=time.monotonic() - self._began,
        )

    def finding(self, finding: Finding, now: float) -> str:
        """The text of a finding."""
        return self._mode.finding(finding, now)

    def tick(self, now: float) -> str:
        """What is due at this time; all that was read has been judged."""
        return self._mode.tick(now) + self._again(now)

    def _again(self, now: float) -> str:
        """What has been sent again since."""
        if self._sent_again is None:
            return ""
        new = list(self._sent_again.take(self._tracer.take_resent()))
        asked = (lost for lost in new if lost.cause_id is not None and self._stages.asks_for(lost.cause_id))
        return "".join(self._mode.sent_again(lost, now) for lost in asked)

    def _resent(self) -> Resent | None:
        raw = self._tracer.resent()
        if self._sent_again is None or raw is None:
            return None
        unseen = not_watched(
            raw.counts,
            missed=raw.missed,
            dated=raw.dated,
            refused_syns=raw.refused_syns,
            tcp_itself=raw.tcp_itself,
        )
        return self._sent_again.found(raw.counts, unseen)

    def _explain(self, answers: Answers, wanted: Filter) -> None:
        """From now on it is known what there is beside what matches."""
        self._answers, self._nearest = answers, Nearest()
        self._stages.tell_refused(self._nearest)
        self._witness = Witness(comparable(wanted), _namespaces(wanted), netns_name)

    def _tell_nothing(self, totals: Totals) -> None:
        """A trace that followed packets to their end has seen something."""
        if self._nearest is None or self._witness is None or totals.matched or totals.journeys:
            return
        self._nearest.kept(*self._tracer.near(), self._answers)
        wanted = self._options.wanted
        compared = comparable(wanted)
        found, (seen, lost) = self._nearest.found(compared), self._witness.seen_and_lost()
        self.nothing = Nothing(compared, found, seen, lost, self._witness.left_out, is_compared(wanted))

    def _judge(self, event: Event) -> Finding | None:
        """What goes wrong with one drop costs a sentence, and the run goes on."""
        try:
            with self._host.judging(event.netns):
                return self._mode.take(event, self._found(event))
        except WhydropError:
            raise
        except Exception as error:
            self._not_judged += 1
            self._why_not = self._why_not or printable(f"{type(error).__name__}: {error}")
            return None

    def _found(self, event: Event) -> Finding | None:
        finding = self._stages.finding(event)
        if finding is not None and self._options.light:
            for layer in symbols.layers_of(finding.drop.where.layer, finding.drop.reason):
                self._tracer.wake(layer)
        return finding

    def _settle(self) -> None:
        """The command has been started with what the caller may: from now on less is needed."""
        keep_only(KEPT | {CAP_KILL} if self._command is not None else KEPT)

    def _ready(self) -> None:
        if self._witness is not None:
            self._witness.start()  # what comes from now on is counted
        if self._options.ready_file is not None:
            ready.create(self._options.ready_file)
        self._face.ready(self._mode.watched, self.told)
        self._host.prepare()
        judge()


def _namespaces(wanted: Filter) -> Iterable[int]:
    """Those in view."""
    return wanted.netns or all_namespaces()


def _in_view(wanted: Filter) -> Callable[[str], bool]:
    """Whether an interface of this name is."""
    return lambda name: not wanted.ifaces or name in wanted.ifaces


def _compared(wanted: Filter) -> Filter | None:
    """Every drop is equally near where nothing can be compared."""
    found = comparable(wanted)
    return None if found == Filter() else found


def refuse_reasons_without_names(wanted: Filter, known: frozenset[str]) -> None:
    """`--reason` asks for names that a kernel before 5.17 does not give: better told than waited for."""
    if wanted.reasons and not known:
        raise CannotRunHere(
            "--reason cannot match anything here: this kernel gives no drop reasons",
            "ask for causes instead (--cause), which do not depend on them; whydrop explain lists them",
        )


def _not_judged(count: int, why: str) -> tuple[str, ...]:
    drops = "1 drop was" if count == 1 else f"{count} drops were"
    return (f"{drops} not judged: this should not have happened, please report it ({why})",) if count else ()


def absent_reasons(wanted: Filter, known: frozenset[str]) -> tuple[str, ...]:
    """A sentence for each drop reason asked for that this kernel does not have, at least not yet."""
    names = sorted(wanted.reasons - {name.upper() for name in known})
    return tuple(
        f"drop reason {name}: this kernel has none of that name, unless a module brings it" for name in names
    )
