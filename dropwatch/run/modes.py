"""Which mode a run has, and which renderer: the one place that looks at the view that was asked for.

Each view is imported where it is chosen: a run starts without what it does not show.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from dropwatch.host.netns.netns import own_inode
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.model.drop import Finding
from dropwatch.recording.listener import Listener
from dropwatch.recording.start import Start
from dropwatch.render.layout import Layout
from dropwatch.render.screen import Screen
from dropwatch.run.mode import FIRST_OF_A_SORT, Mode, Renderer
from dropwatch.run.options import Options
from dropwatch.run.stop import Stop

if TYPE_CHECKING:
    from dropwatch.render.journey.decisions import JourneyDecisions
    from dropwatch.render.journey.json import JourneyJson
    from dropwatch.render.journey.text import JourneyText
    from dropwatch.render.journey.tree import JourneyTree
    from dropwatch.render.lines.drop import InFull
    from dropwatch.render.summary.json import SummaryJson
    from dropwatch.render.summary.table import SummaryTable


def live_mode(
    options: Options, symbols: Kallsyms, screen: Screen, layout: Layout, stop: Stop, listener: Listener
) -> Mode:
    """Of a run on this host. Raises WrongUsage for a trace of fields that this kernel does not have."""
    own = own_inode()
    renderer = renderer_for(options, layout, own)
    if options.view == "summary":
        from dropwatch.run.summary import summarizing_for

        view = summary_view_for(options, layout, own)
        return summarizing_for(options, renderer, view, layout, screen.out, stop, listener.gathered)
    if options.view in ("trace", "tree"):
        from dropwatch.run.trace import tracing_for

        journeys, tree = journey_view_for(options, layout, own), options.view == "tree"
        return tracing_for(options, renderer, journeys, symbols, stop, listener.gathered, tree=tree)
    if options.view != "findings":
        return Mode(renderer)
    # text says "again" of the others in any case; a count is one of findings
    return Mode(renderer, FIRST_OF_A_SORT if options.json or options.count is not None else 1)


def replayed_mode(options: Options, start: Start, layout: Layout, listener: Listener) -> Mode:
    """Of a replay."""
    own = start.own_netns
    renderer = renderer_for(replace(options, count=options.count or start.count), layout, own)
    if options.view in ("summary", "trace", "tree", "window"):
        from dropwatch.render.last import WindowView
        from dropwatch.run.gathered import TRACED, Gathered

        views = summary_view_for(options, layout, own), journey_view_for(options, layout, own)
        windows = WindowView(layout, json=options.json, verbosity=options.verbosity, most=options.count)
        return Gathered(renderer, *views, windows, listener, traced=options.view in TRACED)
    return Mode(renderer)


def renderer_for(options: Options, layout: Layout, own_netns: int | None) -> Renderer:
    """`own_netns` is the namespace in which whydrop runs, or ran when it recorded."""
    if options.view == "folded":
        from dropwatch.render.finding.folded import FoldedRenderer

        return FoldedRenderer()
    if options.json:
        from dropwatch.render.finding.json import JsonRenderer

        return JsonRenderer(_page_for_programs if options.view == "stack" else None)
    if options.view == "stack":
        from dropwatch.packet.headers import headers
        from dropwatch.render.finding.stack_page import StackPage

        return StackPage(layout, headers, numbered=options.count != 1, own_netns=own_netns)
    from dropwatch.render.finding.text import TextRenderer

    return TextRenderer(
        layout,
        stack=options.stack,
        verbose=options.verbosity,
        each=options.every_packet,
        own_netns=own_netns,
    )


def _page_for_programs(found: Finding) -> "InFull":
    from dropwatch.packet.headers import headers
    from dropwatch.render.finding.stack_json import stack_object

    return stack_object(found, headers(found.drop.event))


def summary_view_for(options: Options, layout: Layout, own_netns: int | None) -> "SummaryJson | SummaryTable":
    """For lines of output; a full screen is made by whoever has the terminal."""
    if options.json:
        from dropwatch.render.summary.json import SummaryJson

        return SummaryJson(stack=options.stack)
    from dropwatch.render.summary.table import SummaryTable

    return SummaryTable(layout, own_netns, verbose=bool(options.verbosity))


def journey_view_for(
    options: Options, layout: Layout, own_netns: int | None
) -> "JourneyJson | JourneyText | JourneyDecisions | JourneyTree":
    """A tree where calls were asked for; each step with -v, and where functions were asked for by name."""
    if options.json:
        from dropwatch.render.journey.json import JourneyJson

        return JourneyJson()
    if options.view == "tree":
        from dropwatch.render.journey.tree import JourneyTree

        return JourneyTree(layout, own_netns, stack=options.stack)
    if options.verbosity or options.functions is not None:
        from dropwatch.render.journey.text import JourneyText

        return JourneyText(layout, own_netns, stack=options.stack)
    from dropwatch.render.journey.decisions import JourneyDecisions

    return JourneyDecisions(layout, own_netns, stack=options.stack)
