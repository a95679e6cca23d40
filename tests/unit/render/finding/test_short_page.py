"""Eight lines at most, and what is needed least gives way first; a command is whole whatever happens."""

from collections.abc import Callable

import pytest

from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Decision, Difference, Evidence, Finding, Fix, Sketch
from dropwatch.render.finding.short_page import verdict
from dropwatch.render.layout import Layout

Make = Callable[..., Finding]
LONG = "one two three four five six seven eight nine ten " * 8
COMMAND = (
    "ip netns exec b nft insert rule inet filter input position 4 ip saddr 10.9.0.1 udp dport 5000 accept"
)


def worst(make_finding: Make) -> Finding:
    return make_finding(
        title=LONG[:140],
        culprit=NftRule(LONG, "inet", "filter", "input", 4),
        led_by=(Decision(LONG, "certain"),),
        evidence=(
            Difference("a / b", LONG, "proof", sides=("packet", "rule"), name="x", came=LONG, wanted=LONG),
            Evidence("probe x", LONG, "proof"),
        ),
        fix=(Fix(LONG, COMMAND),),
    )


@pytest.mark.parametrize(("width", "most"), [(60, 10), (80, 8), (132, 8)])
@pytest.mark.parametrize("head", [1, 2])
def test_there_are_never_more(width: int, most: int, head: int, make_finding: Make) -> None:
    lines = verdict(worst(make_finding), Layout(width), head)
    assert len(lines) + head <= most
    assert lines[-1] == f"    {COMMAND}"
    assert all(len(line) <= width for line in lines[:-1])
    assert [line[2:8].strip() for line in lines if line[2:8].strip() in ("by", "led by", "proof", "try")] == [
        "by", "led by", "proof", "try",
    ]  # fmt: skip


def test_the_object_gives_way_last(make_finding: Make) -> None:
    finding = make_finding(
        culprit=NftRule(LONG[:150], "inet", "filter", "input", 4),
        evidence=(Evidence("probe x", LONG),),
        fix=(Fix(LONG, COMMAND),),
    )
    text = "\n".join(verdict(finding, Layout(80), 1))
    assert "# handle 4" in text
    assert text.count(" ...\n") == 2


def test_the_source_of_the_proof_is_told_where_it_costs_no_line(make_finding: Make) -> None:
    long = "a b c d e f g h i j k l m n o p q r s t u v w x y z 1 2 3 4 5"
    said = [
        verdict(make_finding(evidence=(Evidence("probe xfrm_input", text),)), Layout(80), 1)[-1]
        for text in ("it was so", long)
    ]
    assert said == ["  proof  it was so (probe xfrm_input)", f"  proof  {long}"]


def test_a_sketch_is_a_command_of_its_own_line(make_finding: Make) -> None:
    sketch = Sketch("add it, where GATEWAY is the router", "ip route add 10.9.0.9 via GATEWAY")
    finding = make_finding(fix=(Fix("add it: `ip route ...`, where GATEWAY is the router", sketch=sketch),))
    assert verdict(finding, Layout(80), 1)[-2:] == [
        "  try    add it, where GATEWAY is the router",
        "    ip route add 10.9.0.9 via GATEWAY",
    ]


def test_what_led_to_it_stands_there(make_finding: Make) -> None:
    rule = NftRule("dnat to 10.9.0.9", "ip", "nat", "pre", 3)
    finding = make_finding(led_by=(Decision("was 10.96.0.10:53 until DNAT by this rule", "likely", rule),))
    assert (
        "  led by probably was 10.96.0.10:53 until DNAT by this rule: nft ip nat pre: dnat to"
        in verdict(finding, Layout(100), 1)[1]
    )
