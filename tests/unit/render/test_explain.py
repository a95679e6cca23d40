"""Pages on the screen: wrapped to the width, commands whole, nothing that could harm a terminal."""

from dropwatch.causes import CATALOGUE
from dropwatch.explain.find import page
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


def test_a_sample_is_shown_as_it_was_printed_however_wide() -> None:
    sample = "12:00:00  udp a > b\n  try    look\n  ip netns exec b22 ip xfrm state get src 10.9.22.1 dst 10.9.22.2\n"
    text = explain_text(Page("p", "", "h", (Section("How it looks", sample=sample),)), Layout(40))
    assert text.endswith("".join(f"  {line}\n" for line in sample.splitlines()))


def test_what_is_listed_has_one_line_each_cut_only_where_asked() -> None:
    entries = (("a.b", "words " * 20), ("a.longer", "short"))
    listed = Page("p", "", "h", (Section("", entries=entries, listed=True),))
    cut = explain_text(listed, Layout(60), cut=True).splitlines()[3:]
    assert [len(line) for line in cut] == [60, 17]
    assert cut[0].endswith("...")
    whole = explain_text(listed, Layout(60)).splitlines()[3:]
    assert [len(whole), whole[0].count("words")] == [2, 20]


def test_every_page_fits_the_width_but_for_commands_and_samples() -> None:
    names = [*([cause.id] for cause in CATALOGUE), ["NO_SOCKET"], ["IP_INHDR"], ["xfrm_input"], ["unknown"]]
    for name in [[], ["ipsec"], ["buffer"], ["ListenDrops"], *names]:
        for width in (60, 80, 132):
            found = page(name)
            printed = {f"  {line}" for section in found.sections for line in section.sample.splitlines()}
            for line in explain_text(found, Layout(width), cut=True).splitlines():
                assert len(line) <= width or line.startswith("      ") or line in printed, f"{name}: {line}"


def test_a_page_is_at_most_two_screens() -> None:
    longest = {
        cause.id: explain_text(page([cause.id]), Layout(80), cut=True).count("\n") for cause in CATALOGUE
    }
    assert {name: lines for name, lines in longest.items() if lines > 120} == {}
    assert sorted(longest.values())[len(longest) // 2] <= 72
