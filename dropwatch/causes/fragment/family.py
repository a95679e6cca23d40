"""The judge of fragments."""

from dropwatch.causes.family import Family, in_order
from dropwatch.causes.fragment import signs
from dropwatch.causes.fragment.catalogue import CAUSES

FRAGMENT = Family(
    "fragment",
    CAUSES,
    in_order(
        ("fragment.timeout", signs.timed_out),
        ("fragment.memory", signs.no_memory),
        ("fragment.overlap", signs.overlapping),
    ),
)
