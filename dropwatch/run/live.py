"""One live run, from the first look at the machine to the closing statement."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace

from dropwatch.enrich.answers import live_answers
from dropwatch.errors import CannotRunHere, WhydropError
from dropwatch.host.host import Host
from dropwatch.host.netns.netns import own_inode
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.reasons import ReasonNames
from dropwatch.model.drop import Event, Finding, Totals
from dropwatch.model.filter import Filter
from dropwatch.names import symbols
from dropwatch.names.foreign import printable
from dropwatch.probe.check.preflight import first_obstacle
from dropwatch.probe.tracer import Tracer
from dropwatch.recording.listener import Listener
from dropwatch.run import ready
from dropwatch.run.command import Command
from dropwatch.run.context import Face, Run
from dropwatch.run.loop import Watch
from dropwatch.run.mode import Mode
from dropwatch.run.options import Options
from dropwatch.run.pipeline import NOT_PACKETS, Pipeline, judge, pipeline
from dropwatch.run.stop import Stop
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

    def __init__(self, options: Options, mode_of: ModeOf, face: Face, stop: Stop) -> None:
        super().__init__(face, stop)
        self._options, self._mode_of = options, mode_of
        self._listener = listener_for(options)
        self._command = Command(options.command) if options.command else None
        self._absent: tuple[str, ...] = ()
        self._not_judged, self._why_not = 0, ""
        self.told: tuple[str, ...] = ()

    @property
    def failure(self) -> str | None:
        """How the command after `--` failed, in words."""
        return self._command.failure() if self._command is not None else None

    def _open(self, contexts: contextlib.ExitStack) -> None:
        obstacle = first_obstacle()
        if obstacle is not None:
            raise obstacle
        options, listener = self._options, self._listener
        reasons, symbols, self._host = ReasonNames(), Kallsyms(), Host()
        refuse_reasons_without_names(options.wanted, reasons.known)
        self._absent = absent_reasons(options.wanted, reasons.known)
        if options.ready_file is not None:
            ready.clear(options.ready_file)
        mode = self._mode = self._mode_of(symbols, listener)
        judged = replace(options, all_drops=options.all_drops or mode.judges_all)
        answers = live_answers(symbols, reasons, self._host)
        remembers = options.write is None
        self._stages = pipeline(answers, judged, listener, mode.matching, remembers=remembers)
        each = options.every_packet or options.write is not None  # a recording has each of them
        first_of_a_sort = 0 if each else mode.first_of_a_sort
        tracer = self._tracer = contexts.enter_context(
            Tracer(
                options.wanted,
                symbols,
                options.all_drops,
                summary=mode.counts_in_kernel,
                first_of_a_sort=first_of_a_sort,
                light=options.light,
                follow=mode.follow,
            )
        )
        self._host.seen = tracer
        if first_of_a_sort:
            self._stages.fold(tracer)
        contexts.enter_context(contextlib.closing(listener))
        listener.begin(start_of(options, own_inode()))
        self.told = (*self._absent, *tracer.blind_spots)
        contexts.enter_context(contextlib.closing(mode))
        mode.begin(tracer, self._stages.named)

    def _read(self) -> Generator[Finding, None, None]:
        watch = Watch(
            self._tracer,
            self._judge,
            self._mode,
            self._face,
            self._options,
            self._stop,
            self._command,
            listener=self._listener,
            due=self._stages.due,
        )
        yield from watch.run(self._ready)
        last = self._mode.finish()
        counts = self._tracer.counts()
        totals = Totals(
            seen_by=counts.seen_by,
            matched=self._stages.matched,
            reported=watch.reported,
            lost=counts.lost,
            suppressed=dict(self._stages.suppressed + Counter({NOT_PACKETS: counts.not_packets})),
            blind_spots=(
                *self._absent,
                *self._tracer.blind_spots,
                *self._host.blind_spots,
                *self._stages.blind_spots,
                *_not_judged(self._not_judged, self._why_not),
                *watch.blind_spots,
            ),
        )
        totals, now = self._mode.totals(totals), time.monotonic()
        self._listener.end(totals, counts.not_packets, now)
        self._totals, self.last_words = totals, last + self._mode.end(totals, now)

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

    def _ready(self) -> None:
        if self._options.ready_file is not None:
            ready.create(self._options.ready_file)
        self._face.ready(self._mode.doing, self.told)
        self._host.prepare()
        judge()


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
