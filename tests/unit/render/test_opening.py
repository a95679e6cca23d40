"""The first words of a run in text mode."""

from dropwatch.render.layout import Layout
from dropwatch.render.opening import watching


def test_it_says_at_once_what_will_not_be_seen() -> None:
    spots = ("probe xfrm_input: not attached: no such file",)
    assert watching("dropped packets, in netns b", spots, Layout(200)).splitlines() == [
        "whydrop: watching: dropped packets, in netns b; Ctrl-C ends",
        "  not seen: probe xfrm_input: not attached: no such file",
    ]


def test_a_long_filter_goes_on_below() -> None:
    first, *rest = watching(" ".join(["udp packets"] * 12), (), Layout(60)).splitlines()
    assert first.startswith("whydrop: watching: udp packets")
    assert rest
    assert all(line.startswith("  ") and len(line) <= 60 for line in rest)
