"""One drop before the judge of IPsec: what several signs ask the host for, or search, is found once."""

from collections.abc import Callable
from dataclasses import field
from functools import wraps
from inspect import unwrap
from typing import Any, TypeVar

from dropwatch.causes import pinned
from dropwatch.host.host import Host
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.model.change import Change
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Drop, Evidence, Verdict

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Case:
    """`found` is what was asked for already, by the function that finds it."""

    drop: Drop
    host: Host
    found: dict[Callable[..., Any], Any] = field(default_factory=dict)


def once(find: Callable[[Case], Found]) -> Callable[[Case], Found]:
    """Who asks again about the same case is given what was found."""

    @wraps(find)
    def remembered(case: Case) -> Found:
        if find not in case.found:
            case.found[find] = find(case)
        found: Found = case.found[find]
        return found

    return remembered


@once
def config(case: Case) -> XfrmConfig | None:
    """The SAs and policies of the drop's namespace, read after it died."""
    return case.host.xfrm(case.drop.event.netns, case.drop.event.monotonic_ns)


@once
def interfaces(case: Case) -> dict[int, IpsecInterface] | None:
    """The xfrm and VTI interfaces of the drop's namespace, by index."""
    return case.host.xfrm_interfaces(case.drop.event.netns, case.drop.event.monotonic_ns)


def doubts(case: Case, *kinds: Change) -> tuple[Evidence, ...]:
    """Why what was read of these kinds may not be what was there at the drop; nothing where it is."""
    there = config(case)
    if there is None or not kinds:
        return ()
    links = (pinned.Source("links", None),) if unwrap(interfaces) in case.found else ()
    return pinned.doubts(
        case.drop, case.host, *(pinned.Source(kind, there.read_at_ns) for kind in kinds), *links
    )


def if_unchanged(case: Case, verdict: Verdict, *kinds: Change) -> Verdict:
    """The same verdict, no more than likely where the object that it names may not be that of the drop."""
    return pinned.doubted(verdict, doubts(case, *kinds))
