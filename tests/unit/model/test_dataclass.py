"""The cheap dataclass: what its values do is what those of dataclasses do."""

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.model import dataclass as cheap


@cheap.dataclass(frozen=True, slots=True)
class Point:
    x: int
    names: tuple[str, ...] = ()


@cheap.dataclass(frozen=True)
class Nothing:
    pass


@cheap.dataclass(slots=True)
class Growing:
    items: list[int] = dataclasses.field(default_factory=list)


@cheap.dataclass(frozen=True, slots=True)
class Spoken:
    """It has words of its own."""

    text: str

    def __repr__(self) -> str:
        return self.text


@pytest.mark.parametrize("made", [lambda: Point(1, ("a",)), Nothing, lambda: Spoken("a")])
def test_equal_values_have_one_hash(made: Callable[[], Any]) -> None:
    assert made() == made()
    assert hash(made()) == hash(made())
    assert pickle.loads(pickle.dumps(made())) == made()


def test_values_that_differ() -> None:
    @cheap.dataclass(frozen=True, slots=True)
    class Other:
        x: int
        names: tuple[str, ...] = ()

    different: list[Any] = [Point(1), Point(2), Other(1), (1, ()), Nothing(), Spoken("a")]
    for at, value in enumerate(different):
        assert all(value != other for other in different[at + 1 :])
    assert dataclasses.replace(Point(1), x=2) == Point(2)


def test_what_changes_has_no_hash() -> None:
    assert Growing([1]) == Growing([1])
    with pytest.raises(TypeError, match="unhashable"):
        hash(Growing())


def test_how_they_are_shown() -> None:
    assert repr(Point(1, ("a",))) == "Point(x=1, names=('a',))"
    assert repr(Nothing()) == "Nothing()"
    assert repr(Spoken("as it likes")) == "as it likes"
    assert dataclasses.asdict(Point(1)) == {"x": 1, "names": ()}
