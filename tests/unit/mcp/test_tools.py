"""What a client says becomes words of a command line, none of which is an option or a command of its choice."""

from typing import Any

import pytest
from pydantic import ValidationError

from dropwatch.cli.agents.tools import Diff, Explain, Last, Live, Replay, Tool

WORDS = ("--", "-w/tmp/x", "--write=/tmp/x")


@pytest.mark.parametrize("value", [*WORDS, "report", "!--"])
def test_a_value_stands_in_the_word_of_its_option(value: str) -> None:
    asked = Live.model_validate({"filter": {"dport": value, "comm": value}, "expression": value})
    own = ["--json", "--duration=10"]
    assert asked.words() == [*own, f"--dport={value}", f"--comm={value}", f"({value})"]


@pytest.mark.parametrize("value", [*WORDS, " --", "\n--", "", "a\0b"])
@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Replay, {"path": "VALUE"}),
        (Diff, {"a": "/a", "b": "VALUE"}),
        (Diff, {"a": "1h..2h", "b": "0..1h", "store": "VALUE"}),
        (Explain, {"words": "VALUE"}),
        (Last, {"window": "VALUE"}),
        (Last, {"store": "VALUE"}),
    ],
)
def test_other_words_do_not_begin_as_one(kind: type[Tool], given: dict[str, Any], value: str) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate({key: text.replace("VALUE", value) for key, text in given.items()})


def test_two_windows_are_compared_as_two_files_are() -> None:
    asked = Diff.model_validate({"a": "1h..2h", "b": "0..1h", "store": "/s"})
    assert asked.words() == ["diff", "--json", "--store=/s", "1h..2h", "0..1h"]
    assert Diff.model_validate({"a": "/a", "b": "/b"}).words() == ["diff", "--json", "/a", "/b"]


def test_a_flag_and_nothing_at_all() -> None:
    asked = Replay.model_validate({"path": "/x", "harmless": True, "filter": {"ipv4": True, "ipv6": False}})
    assert asked.words() == ["replay", "--json", "--findings", "--all", "/x", "-4"]
    assert Last.model_validate({"filter": {"dport": None}}).words() == ["last", "--json", "1h"]
