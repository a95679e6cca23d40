"""The SAs of the time of a drop, where others were added or deleted before they could be read."""

from collections.abc import Iterable
from itertools import takewhile

from dropwatch.causes.ipsec import objects
from dropwatch.causes.ipsec.case import Case, doubts, once
from dropwatch.model.change import Change
from dropwatch.model.ipsec import XfrmState


@once
def deleted_since(case: Case) -> tuple[XfrmState, ...]:
    """As they were when they were deleted."""
    event = case.drop.event
    since = takewhile(lambda one: one.monotonic_ns > event.monotonic_ns, reversed(case.host.gone_states()))
    return tuple(one.state for one in since if one.netns == event.netns and one.state.spi)


def of_the_drop(case: Case, read: Iterable[XfrmState]) -> Iterable[XfrmState]:
    """What was read, without those that were added after the drop, and with those that are gone since."""
    if not doubts(case, "SAs"):
        return read
    states = (*deleted_since(case), *read)
    return [one for one in states if objects.existed(one.lifetime.add_time, case.drop) is not False]


def may_be_newer(case: Case, state: XfrmState) -> bool:
    """It was added in the second of the drop, before it or after it."""
    return objects.existed(state.lifetime.add_time, case.drop) is None


def pinned_by(case: Case, state: XfrmState) -> Change:
    """What must not have changed for this SA to be one of the drop, and the same as then: an SA keeps its age."""
    is_older = bool(doubts(case, "SAs")) and objects.existed(state.lifetime.add_time, case.drop)
    return "SA updates" if is_older else "SAs"
