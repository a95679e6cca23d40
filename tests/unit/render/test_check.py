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


def test_the_verdict_comes_first_and_each_fact_is_a_line_with_what_to_do_below() -> None:
    assert check_text(FACTS, False, Layout(80)).splitlines() == [
        "whydrop cannot run here: user",
        "",
        "  ok  kernel       Linux 6.12",
        "  no  user         nobody may not load BPF programs",
        "                   -> run it as root: sudo whydrop",
        "  ?   drops        not tried",
        "  no  ipsec input  no kprobe on xfrm_input",
    ]


def test_the_verdict_names_what_is_missing_or_unclear_or_left_out() -> None:
    def first(facts: Sequence[Fact], can_run: bool) -> str:
        return check_text(facts, can_run, Layout(80)).splitlines()[0]

    assert first(FACTS[2:3], False) == "whether whydrop can run here is not known: drops"
    assert first(FACTS[3:], True) == "whydrop works here, but without ipsec input"
    assert first(FACTS[:1], True) == "whydrop works here, with all that it can see"
    many = tuple(Fact(f"family {letter}", False, "no kprobe") for letter in "abcdef")
    assert first(many, True) == "whydrop works here, but without family a, family b, family c and 3 more"


def test_families_of_one_kind_are_one_row() -> None:
    facts = (
        Fact("kernel", True, "Linux 6.12"),
        Fact("ipsec", True, "kprobes on xfrm_input and 9 more functions", probe=True),
        Fact("tcp", True, "kprobes on tcp_v4_rcv and 2 more functions; not on tcp_x", probe=True),
        Fact("nft", True, "kprobes on nft_do_chain and 1 more functions", probe=True),
        Fact("xt", False, "no kprobe on a: this kernel has no kprobes", probe=True),
        Fact("ebt", False, "no kprobe on b: this kernel has no kprobes", probe=True),
        Fact("bond", False, "no kprobe on c: it was refused", "be root", probe=True),
    )
    assert check_text(facts, True, Layout(100)).splitlines()[2:] == [
        "  ok  kernel      Linux 6.12",
        "  ok  2 families  ipsec, nft: their kprobes can be attached",
        "  ok  tcp         kprobes on tcp_v4_rcv and 2 more functions; not on tcp_x",
        "  no  2 families  xt, ebt: this kernel has no kprobes",
        "  no  bond        no kprobe on c: it was refused",
        "                  -> be root",
    ]
    assert len(json.loads(check_json(facts, True, False))["facts"]) == 7


def test_colour_marks_the_verdict_and_the_answers_only() -> None:
    lines = check_text(FACTS, False, Layout(80, colour=True)).splitlines()
    assert lines[0] == "\x1b[1;31mwhydrop cannot run here: user\x1b[0m"
    assert lines[3].startswith("  \x1b[31mno\x1b[0m  user  ")


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
