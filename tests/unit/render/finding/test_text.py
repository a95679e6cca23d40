"""The live text: complete, safe for a terminal, and the same drop again is a count."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.model.culprits import NftRule, XfrmState
from dropwatch.model.drop import (
    Drop,
    Event,
    Evidence,
    Finding,
    Fix,
    Frame,
    Interface,
    MatchResult,
    Netns,
    Packet,
    Process,
    Totals,
    Where,
)
from dropwatch.render.finding.text import TextRenderer
from dropwatch.render.layout import Layout

NOTHING = Totals({}, 0, 0, {}, {}, ())


@pytest.fixture
def auth_failed(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> Finding:
    return make_finding(
        make_drop(make_packet(proto="esp", sport=None, dport=None, spi=0x1001, seq=7, length=72)),
        title="authentication failed: the keys or the integrity algorithm differ",
        match=MatchResult("ipsec", "policy dport 5000 uses this SA"),
        culprit=XfrmState(
            "src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001",
            "0x00001001",
            "10.9.0.1",
            "10.9.0.2",
            "esp",
            "tunnel",
            1,
            0,
            0,
            0,
            "valid",
        ),
        evidence=(Evidence("probe xfrm_audit_state_icvfail", "SPI 0x00001001"), Evidence("packet", "seq 7")),
        fix=(Fix("compare the keys", "ip -n b xfrm state"), Fix("restart the key exchange")),
    )


def test_a_finding_says_everything_a_tired_person_needs(auth_failed: Finding) -> None:
    text = TextRenderer(Layout(80)).finding(auth_failed, 0.0)
    lines = text.splitlines()
    assert lines[0].endswith("esp 10.9.0.1 > 10.9.0.2 spi 0x00001001  seq 7 len 72")
    assert lines[1:] == [
        "    vb (in, netns b)",
        "  WHY    authentication failed: the keys or the integrity algorithm differ",
        "         [ipsec.auth-failed, certain]",
        "  WHERE  xfrm_input+0x1df, layer ipsec",
        "  BY     SA src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001",
        "  MATCH  ipsec: policy dport 5000 uses this SA",
        "  SEEN   probe xfrm_audit_state_icvfail: SPI 0x00001001",
        "         packet: seq 7",
        "  DO     compare the keys",
        "           ip -n b xfrm state",
        "  DO     restart the key exchange",
        "",
    ]


def test_a_drop_of_which_nothing_is_known_still_keeps_its_place(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    nameless = Frame(None, 0, None, 0xFFFFFFFFC0001234)
    drop = make_drop(
        make_packet(family=None, proto=None, saddr=None, daddr=None, sport=None, dport=None),
        iface=None,
        netns=None,
        where=Where(nameless, None, None),
    )
    finding = make_finding(drop, cause_id="unknown", title="cause not known", confidence="unknown")
    lines = TextRenderer(Layout(80)).finding(finding, 0.0).splitlines()
    assert lines[0].endswith("  packet  len 48")
    assert lines[1:] == ["  WHY    cause not known  [unknown]", "  WHERE  0xffffffffc0001234", ""]


def test_the_module_and_the_task_are_told(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop]
) -> None:
    drop = make_drop(
        where=Where(Frame("nft_do_chain", 16, "nf_tables", 1), "netfilter", "in"),
        process=Process(812, "nginx"),
    )
    text = TextRenderer(Layout(120)).finding(make_finding(drop), 0.0)
    assert "  WHERE  nft_do_chain+0x10 [nf_tables], layer netfilter\n" in text
    assert "  TASK   nginx (pid 812)\n" in text


@pytest.mark.parametrize(
    ("netns", "iface", "end"),
    [
        (Netns(7, "b"), Interface(2, "vb"), "  vb (in, netns b)"),
        (Netns(7, None), Interface(2, "vb"), "  vb (in)"),
        (Netns(8, None), Interface(2, None), "  interface 2 (in, netns 8)"),
        (Netns(8, "c"), None, "  (in, netns c)"),
        (None, None, "  (in)"),
    ],
)
def test_the_namespace_is_named_when_it_is_not_ones_own(
    netns: Netns | None,
    iface: Interface | None,
    end: str,
    make_finding: Callable[..., Finding],
    make_drop: Callable[..., Drop],
) -> None:
    text = TextRenderer(Layout(120), own_netns=7).finding(
        make_finding(make_drop(netns=netns, iface=iface)), 0.0
    )
    assert text.splitlines()[0].endswith(end)


def test_nothing_from_the_network_or_the_kernel_reaches_the_terminal_as_a_command(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop]
) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J"
    drop = make_drop(iface=Interface(2, evil), netns=Netns(9, evil), process=Process(1, evil), reason=evil)
    finding = make_finding(
        replace(drop, where=Where(Frame(evil, 0, evil, 0), evil, None)),
        title=evil,
        match=MatchResult("ipsec", evil),
        culprit=NftRule(evil, "ip", "filter"),
        evidence=(Evidence(evil, evil),),
        fix=(Fix(evil, evil),),
    )
    renderer = TextRenderer(Layout(80), stack=True)
    text = renderer.finding(finding, 0.0) + renderer.finding(finding, 0.1) + renderer.tick(2.0)
    assert "owned" in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_the_same_drop_again_becomes_a_count_told_when_the_second_is_over(
    auth_failed: Finding, make_packet: Callable[..., Packet]
) -> None:
    renderer = TextRenderer(Layout(80))
    assert renderer.finding(auth_failed, 10.0)
    for number in range(22):
        packet = replace(auth_failed.drop.packet, seq=8 + number)
        again = replace(auth_failed, drop=replace(auth_failed.drop, packet=packet))
        assert renderer.finding(again, 10.01) == ""
        assert renderer.tick(10.02) == ""
    assert renderer.tick(10.99) == ""
    assert renderer.tick(11.0) == (
        "  ... again 22 times in 1.0 s: esp 10.9.0.1 > 10.9.0.2 spi 0x00001001\n      [ipsec.auth-failed]\n"
    )
    assert renderer.tick(11.1) == ""


def test_while_it_goes_on_there_is_one_line_a_second_and_no_page(auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(80))
    shown = []
    for tenth in range(40):
        shown += [renderer.finding(auth_failed, tenth / 10), renderer.tick(tenth / 10)]
    pages = [text for text in shown if "WHY" in text]
    counts = [text for text in shown if "again" in text]
    assert (len(pages), len(counts)) == (1, 3)


def test_after_a_quiet_second_it_is_told_in_full_again(auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(80))
    renderer.finding(auth_failed, 0.0)
    renderer.finding(auth_failed, 0.5)
    assert "again once" in renderer.tick(1.0)
    assert renderer.tick(2.1) == ""
    assert "WHY" in renderer.finding(auth_failed, 2.2)


def test_another_flow_place_cause_object_or_namespace_is_another_drop(
    auth_failed: Finding, make_event: Callable[..., Event]
) -> None:
    drop = auth_failed.drop
    others = [
        replace(auth_failed, cause_id="ipsec.no-state"),
        replace(
            auth_failed,
            culprit=XfrmState(
                "another", "0x00001001", "10.9.0.1", "10.9.0.2", "esp", "tunnel", 1, 0, 0, 0, "valid"
            ),
        ),
        replace(auth_failed, drop=replace(drop, packet=replace(drop.packet, spi=0x1002))),
        replace(auth_failed, drop=replace(drop, event=make_event(location=1))),
        replace(auth_failed, drop=replace(drop, event=make_event(netns=1))),
    ]
    renderer = TextRenderer(Layout(80))
    assert all("WHY" in renderer.finding(finding, 0.0) for finding in [auth_failed, *others])
    assert not any(renderer.finding(finding, 0.0) for finding in [auth_failed, *others])


def test_what_is_open_at_the_end_is_still_told(auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(80))
    renderer.finding(auth_failed, 0.0)
    assert renderer.end(NOTHING, 0.1) == ""
    renderer.finding(auth_failed, 0.2)
    renderer.finding(auth_failed, 0.3)
    assert "again once in 0.3 s" in renderer.end(NOTHING, 0.5)


def test_a_flood_of_different_drops_costs_no_memory_and_loses_no_count(auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(80))
    drop = auth_failed.drop
    told = 0
    for number in range(5000):
        packet = replace(drop.packet, spi=number)
        finding = replace(auth_failed, drop=replace(drop, packet=packet))
        text = renderer.finding(finding, 0.0) + renderer.finding(finding, 0.0)
        told += text.count("WHY") + text.count("again once")
    assert len(renderer._repeats._told) == 1024
    assert told + renderer.tick(1.0).count("again once") == 10_000


def test_the_stack_is_shown_below_and_tells_drops_apart(
    auth_failed: Finding, make_event: Callable[..., Event]
) -> None:
    renderer = TextRenderer(Layout(80), stack=True)
    assert renderer.finding(auth_failed, 0.0).endswith(
        "  STACK  xfrm_input+0x1df\n         xfrm4_esp_rcv+0x3a\n\n"
    )
    other = replace(auth_failed, drop=replace(auth_failed.drop, event=make_event(stack=(1, 2))))
    assert "WHY" in renderer.finding(other, 0.0)
    assert renderer.finding(other, 0.0) == ""


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_line_is_wider_than_the_terminal(width: int, auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(width), stack=True)
    text = renderer.finding(auth_failed, 0.0) + renderer.finding(auth_failed, 0.0) + renderer.tick(1.0)
    assert max(len(line) for line in text.splitlines()) <= width


def test_colours_change_nothing_but_colours(auth_failed: Finding) -> None:
    plain = TextRenderer(Layout(80)).finding(auth_failed, 0.0)
    coloured = TextRenderer(Layout(80, colour=True)).finding(auth_failed, 0.0)
    stripped = coloured
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m"):
        stripped = stripped.replace(code, "")
    assert coloured != plain
    assert stripped == plain
