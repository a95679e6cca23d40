"""One drop before the judge of IPsec: what several signs ask the host for, or search, is found once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from dropwatch.host.host import Host
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.model.drop import Drop

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
