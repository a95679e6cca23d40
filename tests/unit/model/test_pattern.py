"""A pattern that is compiled when it is used first does what re's does."""

import re

import pytest

from dropwatch.model.pattern import pattern


def test_it_finds_what_the_pattern_of_re_finds() -> None:
    text, known = "a1 B22 c333", r"([a-z])(\d+)"
    lazy, made = pattern(known, re.IGNORECASE), re.compile(known, re.IGNORECASE)
    assert lazy.pattern == made.pattern
    assert lazy.groups == made.groups
    assert [found.span() for found in lazy.finditer(text)] == [found.span() for found in made.finditer(text)]
    assert lazy.findall(text) == made.findall(text)
    assert lazy.sub(r"\2\1", text) == made.sub(r"\2\1", text)
    assert lazy.split(text) == made.split(text)
    for found in (lazy.match(text), lazy.search(text), lazy.fullmatch("z9")):
        assert found is not None
    assert lazy.fullmatch(text) is None


def test_of_bytes() -> None:
    assert pattern(rb"\d+").findall(b"a1b22") == [b"1", b"22"]


def test_what_is_no_pattern_is_told_when_it_is_used() -> None:
    with pytest.raises(re.error):
        pattern("(").match("")
