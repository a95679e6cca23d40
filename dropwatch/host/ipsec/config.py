"""What one network namespace has of IPsec: its SAs and policies, as read at one time."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TypeVar

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.model.ipsec import XfrmPolicy, XfrmState

Key = TypeVar("Key")
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class XfrmConfig:
    """`read_at_ns` is the monotonic time just before the reading began: nothing in here is older."""

    states: tuple[XfrmState, ...]
    policies: tuple[XfrmPolicy, ...]
    read_at_ns: int

    @cached_property
    def states_by_spi(self) -> dict[int, tuple[XfrmState, ...]]:
        return _grouped(self.states, lambda state: state.spi)

    @cached_property
    def states_by_hosts(self) -> dict[tuple[Address, Address], tuple[XfrmState, ...]]:
        """By source and destination address."""
        return _grouped(self.states, lambda state: (state.saddr, state.daddr))

    @cached_property
    def states_by_daddr(self) -> dict[Address, tuple[XfrmState, ...]]:
        return _grouped(self.states, lambda state: state.daddr)

    @cached_property
    def policies_by_dir(self) -> dict[str, tuple[XfrmPolicy, ...]]:
        """In the order in which the kernel tries them: a smaller priority number comes first."""
        return _grouped(sorted(self.policies, key=lambda policy: policy.priority), lambda policy: policy.dir)

    @cached_property
    def asks_for_ipsec(self) -> bool:
        """Does any policy want packets protected? A policy without a template only blocks or exempts."""
        return any(policy.templates for policy in self.policies)


def _grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, tuple[Item, ...]]:
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return {found: tuple(group) for found, group in groups.items()}
