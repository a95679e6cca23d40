"""How long after a drop something was read, in words."""

from dropwatch.model.drop import Drop


def delay(drop: Drop, read_at_ns: int | None) -> str:
    """`12.0 ms after the drop`, or `before`, for what was read shortly before; `now` where it is not known."""
    if read_at_ns is None:
        return "now"
    later = (read_at_ns - drop.event.monotonic_ns) / 1e9
    span = f"{abs(later):.1f} s" if abs(later) >= 1 else f"{abs(later) * 1000:.1f} ms"
    return f"{span} after the drop" if later >= 0 else f"{span} before the drop"


def untimed(drop: Drop, read_at_ns: int | None) -> str:
    """The same without a number: how long it took says nothing of a rule, and equal drops have the same verdict."""
    if read_at_ns is None:
        return "now"
    return "after the drop" if read_at_ns >= drop.event.monotonic_ns else "before the drop"
