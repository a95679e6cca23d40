"""The way of a packet of a trace, as the page tells it: what was decided about it, in words, and how it ended."""

from dropwatch.model.journey import Journey
from dropwatch.model.report import Turn, Way
from dropwatch.names.foreign import printable
from dropwatch.render.finding import packet_words
from dropwatch.render.journey.decisions import rows
from dropwatch.render.journey.text import JourneyText, iface_words, is_bad
from dropwatch.render.layout import Layout
from dropwatch.render.page.cut import cut

_MOST_TURNS = 200  # of one packet


def way(journey: Journey, own_netns: int | None, sort: int | None = None) -> Way:
    """Texts only, so that thousands of them need little memory. `sort` is which of the report's sorts it died of."""
    text = JourneyText(Layout(), own_netns)
    turns: list[Turn] = []
    where = ("", "")
    for row in rows(journey.steps):
        here = printable(text.netns_words(row.step.netns)), printable(iface_words(row.step.iface))
        turns.append(
            Turn(
                seconds=row.step.seconds,
                netns=here[0] if here[0] != where[0] else "",
                iface=here[1] if here != where else "",
                words=cut("  ".join(piece.text for piece in row.pieces)),
                is_bad=is_bad(row.step) and not row.changed,
            )
        )
        where = here
    particulars = packet_words.particulars(journey.packet, everything=True)
    return Way(
        number=journey.number,
        time=journey.time,
        packet=cut(f"{packet_words.packet_said(journey.packet)}  {particulars}".strip()),
        end=journey.end,
        end_text=cut(journey.end_text),
        turns=tuple(turns[:_MOST_TURNS]),
        left_out=max(0, len(turns) - _MOST_TURNS),
        sort=sort,
    )
