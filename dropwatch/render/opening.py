"""The first words of a run: what it does while it starts, then what it watches, and what it will not see."""

from collections.abc import Sequence

from dropwatch.render.closing import not_seen
from dropwatch.render.layout import Layout

STARTING = "whydrop: starting: attaching probes to the kernel ..."
CLEAR = "\r\x1b[K"


def watching(words: str, blind_spots: Sequence[str], layout: Layout) -> str:
    """`words` say which packets, and where."""
    lines = layout.paragraph(f"watching: {words}; Ctrl-C ends", "whydrop: ", "  ")
    return "\n".join([*lines, *not_seen(blind_spots, layout)]) + "\n"
