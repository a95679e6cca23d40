"""Pages on the screen: wrapped to the width, commands whole, nothing that could harm a terminal."""

from dropwatch.causes import CATALOGUE
from dropwatch.causes.explain import page
from dropwatch.model.page import Page, Section
from dropwatch.render.explain import explain_text
from dropwatch.render.layout import Layout

LONG = """
One sentence that is long enough to be wrapped
at forty columns.

Another.
$ ip route get 10.0.0.1 from 10.0.0.2 iif eth0 # long
And more.
"""
PAGE = Page(
    "some.cause",
    "cause",
    "something happened",
    (
        Section(
            "Why",
            LONG,
        ),
        Section("Names", entries=(("A", "the first of the names, with many words"), ("LONGER", "short"))),
    ),
)


def test_paragraphs_are_wrapped_and_commands_are_not() -> None:
    assert explain_text(PAGE, Layout(40)).splitlines() == [
        "some.cause  (cause)",
        "something happened",
        "",
        "Why",
        "  One sentence that is long enough to be",
        "  wrapped at forty columns.",
        "",
        "  Another.",
        "      ip route get 10.0.0.1 from 10.0.0.2 iif eth0 # long",
        "  And more.",
        "",
        "Names",
        "  A       the first of the names, with",
        "          many words",
        "  LONGER  short",
    ]


def test_a_name_stays_whole_however_wide_it_is() -> None:
    wide = "x" * 70
    text = explain_text(Page("p", "", "h", (Section("Names", entries=((wide, "some words"),)),)), Layout(80))
    assert text.splitlines()[-1] == f"  {wide}  some words"


def test_colours_only_where_wanted() -> None:
    assert "\x1b" not in explain_text(PAGE, Layout(80))
    assert explain_text(PAGE, Layout(80, colour=True)).startswith("\x1b[1msome.cause\x1b[0m  (cause)")


def test_what_could_move_the_cursor_is_spelt_out() -> None:
    text = explain_text(Page("p", "", "a\x1b[2Jb", (Section("H", "$ echo \x07"),)), Layout(80))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_every_page_fits_the_width_but_for_commands() -> None:
    names = [
        None,
        *(cause.id for cause in CATALOGUE),
        "NO_SOCKET",
        "IP_INHDR",
        "xfrm_input",
        "unknown",
        "ipsec",
    ]
    for name in names:
        for line in explain_text(page(name), Layout(80)).splitlines():
            assert len(line) <= 80 or line.startswith("      "), f"{name}: {line}"
