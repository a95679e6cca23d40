"""The self-test in words and in JSON."""

import json
from collections.abc import Sequence

from dropwatch.model.fact import Fact
from dropwatch.render.check import check_json, check_text
from dropwatch.render.layout import Layout

FACTS = (
    Fact("kernel", True, "Linux 6.12"),
    Fact("user", False, "nobody may not load BPF programs", "run it as root: sudo whydrop", vital=True),
    Fact("drops", None, "not tried", vital=True),
    Fact("ipsec input", False, "no kprobe on xfrm_input"),
)


def test_each_fact_is_a_line_with_what_to_do_below() -> None:
    assert check_text(FACTS, False, Layout(80)).splitlines() == [
        "  ok  kernel          Linux 6.12",
        "  no  user            nobody may not load BPF programs",
        "                      -> run it as root: sudo whydrop",
        "  ?   drops           not tried",
        "  no  ipsec input     no kprobe on xfrm_input",
        "",
        "whydrop cannot watch this machine: user",
    ]


def test_the_summary_names_what_is_missing_or_unclear_or_left_out() -> None:
    def last(facts: Sequence[Fact], can_run: bool) -> str:
        return check_text(facts, can_run, Layout(80)).splitlines()[-1]

    assert last(FACTS[2:3], False) == "whydrop cannot watch this machine: unclear: drops"
    assert last(FACTS[3:], True) == "whydrop can watch this machine, but without: ipsec input"
    assert last(FACTS[:1], True) == "whydrop can watch this machine"


def test_colour_marks_the_answer_only() -> None:
    lines = check_text(FACTS, False, Layout(80, colour=True)).splitlines()
    assert lines[1].startswith("  \x1b[31mno\x1b[0m  user  ")


def test_json_has_every_fact_as_it_is() -> None:
    found = json.loads(check_json(FACTS, True, False))
    assert (found["type"], found["schema"], found["works"], found["complete"]) == ("check", 1, True, False)
    assert found["facts"][1] == {
        "name": "user",
        "works": False,
        "text": "nobody may not load BPF programs",
        "todo": "run it as root: sudo whydrop",
        "vital": True,
        "probe": False,
    }
