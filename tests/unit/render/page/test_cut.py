"""Texts that a page can show: printable, bounded; a command whole or not at all."""

from dropwatch.render.page.cut import LONGEST, cut, cut_command


def test_a_short_text_stays_but_for_what_cannot_be_printed() -> None:
    assert cut("größer \u202e\n") == "größer \\xe2\\x80\\xae\\x0a"


def test_a_long_one_says_how_much_is_left_out() -> None:
    text = cut("x" * (1 << 20))
    assert text.startswith("x" * LONGEST)
    assert text.removeprefix("x" * LONGEST) == f"… ({(1 << 20) - LONGEST:,} more characters)"


def test_a_command_is_whole_or_not_there() -> None:
    assert cut_command("a\nb \x1b") == "a\nb \\x1b"
    assert cut_command("x" * (LONGEST + 1)) is None
    assert cut_command(None) is None
