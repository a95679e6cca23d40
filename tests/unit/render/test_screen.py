"""Output whose reader leaves, whose terminal goes away, whose disk is full: real pipes and real files."""

import os
import pty
import threading
from pathlib import Path
from typing import Any

import pytest

from dropwatch.errors import WhydropError
from dropwatch.render import screen as screen_module
from dropwatch.render.screen import Screen


def opened(descriptor: int) -> Any:
    return os.fdopen(descriptor, "w", encoding="utf-8")


def test_what_is_shown_has_left_the_process_at_once() -> None:
    reading, writing = os.pipe()
    with opened(writing) as out:
        screen = Screen(out, None)
        screen.show("one\n")
        assert os.read(reading, 100) == b"one\n"
        assert not screen.reader_left
    os.close(reading)


def test_a_reader_that_left_is_noticed_without_a_write() -> None:
    reading, writing = os.pipe()
    with opened(writing) as out:
        screen = Screen(out, None)
        assert not screen.reader_left
        os.close(reading)
        assert screen.reader_left


def test_a_reader_that_left_is_no_error_and_the_rest_goes_nowhere() -> None:
    reading, writing = os.pipe()
    with opened(writing) as out:
        screen = Screen(out, None)
        os.close(reading)
        screen.show("one\n" * 100_000)
        assert screen.reader_left
        screen.show("two\n")  # and closing the file flushes into /dev/null without a complaint


def test_a_terminal_that_is_gone_is_no_error() -> None:
    master, slave = pty.openpty()
    with opened(slave) as out:
        screen = Screen(out, None)
        screen.show("one\n")
        assert not screen.reader_left
        os.close(master)
        screen.show("two\n")
        assert screen.reader_left


def test_a_full_disk_is_an_error_with_a_hint() -> None:
    with Path("/dev/full").open("w") as out:
        screen = Screen(out, None)
        with pytest.raises(WhydropError, match="No space left on device"):
            screen.show("one\n")


def test_without_standard_output_nobody_reads() -> None:
    screen = Screen(None, None)
    screen.show("one\n")
    screen.say("two\n")
    assert screen.reader_left


def test_standard_error_that_is_gone_disturbs_nothing() -> None:
    reading, writing = os.pipe()
    with opened(writing) as err:
        screen = Screen(None, err)
        os.close(reading)
        screen.say("one\n")
        screen.say("two\n")


def test_what_an_encoding_cannot_say_is_spelt_out() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="ascii") as out:
        Screen(out, None).show("größe\n")
        assert os.read(reading, 100) == b"gr\\xf6\\xdfe\n"
    os.close(reading)


@pytest.mark.parametrize(("asked", "seconds"), [(1, 0.05), (2, 30.0)])
def test_a_reader_that_does_not_read_keeps_no_run_from_its_end(
    asked: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen_module, "_GRACE_S", seconds)
    monkeypatch.setattr(screen_module, "_LOOK_EVERY_MS", 1)
    times = iter([0, 0, *[asked] * 1000])
    reading, writing = os.pipe()
    with opened(writing) as out:
        screen = Screen(out, None, lambda: next(times))
        screen.show("one\n" * 100_000)
        assert screen.reader_left
        screen.show("two\n")
    with os.fdopen(reading, "rb") as left:
        assert set(left.read().split()) == {b"one"}


def test_a_reader_that_is_slow_gets_all_of_it() -> None:
    reading, writing = os.pipe()
    found: list[bytes] = []

    def read() -> None:
        with os.fdopen(reading, "rb") as slow:
            found.append(slow.read())

    reader = threading.Thread(target=read)
    with opened(writing) as out:
        screen = Screen(out, None, lambda: 1)
        reader.start()
        screen.show("größe\n" * 100_000)
        assert not screen.reader_left
    reader.join()
    assert found == ["größe\n".encode() * 100_000]
