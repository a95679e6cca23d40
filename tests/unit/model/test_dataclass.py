"""The cheap dataclass: what its values do is what those of dataclasses do."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

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


@cheap.dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    x: int
    kind: ClassVar[str] = "base"


@cheap.dataclass(frozen=True, slots=True)
class Derived(Base):
    y: int = 2
    made: list[int] = dataclasses.field(default_factory=list)
    aside: int = dataclasses.field(default=0, compare=False, kw_only=True)


def test_fields_are_those_of_dataclasses() -> None:
    """Also of a class that leans on another, and before there is a value."""

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class KnownBase:
        x: int
        kind: ClassVar[str] = "base"

    @dataclasses.dataclass(frozen=True, slots=True)
    class Known(KnownBase):
        y: int = 2
        made: list[int] = dataclasses.field(default_factory=list)
        aside: int = dataclasses.field(default=0, compare=False, kw_only=True)

    def told(kind: Any) -> list[tuple[object, ...]]:
        return [
            (one.name, one.type, one.default, one.default_factory, one.compare, bool(one.kw_only))
            for one in dataclasses.fields(kind)
        ]

    assert told(Derived) == told(Known)
    assert told(Base) == told(KnownBase)
    assert Derived.__match_args__ == Known.__match_args__
    assert dataclasses.is_dataclass(Derived)


def test_a_value_is_made_as_of_dataclasses() -> None:
    one, other = Derived(3, x=1), Derived(3, x=1, aside=7)
    assert (one.x, one.y, one.made, one.kind) == (1, 3, [], "base")
    assert one == other
    assert one.made is not other.made
    assert dataclasses.replace(other, y=4) == Derived(4, x=1)
    assert not hasattr(one, "__dict__")
    wrong: tuple[dict[str, Any], ...] = ({}, {"x": 1, "z": 2})
    for words in wrong:
        with pytest.raises(TypeError):
            Derived(**words)
    with pytest.raises(TypeError):
        Derived(1, [], 3, 4, x=1)  # type: ignore[misc]
    assert copy.copy(one) == one
