"""The judge of fragments."""

from dropwatch.causes.family import Family, in_order
from dropwatch.causes.fragment import signs
from dropwatch.causes.fragment.catalogue import CAUSES

FRAGMENT = Family(
    "fragment",
    CAUSES,
    in_order(
        ("fragment.timeout", signs.timed_out),
        ("fragment.duplicate", signs.came_twice),
        ("fragment.overlap", signs.does_not_fit),
        ("fragment.memory", signs.no_memory),
        ("fragment.overlap", signs.overlapping),
    ),
)
