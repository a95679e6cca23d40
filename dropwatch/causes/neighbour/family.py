"""The judge of neighbours."""

from dropwatch.causes.family import Family, in_order
from dropwatch.causes.neighbour import signs, table
from dropwatch.causes.neighbour.catalogue import CAUSES

NEIGHBOUR = Family(
    "neighbour",
    CAUSES,
    in_order(
        ("neighbour.deleted", signs.deleted),
        ("neighbour.not-asked", signs.not_asked),
        ("neighbour.unresolved", signs.unresolved),
        ("neighbour.queue-full", signs.queue_full),
        ("neighbour.table-full", table.full),
    ),
)
