"""One packet in full: nothing that is known is missing, and it fits eighty columns."""

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.model import culprits
from dropwatch.model.drop import Drop, Event, Evidence, Finding, Fix, Frame, MatchResult, Process, Where
from dropwatch.model.header import Header
from dropwatch.model.ipsec import Lifetime, XfrmNote, XfrmState
from dropwatch.model.netfilter import FunctionsAtHook, HookFunction, NetfilterNote, NftChain, NftNote
from dropwatch.render.finding.json import JsonRenderer
from dropwatch.render.finding.stack_json import stack_object
from dropwatch.render.finding.stack_page import StackPage
from dropwatch.render.layout import Layout

HEADERS = (
    Header("IPv4", 0, 20, (("src", "10.9.0.1"), ("ttl", 64))),
    Header("VXLAN", 20, 8, (("vni", 42),)),
    Header("UDP", 28, 3, depth=1, quoted=True, error="only 3 of its 8 bytes are in the record"),
)
OWN = (
    Frame("xfrm_input", 0x1DF, None, 0x10),
    Frame("my_function", 0x3A, "mymod", 0x20),
    Frame("handle_softirqs", 0xF, None, 0x30),
)
OUTSIDE = (Frame("irq_exit_rcu", 1, None, 0x40),)
STATE = XfrmState(
    4, ip_address("10.9.0.1"), ip_address("10.9.0.2"), "esp", 0x1001, "transport", state="valid"
)


