"""A store with its clocks in the test's hand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dropwatch.model.drop import Finding, Packet
from dropwatch.watch.store import Bounds, Store
from tests.unit.watch.clocks import NOON, WHO, Clocks


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def said() -> list[str]:
    """What the store told of."""
    return []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "drops.sqlite"


@pytest.fixture
def open_store(path: Path, clocks: Clocks, said: list[str]) -> Iterator[Callable[..., Store]]:
    """One that is not ended is as one that was killed."""
    made: list[Store] = []

    def build(**bounds: Any) -> Store:
        store = Store(
            path,
            WHO,
            Bounds(**bounds),
            said.append,
            wall=lambda: clocks.wall,
            clock=lambda: clocks.since_boot,
        )
        made.append(store)
        return store

    yield build
    for store in made:
        store._close()


@pytest.fixture
def find(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Any], make_packet: Callable[..., Packet]
) -> Callable[..., Finding]:
    def build(time: float = NOON, dport: int = 5000, saddr: Any = None, **fields: Any) -> Finding:
        about = {"dport": dport, "sport": 40000} | ({"saddr": saddr} if saddr is not None else {})
        return make_finding(make_drop(make_packet(**about), time=time), **fields)

    return build
