"""Names that others chose, through every output: no line more, no command more, nothing that a terminal obeys."""

import json
import shlex
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes import CATALOGUE
from dropwatch.causes.diagnose import diagnose
from dropwatch.causes.placeholders import fill
from dropwatch.host.commands import nft_listing
from dropwatch.host.listed_rule import ListedRule
from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Drop, Event, Finding, Fix, Frame, Interface, Netns, Packet, Process
from dropwatch.model.journey import Journey, NetfilterAnswer, Step
from dropwatch.model.netfilter import NetfilterNote, NftChain, NftNote
from dropwatch.model.summary import Counter, FlowCount, Outside, Summary, SummaryRow
from dropwatch.names.foreign import foreign, quoted
from dropwatch.packet.headers import headers
from dropwatch.render.finding.folded import FoldedRenderer
from dropwatch.render.finding.json import JsonRenderer
from dropwatch.render.finding.pcapng import Pcapng, comment
from dropwatch.render.finding.stack_json import stack_object
from dropwatch.render.finding.stack_page import StackPage
from dropwatch.render.finding.text import TextRenderer
from dropwatch.render.journey.json import JourneyJson
from dropwatch.render.journey.text import JourneyText
from dropwatch.render.journey.tree import JourneyTree
from dropwatch.render.layout import Layout
from dropwatch.render.summary.json import SummaryJson
from dropwatch.render.summary.table import SummaryTable
from tests.unit.names.hostile import HOSTILE
from tests.unit.told_host import ToldHost

WIDE = Layout(100_000)
TIME = 1795205701.5
NAMES = [foreign(raw) for raw in HOSTILE]


def nft_note(name: str) -> NftNote:
    chain = NftChain(5, name)
    return NftNote("rule", "inet", name, 2, chain, 1, 0, "accept", chain, 7, "nft_immediate_eval", (chain,))


