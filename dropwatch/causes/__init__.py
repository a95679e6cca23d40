"""What whydrop knows: every cause of packet loss, in the order in which `whydrop explain` lists them."""

from dropwatch.causes.cause import Cause
from dropwatch.causes.precedence import FAMILIES

CATALOGUE: tuple[Cause, ...] = tuple(cause for family in FAMILIES for cause in family.causes)
BY_ID = {cause.id: cause for cause in CATALOGUE}


def by_id(cause_id: str) -> Cause | None:
    """The cause with this id, in any case of letters; None if there is none."""
    return BY_ID.get(cause_id.lower())
