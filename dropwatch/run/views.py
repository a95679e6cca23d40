"""Which renderer a run has, by its options: for findings, for summaries, for journeys."""

from dropwatch.packet.headers import headers
from dropwatch.render.finding.folded import FoldedRenderer
from dropwatch.render.finding.json import JsonRenderer
from dropwatch.render.finding.stack_json import stack_object
from dropwatch.render.finding.stack_page import StackPage
from dropwatch.render.finding.text import TextRenderer
from dropwatch.render.journey.json import JourneyJson
from dropwatch.render.journey.text import JourneyText
from dropwatch.render.journey.tree import JourneyTree
from dropwatch.render.layout import Layout
from dropwatch.render.summary.json import SummaryJson
from dropwatch.render.summary.table import SummaryTable
from dropwatch.run.options import Options

AnyRenderer = JsonRenderer | TextRenderer | StackPage | FoldedRenderer


def renderer_for(options: Options, layout: Layout, own_netns: int | None) -> AnyRenderer:
    """`own_netns` is the namespace in which whydrop runs, or ran when it recorded."""
    if options.view == "folded":
        return FoldedRenderer()
    if options.json:
        in_full = options.view == "stack"
        return JsonRenderer(
            (lambda found: stack_object(found, headers(found.drop.event))) if in_full else None
        )
    if options.view == "stack":
        return StackPage(layout, headers, numbered=options.count != 1, own_netns=own_netns)
    return TextRenderer(layout, stack=options.stack, own_netns=own_netns)


def summary_view_for(options: Options, layout: Layout, own_netns: int | None) -> SummaryJson | SummaryTable:
    """For lines of output; a full screen is made by whoever has the terminal."""
    return SummaryJson(stack=options.stack) if options.json else SummaryTable(layout, own_netns)


def journey_view_for(
    options: Options, layout: Layout, own_netns: int | None
) -> JourneyJson | JourneyText | JourneyTree:
    """A tree where calls were asked for."""
    if options.json:
        return JourneyJson()
    kind = JourneyTree if options.view == "tree" else JourneyText
    return kind(layout, own_netns, stack=options.stack)