@pytest.fixture
def drop_of(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Callable[[str], Drop]:
    def build(name: str) -> Drop:
        frame = Frame("nft_do_chain", 1, name, 0xFFFFFFFF81000010)
        event = make_event(
            ifname=name, comm=name, pid=7, packet=bytes(20), netfilter=NetfilterNote(nft=nft_note(name))
        )
        return make_drop(
            event=event,
            iface=Interface(2, name),
            netns=Netns(4026532234, name),
            where=replace(make_drop().where, frame=frame),
            reason="NETFILTER_DROP",
            stack=(frame, Frame(name, 2, name, 0xFFFFFFFF81000020)),
            process=Process(7, name),
        )

    return build


@pytest.fixture
def finding_of(
    drop_of: Callable[[str], Drop], make_finding: Callable[..., Finding]
) -> Callable[[str], Finding]:
    def build(name: str) -> Finding:
        rule = NftRule(f'drop comment "{name}"', "inet", name, name, 7, comment=name)
        listed = ListedRule(rule, "nft", nft_listing("inet", name, name), (f"{name} jumps to {name}",))
        drop = drop_of(name)
        cause, verdict = diagnose(drop, ToldHost(nft_rule=listed))
        assert cause is not None
        return make_finding(
            drop,
            cause_id=cause.id,
            title=verdict.title or cause.title,
            culprit=verdict.culprit,
            evidence=verdict.evidence,
            fix=verdict.fix,
            owner=Process(8, name),
        )

    return build


@pytest.fixture
def outputs(
    finding_of: Callable[[str], Finding], make_packet: Callable[..., Packet]
) -> Callable[[str], dict[str, str]]:
    def build(name: str) -> dict[str, str]:
        finding = finding_of(name)
        place, device = Frame(name, 1, name, 1), Interface(2, name)
        step = Step(
            0.0, 0.0, "verdict", place, name, None, make_packet(), Netns(8, name), device, device, 0,
            Process(9, name), answer=NetfilterAnswer("nftables", "inet", name, name, "input", "drop"), changed=name,
        )  # fmt: skip
        journey = Journey(1, TIME, make_packet(), (step,), "dropped", name, finding, Process(9, name))
        row = SummaryRow(
            "a", finding.cause_id, name, "certain", place, "NETFILTER_DROP", finding.culprit, device,
            Netns(8, name), 9, 9, 1.0, TIME, TIME, 1, finding=finding,
        )  # fmt: skip
        outside = Outside(Counter("nic", name, 1, name, name), Netns(8, name), count=2, new=3)
        flow = FlowCount(4, "udp", make_packet().saddr, make_packet().daddr, 5000, 9)
        summary = Summary(TIME, 1.0, TIME, (row,), 9, {}, 0, (flow,), (outside,))
        folded = FoldedRenderer()
        folded.finding(finding, 0.0)
        return {
            "text": TextRenderer(WIDE, stack=True, own_netns=1).finding(finding, 0.0),
            "stack page": StackPage(WIDE, headers, numbered=False, own_netns=1).finding(finding, 0.0),
            "summary": SummaryTable(WIDE, 1).summary(summary),
            "trace": JourneyText(WIDE, 1, stack=True).journey(journey, 0.0),
            "tree": JourneyTree(WIDE, 1, stack=True).journey(journey, 0.0),
            "folded": folded.end(None, 0.0),  # type: ignore[arg-type]
            "comment": comment(finding),
            "json": JsonRenderer().finding(finding, 0.0),
            "stack json": JsonRenderer(lambda found: stack_object(found, headers(found.drop.event))).finding(
                finding, 0.0
            ),
            "summary json": SummaryJson(stack=True).summary(summary),
            "trace json": JourneyJson().journey(journey, 0.0),
        }

    return build


@pytest.mark.parametrize("name", NAMES)
def test_no_output_has_a_line_or_a_character_more(
    name: str, outputs: Callable[[str], dict[str, str]]
) -> None:
    usual = outputs("0br")  # no name that nft takes either
    for output, text in outputs(name).items():
        assert all(line.isprintable() for line in text.split("\n")), output
        text.encode()
        assert not any(
            line.lstrip().startswith(("curl", "do: rm", "#", "do: x")) for line in text.split("\n")
        )
        if output not in ("summary", "trace", "tree"):  # which have columns
            assert text.count("\n") == usual[output].count("\n"), output
        if "json" in output:
            assert text.isascii()
            assert list(_surrogates(json.loads(text))) == []


def test_they_are_all_shown(outputs: Callable[[str], dict[str, str]]) -> None:
    for output, text in outputs("\\xff\\xfe").items():
        assert "\\xff" in text, output


def _surrogates(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield from (c for c in found if "\ud800" <= c <= "\udfff")
    elif isinstance(found, list | dict):
        for item in found.items() if isinstance(found, dict) else found:
            yield from _surrogates(list(item) if isinstance(item, tuple) else item)


@pytest.mark.parametrize("raw", HOSTILE)
def test_a_capture_can_be_read(raw: bytes, finding_of: Callable[[str], Finding]) -> None:
    pcapng = Pcapng(lambda event: event.packet)
    data = pcapng.section("1", "Linux") + pcapng.finding(finding_of(foreign(raw)))
    assert foreign(raw).encode() in data
    assert struct.unpack_from("<I", data, len(data) - 4)[0] % 4 == 0


def test_a_comment_that_is_too_long_ends_with_a_line(finding_of: Callable[[str], Finding]) -> None:
    """Half a command is another command."""
    finding = finding_of("0br")
    long = replace(finding, fix=tuple(Fix("größer", f"echo {n}") for n in range(5000)))
    data = Pcapng(lambda event: event.packet).finding(long)
    start = data.index(b"whydrop: ")
    (length,) = struct.unpack_from("<H", data, start - 2)
    lines = data[start : start + length].decode().split("\n")
    assert 65_000 < length < 1 << 16
    assert lines[-1] == f"do: größer: echo {lines[-1].split()[-1]}"
    assert comment(long).startswith("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_are_what_they_are_for_any_name(name: str, finding_of: Callable[[str], Finding]) -> None:
    commands = [fix.command for fix in finding_of(name).fix if fix.command is not None]
    assert commands
    for command in commands:
        assert command.isprintable()
        words = shlex.split(command)
        assert words[:3] == ["ip", "netns", "exec"]
        assert words[3:4] == shlex.split(quoted(name))
        assert words[4] == "nft"


def test_what_nft_would_take_for_a_command_is_not_part_of_one(finding_of: Callable[[str], Finding]) -> None:
    commands = [fix.command for fix in finding_of("c; flush ruleset").fix]
    assert commands == ["ip netns exec 'c; flush ruleset' nft -a list ruleset inet"]


@pytest.mark.parametrize("name", NAMES)
def test_an_interface_in_any_command_is_one_word(name: str, drop_of: Callable[[str], Drop]) -> None:
    drop = drop_of(name)
    fixes = [
        fix for cause in CATALOGUE for fix in cause.fix if fix.command is not None and "DEV" in fix.command
    ]
    assert fixes
    for fix in fixes:
        command = fill(fix, drop).command
        assert command is not None
        assert command.isprintable()
        assert len(shlex.split(command)) == len(shlex.split(fix.command or "")), command
        assert ("DEV" in command) == name.startswith("-")


def test_an_interface_is_never_put_between_quotes(drop_of: Callable[[str], Drop]) -> None:
    for cause in CATALOGUE:
        for fix in cause.fix:
            filled = fill(Fix("", fix.command), drop_of("a;b c")).command or ""
            words = shlex.split(filled)
            assert filled.count("a;b c") == sum(word.count("a;b c") for word in words)
            assert not {"b", "c"} & set(words)
