"""What is made of names that others chose."""

import subprocess

import pytest

from dropwatch.names.foreign import foreign, is_option, printable, quoted, raw_name
from tests.unit.names.hostile import HOSTILE

EVERY_BYTE = bytes(range(1, 256))


@pytest.mark.parametrize("raw", [*HOSTILE, EVERY_BYTE, b""])
def test_a_name_is_harmless_and_can_be_asked_for(raw: bytes) -> None:
    name = foreign(raw)
    assert name.isprintable()
    assert name.encode().decode() == name
    assert raw_name(name) == raw
    assert printable(name) == name


@pytest.mark.parametrize("raw", HOSTILE)
def test_python_text_gives_the_same_name(raw: bytes) -> None:
    assert foreign(raw.decode(errors="surrogateescape")) == foreign(raw)


@pytest.mark.parametrize("raw", [*HOSTILE, EVERY_BYTE, b""])
def test_a_shell_reads_the_name(raw: bytes) -> None:
    word = quoted(foreign(raw))
    assert word.isprintable()
    said = subprocess.run(
        ["bash", "-c", f"printf %s {word}"], capture_output=True, check=True, env={"LC_ALL": "C"}
    )
    assert said.stdout == raw


def test_no_quote_stands_between_quotes() -> None:
    """Whoever wraps or splits a command looks for the next one."""
    assert quoted("\\xff' b") == "$'\\xff\\x27 b'"


def test_what_is_readable_stays() -> None:
    assert foreign(b"br-4f1c.100@if7") == "br-4f1c.100@if7"
    assert foreign("größe".encode()) == "größe"
    assert (foreign(b"\n"), foreign(b"\\x0a")) == ("\\x0a", "\\x5cx0a")
    assert (quoted("eth0"), quoted("a b"), quoted("\\xff")) == ("eth0", "'a b'", "$'\\xff'")


def test_text_of_any_kind_can_be_printed() -> None:
    assert printable("\ud800\udcff\u202e\x1b[0m") == "\\xed\\xa0\\x80\\xff\\xe2\\x80\\xae\\x1b[0m"


def test_a_name_that_a_tool_takes_for_an_option() -> None:
    assert [is_option(name) for name in ("-F", "", "F-")] == [True, True, False]
