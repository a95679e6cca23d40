"""Which hard limits an SA has reached, and by how much."""

from dropwatch.model.drop import Evidence
from dropwatch.model.ipsec import XfrmState


def limits_reached(state: XfrmState | None, now: float) -> tuple[Evidence, ...]:
    """`5 packets, limit 5`; `now` is the time of the drop, in seconds since 1970."""
    if state is None:
        return ()
    life = state.lifetime
    added = int(now) - life.add_time if life.add_time else 0
    used = int(now) - life.use_time if life.use_time else 0
    pairs = (
        ("bytes", life.bytes, life.hard_bytes),
        ("packets", life.packets, life.hard_packets),
        ("seconds since it was added", added, life.hard_add_seconds),
        ("seconds since it was first used", used, life.hard_use_seconds),
    )
    return tuple(
        Evidence("SA at the drop", f"{used} {unit}, hard limit {limit}", "proof")
        for unit, used, limit in pairs
        if limit is not None and used >= limit
    )
