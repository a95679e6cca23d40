"""A packet that came out of an SA and dies afterwards."""

from collections.abc import Iterator

from dropwatch.causes.ipsec.objects import state_object
from dropwatch.host.host import Host
from dropwatch.host.ipsec.text import spi_text
from dropwatch.model.drop import Decision, Drop, Verdict

_PROTECTED = frozenset({"esp", "ah", "comp"})


def decisions(drop: Drop, host: Host, cause_id: str | None, verdict: Verdict) -> Iterator[Decision]:
    """By its secpath, read at the drop. What IPsec itself refused has the SA as its object, or in its evidence."""
    del host, verdict
    note = drop.event.xfrm
    if note is None or note.state is None or note.outbound or drop.packet.proto in _PROTECTED:
        return
    if note.audit or note.counters or (cause_id is not None and cause_id.startswith("ipsec.")):
        return
    state = note.state
    text = f"came out of SA {spi_text(state.spi)}"
    yield Decision(text, "certain", state_object(state), ("secpath of the packet, at the drop",))