@pytest.fixture
def finding(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> Finding:
    event = make_event(packet=bytes(31), comm="curl", pid=812, mark=0x10, cpu=3, skb_iif=7, length=31)
    return make_finding(
        make_drop(event=event, stack=OWN + OUTSIDE, where=Where(OWN[0], "ipsec", "in"), reason="XFRM_POLICY"),
        match=MatchResult("ipsec", "policy dport 5000 uses this SA"),
        culprit=culprits.XfrmState(
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
        evidence=(Evidence("packet", "seq 7"),),
        fix=(Fix("compare the keys", "ip -n b xfrm state"),),
    )


def page(layout: Layout | None = None, **settings: Any) -> StackPage:
    return StackPage(layout or Layout(80), lambda event: HEADERS, **settings)


def with_event(finding: Finding, **fields: Any) -> Finding:
    return replace(finding, drop=replace(finding.drop, event=replace(finding.drop.event, **fields)))


def with_stack(finding: Finding, stack: tuple[Frame, ...]) -> Finding:
    return replace(finding, drop=replace(finding.drop, stack=stack))


def test_everything_is_there_in_the_order_of_reading(finding: Finding) -> None:
    text = page().finding(finding, 0.0)
    sections = ["HEADERS", "BYTES", "STACK", "OBSERVED"]
    assert [line.split()[0] for line in text.splitlines() if line[:1].isupper()] == sections
    assert text.index("[ipsec.auth-failed") < text.index("HEADERS"), "the answer first"
    for piece in (
        "  IPv4  at 0, 20 bytes\n      src 10.9.0.1  ttl 64\n",
        "    UDP (quoted)  at 28, 3 bytes\n        stopped here: only 3 of its 8 bytes",
        "  0014              00 00",
        "  ==> xfrm_input+0x1df\n",
        "The decision fell 479 bytes into it",
        "      my_function+0x3a [mymod]\n      handle_softirqs+0xf\n",
        "  --- the softirq began here; below is what this CPU was doing then",
        "  interface   vb (index 2), came in through index 7\n",
        "mark 0x10",
        "  CPU         3\n",
        "curl (pid 812) was running on this CPU",
        "  match       ipsec: policy dport 5000 uses this SA\n",
        "[ipsec.auth-failed, certain]",
        "  by     SA src 10.9.0.1",
        "  proof  packet: seq 7\n",
        "    ip -n b xfrm state\n",
    ):
        assert piece in text, piece


@pytest.mark.parametrize("width", [80, 50])
def test_it_fits_and_has_no_colours_unless_asked(width: int, finding: Finding) -> None:
    text = page(Layout(width)).finding(finding, 0.0)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "\x1b" in page(Layout(width, colour=True)).finding(finding, 0.0)


def test_the_words_of_a_function_stand_under_it(finding: Finding) -> None:
    lines = page().finding(finding, 0.0).splitlines()
    at = lines.index("  ==> xfrm_input+0x1df")
    assert lines[at + 1].startswith("          ")
    at = lines.index("      my_function+0x3a [mymod]")
    assert lines[at + 1] == "      handle_softirqs+0xf"


def test_the_same_stack_is_not_repeated(finding: Finding) -> None:
    pages = page(numbered=True)
    first, second = pages.finding(finding, 0.0), pages.finding(finding, 0.0)
    assert first.startswith("PACKET 1\n")
    assert second.startswith("PACKET 2\n")
    assert "xfrm_input+0x1df\n          " in first
    assert "\nSTACK  as of packet 1\n" in second
    assert "my_function" not in second
    other = pages.finding(with_stack(finding, OWN[1:] + OUTSIDE), 0.0)
    assert "==> my_function" in other
    assert "\nSTACK  as of packet 1\n" in pages.finding(finding, 0.0)


def test_what_a_softirq_interrupted_does_not_make_another_stack(finding: Finding) -> None:
    pages = page(numbered=True)
    pages.finding(finding, 0.0)
    second = pages.finding(with_stack(finding, OWN), 0.0)
    assert "\nSTACK  as of packet 1; what the softirq interrupted was something else\n" in second


def test_one_packet_has_no_number(finding: Finding) -> None:
    assert "PACKET" not in page().finding(finding, 0.0)


def test_what_is_not_known_is_said(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> None:
    nothing = make_finding(
        make_drop(
            event=make_event(packet=b"", protocol=0, ifindex=0, skb_iif=0, netns=0),
            stack=(),
            iface=None,
            netns=None,
            where=Where(Frame(None, 0, None, 0), None, None),
        )
    )
    text = StackPage(Layout(80), lambda event: ()).finding(nothing, 0.0)
    for piece in (
        "HEADERS  no byte of the packet could be read\n",
        "STACK  the kernel gave none\n",
        "  reason      this kernel gives none\n",
        "  interface   unknown\n",
        "  netns       unknown\n",
        "  layer       unknown, direction unknown\n",
    ):
        assert piece in text, piece


def test_whose_system_call_it_was(finding: Finding) -> None:
    own = replace(finding, drop=replace(finding.drop, process=Process(812, "curl")))
    assert "curl (pid 812), in whose own system call it died" in page().finding(own, 0.0)


def test_a_name_of_anybody_cannot_move_the_cursor(finding: Finding) -> None:
    text = page().finding(with_event(finding, comm="a\x1b[2Jb"), 0.0)
    assert "\x1b" not in text
    assert "a\\x1b[2Jb" in text


def test_what_the_ipsec_probes_noted(finding: Finding) -> None:
    note = XfrmNote(
        audit=frozenset({"icvfail"}),
        spi=0x1001,
        state=replace(STATE, lifetime=Lifetime(packets=3, bytes=300)),
    )
    text = " ".join(page().finding(with_event(finding, xfrm=note), 0.0).split())
    assert "IPsec audit icvfail, spi 0x00001001, state src 10.9.0.1 dst 10.9.0.2 proto esp" in text
    assert "(state valid, 3 packets and 300 bytes through it" in text


def test_what_the_netfilter_probes_noted(finding: Finding) -> None:
    chain = NftChain(1, "input")
    nft = NftNote("rule", "ip", "filter", 3, chain, 1, 0, "accept", chain, 7, "nft_immediate_eval")
    hooks = (FunctionsAtHook("ip", 1, (HookFunction("f", "m", True), HookFunction(None))),)
    event = {"netfilter": NetfilterNote(nft=nft, at_hooks=hooks), "notes": frozenset({"time-wait"})}
    text = " ".join(page().finding(with_event(finding, **event), 0.0).split())
    assert "netfilter nft verdict rule, family ip, table filter" in text
    assert "base chain input (handle 1)" in text
    assert "rule 7, expression nft_immediate_eval" in text
    assert "functions f [m] then a function without a name (not watched)" in text
    assert "noted time-wait" in text


def test_the_json_has_bytes_and_layers(finding: Finding) -> None:
    note = XfrmNote(audit=frozenset({"icvfail"}), spi=0x1001, state=STATE)
    renderer = JsonRenderer(lambda one: stack_object(one, HEADERS))
    found = json.loads(renderer.finding(with_event(finding, xfrm=note), 0.0))
    assert found["hex"] == "00" * 31
    assert [layer["name"] for layer in found["layers"]] == ["IPv4", "VXLAN", "UDP"]
    assert found["layers"][0]["fields"] == {"src": "10.9.0.1", "ttl": 64}
    assert (found["layers"][2]["depth"], found["layers"][2]["quoted"]) == (1, True)
    observed = found["observed"]
    assert (observed["cpu"], observed["task"], observed["ethertype"]) == (
        3,
        {"pid": 812, "comm": "curl", "unit": None, "container": None, "pod": None},
        "0x0800",
    )
    assert observed["xfrm"]["spi"] == "0x00001001"
    assert observed["xfrm"]["state"]["text"].startswith("src 10.9.0.1 dst 10.9.0.2")
    assert "netfilter" not in observed
