"""The live text: short, safe for a terminal, the same drop again is a count, and a table at the end."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.model.culprits import NftRule, XfrmState
from dropwatch.model.drop import (
    Decision,
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
    Sketch,
    Totals,
    Where,
)
from dropwatch.names.cause_address import cause_url
from dropwatch.render.finding import phrases
from dropwatch.render.finding.text import TextRenderer
from dropwatch.render.layout import Layout

WEB = Process(None, None, container="3f" * 32, container_name="web")
LXC = Process(None, None, container="my-long-lxc-name")
CART = Process(None, None, pod="0b5e8f3c", pod_name="cart-0", pod_namespace="shop")

NOTHING = Totals({}, 0, 0, {}, {}, ())
IN_PLACE = "\r\x1b[K"


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


def test_a_finding_says_what_a_tired_person_needs(auth_failed: Finding) -> None:
    assert TextRenderer(Layout(80)).finding(auth_failed, 0.0).splitlines() == [
        "20:15:01.123456 esp 10.9.0.1 > 10.9.0.2 spi 0x00001001  in vb, netns b",
        "  Authentication failed: the keys or the integrity algorithm differ (may carry",
        "  the flow by IPsec)  [ipsec.auth-failed]",
        "  by     SA src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001",
        "  proof  SPI 0x00001001 (probe xfrm_audit_state_icvfail)",
        "  try    compare the keys",
        "    ip -n b xfrm state",
        "",
    ]


def test_everything_is_there_when_it_is_asked_for(auth_failed: Finding) -> None:
    lines = TextRenderer(Layout(80), verbose=1).finding(auth_failed, 0.0).splitlines()
    assert lines[0].endswith("spi 0x00001001  seq 7 len 72")
    assert lines[1] == "  in vb, netns b"
    assert lines[2:] == [
        "  Authentication failed: the keys or the integrity algorithm differ",
        "  [ipsec.auth-failed, certain]",
        "  by     SA src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001",
        "  where  xfrm_input+0x1df, layer ipsec",
        "  match  ipsec: policy dport 5000 uses this SA",
        "  proof  probe xfrm_audit_state_icvfail: SPI 0x00001001",
        "         packet: seq 7",
        "  try    compare the keys",
        "    ip -n b xfrm state",
        "  try    restart the key exchange",
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
    drop = replace(drop, event=replace(drop.event, protocol=0))
    finding = make_finding(drop, cause_id="unknown", title="cause not known", confidence="unknown")
    lines = TextRenderer(Layout(80)).finding(finding, 0.0).splitlines()
    assert lines == ["20:15:01.123456 packet", "  Cause unknown: cause not known  [unknown]", ""]
    told = TextRenderer(Layout(80), verbose=1).finding(finding, 0.0)
    assert "  where  0xffffffffc0001234\n" in told


def test_the_module_and_the_task_are_told(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop]
) -> None:
    drop = make_drop(
        where=Where(Frame("nft_do_chain", 16, "nf_tables", 1), "netfilter", "in"),
        process=Process(812, "nginx"),
    )
    text = TextRenderer(Layout(120), verbose=1).finding(make_finding(drop), 0.0)
    assert "  where  nft_do_chain+0x10 [nf_tables], layer netfilter\n" in text
    assert "  task   nginx (pid 812)\n" in text


def test_who_sent_it_is_told_where_there_is_room(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop]
) -> None:
    finding = make_finding(make_drop(process=Process(812, "nginx")))
    assert "in vb, netns b  of nginx" in TextRenderer(Layout(80)).finding(finding, 0.0)
    assert "nginx" not in TextRenderer(Layout(71)).finding(finding, 0.0)


@pytest.mark.parametrize(
    ("netns", "iface", "end"),
    [
        (Netns(7, "b"), Interface(2, "vb"), "  in vb, netns b"),
        (Netns(7, None), Interface(2, "vb"), "  in vb"),
        (Netns(8, None), Interface(2, None), "  in interface 2, netns 8"),
        (Netns(8, "c"), None, "  in, netns c"),
        (Netns(8, "pid 812 (nginx)", WEB), None, "  in, netns of container web"),
        (Netns(8, None, replace(WEB, container_name=None)), None, "  in, netns of container 3f3f3f3f3f3f"),
        (Netns(8, None, LXC), None, "  in, netns of container my-long-lxc-name"),
        (Netns(8, "cni-0f3c", CART), None, "  in, netns cni-0f3c of pod shop/cart-0"),
        (Netns(7, None, WEB), None, "  in"),
        (None, None, "  in"),
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
        evidence=(Evidence(evil, evil), Evidence(evil, evil, "owner")),
        fix=(Fix(evil, evil), Fix(evil, sketch=Sketch(evil, evil))),
        owner=Process(1, evil),
        led_by=(Decision(evil, "likely", NftRule(evil, "ip", evil)),),
    )
    other = replace(finding, cause_id="netfilter.nft-rule")
    text = ""
    for verbose in (0, 2):
        for layout in (Layout(80), Layout(40), Layout(80, in_place=True)):
            renderer = TextRenderer(layout, verbose=verbose)
            said = renderer.finding(finding, 0.0) + renderer.finding(finding, 0.1) + renderer.tick(2.0)
            text += said + renderer.finding(other, 3.0) + renderer.end(NOTHING, 4.0)
    text = text.replace(IN_PLACE, "")
    assert "owned" in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_the_same_again_is_one_line_when_the_burst_is_over(
    auth_failed: Finding, make_packet: Callable[..., Packet]
) -> None:
    renderer = TextRenderer(Layout(80))
    assert renderer.finding(auth_failed, 10.0)
    for number in range(22):
        packet = replace(auth_failed.drop.packet, seq=8 + number)
        again = replace(auth_failed, drop=replace(auth_failed.drop, packet=packet))
        assert renderer.finding(again, 10.1 + number / 10) == ""
        assert renderer.tick(10.1 + number / 10) == ""
    assert renderer.tick(13.1) == ""
    assert renderer.tick(13.2) == (
        "  ... 22 more in 2.2 s: esp 10.9.0.1 > 10.9.0.2 spi 0x00001001\n      [ipsec.auth-failed]\n"
    )
    assert renderer.tick(14.3) == ""


def test_a_hundred_datagrams_of_one_client_are_ten_lines_at_most(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    renderer = TextRenderer(Layout(80))
    text = ""
    for number in range(100):
        finding = make_finding(
            make_drop(make_packet(sport=40_000 + number)),
            cause_id="socket.udp-no-listener",
            title="no UDP socket is bound to this address and port",
            evidence=(Evidence("packet", "no socket takes 10.9.0.2 port 5000"),),
            fix=(
                Fix(
                    "see which program is bound to the port, and to which address", "ss -lnup 'sport = :5000'"
                ),
            ),
        )
        text += renderer.finding(finding, number / 100) + renderer.tick(number / 100)
    text += renderer.end(NOTHING, 2.0)
    assert "... 99 more in 1.0 s: udp 10.9.0.1 > 10.9.0.2:5000" in text
    assert text.count("\n") <= 10, text


def test_what_goes_on_has_a_line_each_ten_seconds(auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(80))
    shown = []
    for tenth in range(305):
        shown += [renderer.finding(auth_failed, tenth / 10), renderer.tick(tenth / 10)]
    pages = [text for text in shown if "try" in text]
    counts = [text for text in shown if "more in 10.0 s" in text]
    assert (len(pages), len(counts)) == (1, 3)


def test_what_was_told_long_ago_is_told_in_full_again(auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(80))
    renderer.finding(auth_failed, 0.0)
    renderer.finding(auth_failed, 30.0)
    assert "1 more: " in renderer.tick(31.0)
    assert renderer.finding(auth_failed, 89.0) == ""
    assert "1 more: " in renderer.tick(90.0)
    assert "try" in renderer.finding(auth_failed, 149.1)


def test_another_service_place_cause_object_or_namespace_is_another_drop(
    auth_failed: Finding,
) -> None:
    drop = auth_failed.drop
    others = [
        replace(auth_failed, cause_id="ipsec.no-state"),
        replace(
            auth_failed,
            culprit=XfrmState(
                "another", "0x00001002", "10.9.0.1", "10.9.0.2", "esp", "tunnel", 1, 0, 0, 0, "valid"
            ),
        ),
        replace(auth_failed, drop=replace(drop, packet=replace(drop.packet, spi=0x1002))),
        replace(auth_failed, drop=replace(drop, packet=replace(drop.packet, sport=1, dport=2))),
        replace(auth_failed, drop=replace(drop, where=replace(drop.where, frame=Frame("f", 1, None, 1)))),
        replace(auth_failed, drop=replace(drop, netns=Netns(1, None))),
        replace(auth_failed, drop=replace(drop, iface=Interface(9, "other"))),
        replace(auth_failed, drop=replace(drop, where=replace(drop.where, direction="out"))),
    ]
    renderer = TextRenderer(Layout(80))
    assert all("try" in renderer.finding(finding, 0.0) for finding in [auth_failed, *others])
    assert not any(renderer.finding(finding, 0.0) for finding in [auth_failed, *others])


def test_one_blank_line_stands_before_the_table(auth_failed: Finding) -> None:
    other = replace(auth_failed, cause_id="ipsec.no-state")
    for counted in (False, True):
        renderer = TextRenderer(Layout(80))
        told = [renderer.finding(finding, 0.0) for finding in (auth_failed, other)]
        if counted:
            assert not renderer.finding(other, 0.0)
        text = "".join((*told, renderer.end(NOTHING, 1.0)))
        assert "\n\n  packets  cause" in text
        assert "\n\n\n" not in text


def test_what_is_open_at_the_end_is_still_told(auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(80))
    renderer.finding(auth_failed, 0.0)
    assert renderer.end(NOTHING, 0.1) == ""
    renderer.finding(auth_failed, 0.2)
    renderer.finding(auth_failed, 0.3)
    assert "2 more in 0.3 s" in renderer.end(NOTHING, 0.5)


def test_on_a_terminal_the_count_is_written_in_place(auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(80, in_place=True))
    renderer.finding(auth_failed, 0.0)
    renderer.finding(auth_failed, 0.2)
    first = renderer.tick(0.2)
    assert first.startswith(f"{IN_PLACE}  ... 1 more in 0.2 s: esp")
    assert "\n" not in first
    assert renderer.tick(0.3) == ""
    renderer.finding(auth_failed, 5.0)
    assert renderer.tick(5.0).startswith(f"{IN_PLACE}  ... 2 more in 5.0 s: esp")
    other = renderer.finding(replace(auth_failed, cause_id="ipsec.no-state"), 6.0)
    assert other.startswith(f"{IN_PLACE}  ... 2 more in 5.0 s: esp")
    assert other.count("2 more") == 1
    assert "... 2 more" not in renderer.end(NOTHING, 7.0)


def test_the_line_in_place_is_never_wrapped(auth_failed: Finding) -> None:
    for width in (40, 60, 80):
        renderer = TextRenderer(Layout(width, in_place=True))
        for cause in ("ipsec.auth-failed", "ipsec.no-state"):
            finding = replace(auth_failed, cause_id=cause)
            renderer.finding(finding, 0.0)
            renderer.finding(finding, 0.1)
        assert len(renderer.tick(0.2).removeprefix(IN_PLACE)) < width


def test_a_flood_of_different_drops_costs_no_memory_and_loses_no_count(auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(80))
    drop = auth_failed.drop
    told = 0
    for number in range(5000):
        packet = replace(drop.packet, spi=number)
        finding = replace(auth_failed, drop=replace(drop, packet=packet))
        text = renderer.finding(finding, 0.0) + renderer.finding(finding, 0.0)
        told += text.count("try") + text.count("1 more: ")
    assert len(renderer._repeats._told) == 1024
    assert told + renderer.tick(1.0).count("1 more: ") == 10_000


def test_the_numbers_of_a_screen_agree(auth_failed: Finding) -> None:
    """What was told by itself and what was counted are as many as the table has."""
    renderer = TextRenderer(Layout(80))
    text = ""
    for number in range(37):
        cause = ("ipsec.auth-failed", "ipsec.no-state", "ipsec.expired")[number % 3]
        finding = replace(auth_failed, cause_id=cause, culprit=None, count=number + 1)
        text += renderer.finding(finding, number / 2) + renderer.tick(number / 2)
    text += renderer.end(NOTHING, 40.0)
    body, _, table = text.partition("  packets  ")
    again = [int(number.replace(",", "")) for number in re.findall(r"\.\.\. ([\d,]+) more", body)]
    rows = [int(number.replace(",", "")) for number in re.findall(r"(?m)^ +([\d,]+)  ipsec", table)]
    assert body.count("try") + sum(again) == sum(rows) == 37 * 38 // 2
    assert rows == sorted(rows, reverse=True)


def test_the_stack_is_shown_below_and_tells_drops_apart(
    auth_failed: Finding, make_event: Callable[..., Event]
) -> None:
    renderer = TextRenderer(Layout(80), stack=True)
    assert renderer.finding(auth_failed, 0.0).endswith(
        "  stack  xfrm_input+0x1df\n         xfrm4_esp_rcv+0x3a\n\n"
    )
    assert "  stack  " in TextRenderer(Layout(80), verbose=2).finding(auth_failed, 0.0)
    other = replace(auth_failed, drop=replace(auth_failed.drop, event=make_event(stack=(1, 2))))
    assert "try" in renderer.finding(other, 0.0)
    assert renderer.finding(other, 0.0) == ""


@pytest.mark.parametrize("width", [40, 60, 80, 132])
@pytest.mark.parametrize("verbose", [0, 2])
def test_no_line_is_wider_than_the_terminal(width: int, verbose: int, auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(width), verbose=verbose)
    text = renderer.finding(auth_failed, 0.0) + renderer.finding(auth_failed, 0.0) + renderer.tick(1.0)
    text += renderer.finding(replace(auth_failed, cause_id="ipsec.no-state"), 1.0) + renderer.end(
        NOTHING, 1.0
    )
    assert max(len(line) for line in text.splitlines()) <= width


def test_colours_change_nothing_but_colours(auth_failed: Finding) -> None:
    plain = TextRenderer(Layout(80)).finding(auth_failed, 0.0)
    coloured = TextRenderer(Layout(80, colour=True)).finding(auth_failed, 0.0)
    assert coloured != plain
    assert re.sub(r"\x1b\[[0-9;]+m", "", coloured) == plain
    for meant in (
        "\x1b[1;31mAuthentication failed",
        "\x1b[36mSA src 10.9.0.1",
        "\x1b[32mip -n b xfrm state\x1b[0m",
    ):
        assert meant in coloured


def test_each_is_told_by_itself_where_that_is_asked_for(auth_failed: Finding) -> None:
    renderer = TextRenderer(Layout(80), each=True)
    assert renderer.finding(auth_failed, 0.0) == renderer.finding(auth_failed, 0.1) != ""
    assert renderer.end(NOTHING, 1.0) == ""


def test_the_page_of_the_cause_is_named_where_there_is_one(
    make_finding: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    cause_url.cache_clear()
    monkeypatch.setenv("WHYDROP_CAUSE_URL", "https://docs.example/{id}")
    page = TextRenderer(Layout(80), verbose=1).finding(make_finding(), 0.0)
    cause_url.cache_clear()
    assert "  page   https://docs.example/ipsec.auth-failed\n" in page


def test_a_container_with_a_name_has_the_beginning_of_its_id_beside_it() -> None:
    nginx = replace(WEB, pid=812, comm="nginx")
    assert phrases.process(nginx) == "nginx (pid 812), container web 3f3f3f3f3f3f"
    assert phrases.process(replace(nginx, container_name=None)) == f"nginx (pid 812), container {'3f' * 32}"
