"""The pipeline, in the order a packet meets it: the only place where the stages meet."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from dropwatch.enrich.answers import live_answers
from dropwatch.errors import CannotRunHere
from dropwatch.host.host import Host
from dropwatch.host.netns.netns import own_inode
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.reasons import ReasonNames
from dropwatch.model.drop import Event, Finding, Totals
from dropwatch.model.filter import Filter
from dropwatch.probe.check.preflight import first_obstacle
from dropwatch.probe.tracer import Tracer
from dropwatch.recording.listener import Listener
from dropwatch.render.closing import closing, opening
from dropwatch.render.layout import Layout, layout_for, printable
from dropwatch.render.screen import Screen
from dropwatch.run import ready
from dropwatch.run.command import Command
from dropwatch.run.loop import Watch
from dropwatch.run.options import Options
from dropwatch.run.pipeline import NOT_PACKETS, Pipeline, held_back, pipeline
from dropwatch.run.stop import Stop
from dropwatch.run.summary import Summarizing, summarizing_for
from dropwatch.run.trace import Tracing, tracing_for
from dropwatch.run.views import renderer_for
from dropwatch.run.write import listener_for, start_of
from dropwatch.wire.drop import event_of_row


def live(options: Options, screen: Screen, stop: Stop) -> None:
    """One live run, from the first look at the machine to the last line.

    Raises CannotRunHere where it cannot start, WhydropError where it cannot go on; nothing stays attached.
    """
    obstacle = first_obstacle()
    if obstacle is not None:
        raise obstacle
    reasons, symbols, host = ReasonNames(), Kallsyms(), Host()
    refuse_reasons_without_names(options.wanted, reasons.known)
    absent = absent_reasons(options.wanted, reasons.known)
    if options.ready_file is not None:
        ready.clear(options.ready_file)
    host.prepare()
    listener = listener_for(options)
    in_sum = options.view == "summary"
    layout = layout_for(screen.out, options.no_color)
    tracing, follow = None, None
    if options.view in ("trace", "tree"):
        tracing, follow = tracing_for(options, symbols, layout, own_inode(), stop, listener.gathered)
    stages = pipeline(
        live_answers(symbols, reasons, host),
        replace(options, all_drops=True) if in_sum else options,  # a summary tells the harmless by row
        listener,
        tracing.matching if tracing is not None else lambda by_filter: by_filter,
    )
    renderer = renderer_for(options, layout, own_inode())
    command = Command(options.command) if options.command else None
    with contextlib.ExitStack() as stack:
        tracer = stack.enter_context(
            Tracer(options.wanted, symbols, options.all_drops, summary=in_sum, follow=follow)
        )
        stack.enter_context(contextlib.closing(listener))
        host.seen = tracer
        listener.begin(start_of(options, own_inode()))
        told = (*absent, *tracer.blind_spots)
        gathering: Summarizing | Tracing | None = tracing
        if in_sum:
            gathering = stack.enter_context(_summing(options, tracer, stages, layout, screen, stop, listener))
        elif tracing is not None:
            tracing.begin(tracer)
        judge: Callable[[Event], Finding | None] = stages.finding
        if gathering is not None:
            judge = gathering.judge(judge)
        shown = renderer if gathering is None else gathering
        watch = Watch(tracer, judge, shown, screen, options, stop, command, listener=listener)
        watch.run(lambda: _tell_ready(options, screen, layout, told))
        last = gathering.finish() if gathering is not None else ""
        counts = tracer.counts()
        totals = Totals(
            seen_by=counts.seen_by,
            matched=stages.matched,
            reported=watch.reported,
            lost=counts.lost,
            suppressed=dict(stages.suppressed + Counter({NOT_PACKETS: counts.not_packets})),
            blind_spots=(
                *absent,
                *tracer.blind_spots,
                *host.blind_spots,
                *stages.blind_spots,
                *watch.blind_spots,
            ),
        )
        totals = gathering.totals(totals) if gathering is not None else totals
        now = time.monotonic()
        listener.end(totals, counts.not_packets, now)
    screen.show(last + renderer.end(totals, now))
    if not options.json:
        screen.say(closing(totals, layout, told))
    if command is not None and not stop.asked and (failure := command.failure()):
        screen.say(f"whydrop: {printable(failure)}\n")


def _summing(
    options: Options,
    tracer: Tracer,
    stages: Pipeline,
    layout: Layout,
    screen: Screen,
    stop: Stop,
    listener: Listener,
) -> Summarizing:
    summing = summarizing_for(
        options,
        tracer,
        drop_of=lambda row: stages.named(event_of_row(row)),
        held_back=lambda cause_id: held_back(cause_id, options),
        layout=layout,
        output=screen.out,
        stop=stop,
        told=listener.gathered,
    )
    summing.begin()
    return summing


def _tell_ready(options: Options, screen: Screen, layout: Layout, blind_spots: tuple[str, ...]) -> None:
    if options.ready_file is not None:
        ready.create(options.ready_file)
    if not options.json:
        doing = "following packets" if options.view in ("trace", "tree") else "watching for dropped packets"
        screen.say(opening(blind_spots, layout, doing))


def refuse_reasons_without_names(wanted: Filter, known: frozenset[str]) -> None:
    """`--reason` asks for names that a kernel before 5.17 does not give: better told than waited for."""
    if wanted.reasons and not known:
        raise CannotRunHere(
            "--reason cannot match anything here: this kernel gives no drop reasons",
            "ask for causes instead (--cause), which do not depend on them; whydrop explain lists them",
        )


def absent_reasons(wanted: Filter, known: frozenset[str]) -> tuple[str, ...]:
    """A sentence for each drop reason asked for that this kernel does not have, at least not yet."""
    names = sorted(wanted.reasons - {name.upper() for name in known})
    return tuple(
        f"drop reason {name}: this kernel has none of that name, unless a module brings it" for name in names
    )
