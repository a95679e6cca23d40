"""What is the same again is counted: a burst is one count, nothing is lost, and nothing is remembered for ever."""

from dropwatch.render.finding.repeats import Repeats


def test_a_burst_is_one_count_from_its_beginning_to_its_end() -> None:
    repeats = Repeats()
    assert list(repeats.remember("a", "flow", 0.0)) == []
    for number in range(5):
        assert repeats.again("a", 2, 20 + number / 10)
        assert list(repeats.due(20 + number / 10)) == []
    (told,) = repeats.due(21.5)
    assert (told.what, told.again, round(told.elapsed, 3)) == ("flow", 10, 0.4)
    assert list(repeats.due(30.0)) == []


def test_what_goes_on_is_counted_after_ten_seconds() -> None:
    repeats = Repeats()
    list(repeats.remember("a", "flow", 0.0))
    counts = []
    for tenth in range(1, 251):
        repeats.again("a", 1, tenth / 10)
        counts += [told.again for told in repeats.due(tenth / 10)]
    assert counts == [100, 100]
    assert [told.again for told in repeats.due(25.0, everything=True)] == [50]


def test_what_is_open_is_known_the_last_first() -> None:
    repeats = Repeats()
    for key in "abc":
        list(repeats.remember(key, key, 0.0))
    assert repeats.open() == []
    for key, now in (("b", 1.0), ("a", 1.1)):
        repeats.again(key, 1, now)
    assert [told.what for told in repeats.open()] == ["a", "b"]


def test_a_minute_later_it_is_new_but_for_what_is_not_counted_yet() -> None:
    repeats = Repeats()
    list(repeats.remember("a", "a", 0.0))
    repeats.again("a", 1, 1.0)
    assert repeats.again("a", 1, 100.0)
    assert sum(told.again for told in repeats.due(100.0, everything=True)) == 2
    assert not repeats.again("a", 1, 160.0)


def test_what_is_pushed_out_is_counted() -> None:
    repeats = Repeats()
    for key in range(1024):
        list(repeats.remember(key, f"{key}", 0.0))
    repeats.again(0, 7, 0.0)
    assert list(repeats.remember("new", "new", 0.1)) == [], "what came last stays longest"
    for key in range(2000, 3023):
        pushed = list(repeats.remember(key, f"{key}", 0.2))
        if pushed:
            assert [(told.what, told.again) for told in pushed] == [("0", 7)]
            break
    else:
        raise AssertionError("the count of the first was lost")
