"""What is typed out of habit is answered with whydrop's word for it."""

import pytest

from dropwatch.cli.habits import option_hint, word_hint


@pytest.mark.parametrize(
    ("option", "close", "hint"),
    [
        ("-l", [], "not needed: each finding is written at once"),
        ("-X", ["-V"], "whydrop stack shows the bytes of a packet and all its headers"),
        ("--prot", ["--proto", "--port"], "did you mean --proto or --port?"),
        ("--nothing", [], None),
    ],
)
def test_an_option_of_another_tool(option: str, close: list[str], hint: str | None) -> None:
    assert option_hint(option, close) == hint


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["dport", "53"], "did you mean --dport 53?"),
        (["stak"], "did you mean whydrop stack?"),
        (["zzz", "9"], None),
    ],
)
def test_a_first_word_that_is_no_command(words: list[str], hint: str | None) -> None:
    assert word_hint(words, {"stack", "summary"}, {"--dport", "-i"}) == hint
