"""Which renderer a run has, by its options: for findings, for summaries, for journeys."""

from dropwatch.enrich.headers import headers
from dropwatch.options import Options
from dropwatch.render.folded import FoldedRenderer
from dropwatch.render.journey_json import JourneyJson
from dropwatch.render.journey_text import JourneyText
from dropwatch.render.journey_tree import JourneyTree
from dropwatch.render.json_lines import JsonRenderer
from dropwatch.render.layout import Layout
from dropwatch.render.stack_json import stack_object
from dropwatch.render.stack_page import StackPage
from dropwatch.render.summary_json import SummaryJson
from dropwatch.render.summary_table import SummaryTable
from dropwatch.render.text import TextRenderer

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
