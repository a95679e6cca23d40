"""Names that others choose."""

import random

from dropwatch.watch.bounded import Bounded


def flood(counts: Bounded[str], names: int, before: str = "x") -> None:
    for number in range(names):
        counts.add(f"{before}{number}", 1)


def test_the_first_names_have_a_count_of_their_own() -> None:
    counts = Bounded("other", most=3, at_once=3)
    counts.add("a", 2)
    counts.add("b", 1)
    counts.add("a", 3)
    assert dict(counts.items()) == {"a": 5, "b": 1}


def test_a_flood_of_names_leaves_a_place_for_a_large_one() -> None:
    counts = Bounded("other", most=20, at_once=10)
    flood(counts, 100_000)
    assert len(dict(counts.items())) == 10 + 1
    for _ in range(20):
        counts.add("large", 100)
    found = dict(counts.items())
    assert found["large"] == 1000  # those before it had a hundredth of all are in `other`
    assert sum(found.values()) == 100_000 + 2000


def test_what_comes_steadily_between_a_flood_is_found() -> None:
    counts = Bounded("other", most=20, at_once=10)
    for number in range(100):
        flood(counts, 90, f"{number} ")
        counts.add("steady", 10)
    assert dict(counts.items())["steady"] >= 500


def test_no_count_goes_or_falls_and_the_sum_is_exact() -> None:
    counts = Bounded("other", most=12, at_once=6)
    before: dict[str, int] = {}
    chance, total = random.Random(9720), 0
    for _ in range(3000):
        many = chance.randrange(1, 50)
        counts.add(str(int(chance.expovariate(0.01))), many)
        total += many
        found = dict(counts.items())
        assert all(found[name] >= count for name, count in before.items())
        assert sum(found.values()) == total
        before = found
    assert len(before) == 12 + 1
    assert before["other"] > 0


def test_what_is_remembered_of_others_is_bounded() -> None:
    counts = Bounded("other", most=20, at_once=0)
    counts.add("x" * 50, 10**9)  # has the first place: no other is large beside it
    flood(counts, 5000)
    assert len(counts._candidates) <= 1024
