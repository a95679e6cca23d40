"""Recordings of summaries and traces: replayed as they were shown, or as the drops that they are made of."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dropwatch.enrich.answers import Answers
from dropwatch.model.drop import Event, Finding, Frame, Interface, MatchResult, Netns, Process, Totals
from dropwatch.model.journey import Journey, NetfilterAnswer, Step
from dropwatch.model.summary import Counter, FlowCount, Outside, Summary, SummaryRow
from dropwatch.recording.listener import Listener
from dropwatch.recording.members import opening, pack, read_items
from dropwatch.render.layout import Layout
from dropwatch.run.modes import journey_view_for, renderer_for, summary_view_for
from dropwatch.run.options import Options, View
from dropwatch.run.pipeline import Pipeline, pipeline
from dropwatch.run.write import listener_for, start_of
from tests.unit.aggregate.test_journeys import udp
from tests.unit.run.test_replay import mutated

PRIVATE = b"private"
Record = Callable[..., tuple[Path, str]]
Replay = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stages(make_answers: Callable[..., Answers]) -> Callable[[Options, Listener], Pipeline]:
    """The pipeline of a run in which everything matches."""

    def build(options: Options, listener: Listener) -> Pipeline:
        answers = make_answers(
            frame=lambda address: Frame("__udp4_lib_rcv", 99, None, address),
            reason={7: "NO_SOCKET"}.get,
            netns={9: "b"}.get,
            time_of=lambda at: 5.0,
        )
        return pipeline(answers, options, listener, lambda by_filter: lambda drop: MatchResult("direct"))

    return build


@pytest.fixture
def finding(make_event: Callable[..., Event], stages: Callable[[Options, Listener], Pipeline]) -> Finding:
    """A datagram to a closed port, judged."""
    event = make_event(packet=udp() + PRIVATE, location=2, stack=(2,), reason=7, netns=9)
    found = stages(Options(), Listener()).finding(event)
    assert found is not None
    return found


def step(finding: Finding, **fields: Any) -> Step:
    usual = {
        "seconds": 0.1 + 0.2, "since": 1e-6, "kind": "verdict", "frame": Frame("nft_do_chain", 0, "nf_tables", 1),
        "text": "", "layer": "netfilter", "packet": finding.drop.packet, "netns": Netns(9, "b"),
        "iface": Interface(2, "vb"), "route": None, "cpu": 1, "process": Process(812, "nc"), "returned": -1,
        "answer": NetfilterAnswer("nftables", "inet", "filter", "input", None, "accept"),
        "fields": (("len", 84), ("mark", None)),
    }  # fmt: skip
    return Step(**{**usual, **fields})


def journey(finding: Finding, number: int = 1) -> Journey:
    steps = (step(finding, kind="receive", tap=True, answer=None), step(finding, changed="ports 1 > 2"))
    words = "dropped by __udp4_lib_rcv"
    return Journey(number, 1795205701.123456, finding.drop.packet, steps, "dropped", words, finding)


def summary(finding: Finding, packets: int = 7, complete: bool = False) -> Summary:
    drop = finding.drop
    row = SummaryRow(
        "key", finding.cause_id, finding.title, finding.confidence, drop.where.frame, drop.reason, finding.culprit,
        drop.iface, drop.netns, packets, 2, 0.2, 1.5, 2.5, 1, history=(1, 2), finding=finding,
    )  # fmt: skip
    outside = Outside(Counter("nic", "rx_missed_errors", 1, "eth0", "no room"), Netns(1, None), 212, 3)
    packet = drop.packet
    flow = FlowCount(4, "udp", packet.saddr, packet.daddr, 5000, packets)
    return Summary(3.5, 1.25, 1.5, (row,), packets, {}, 0, (flow,), (outside,), complete)


@pytest.fixture
def record(tmp_path: Path, finding: Finding, stages: Callable[[Options, Listener], Pipeline]) -> Record:
    """Records what was shown, and the sample or the death that it is made of; the file and the lines."""

    def run(
        view: View, *shown: Any, name: str = "x.whydrop", end: bool = True, times: int = 1, **how: Any
    ) -> tuple[Path, str]:
        path = tmp_path / name
        options = Options(write=path, view=view, json=True, **how)
        listener = listener_for(options)
        judge = stages(options, listener).finding
        listener.begin(start_of(options, 1))
        for _ in range(times):
            assert judge(finding.drop.event)
        for one in shown:
            listener.gathered(one)
        ends = None if view == "summary" else {"dropped": len(shown)}
        totals = Totals({"kfree_skb": 11}, 9, 9, {}, {"benign.unix-socket": 2}, ("spot",), ends)
        if end:
            listener.end(totals, 2, 100.0)
        listener.close()
        summaries, journeys = summary_view_for(options, Layout(), 1), journey_view_for(options, Layout(), 1)
        lines = [
            summaries.summary(one) if isinstance(one, Summary) else journeys.journey(one, 0) for one in shown
        ]
        return path, "".join(lines) + renderer_for(options, Layout(), 1).end(totals, 100.0)

    return run


def test_summaries_are_shown_again(record: Record, replay: Replay, finding: Finding) -> None:
    path, lines = record("summary", summary(finding), summary(finding, 9, complete=True), stack=True)
    assert "__udp4_lib_rcv" in lines
    assert replay(path, "--json", "--stack") == (0, lines, "")
    kept = [item["rows"][0].get("finding") for item in read_items(path) if item["item"] == "summary"]
    assert [one is None for one in kept] == [False, True]  # the same is written once
    code, out, err = replay(path)
    assert (code, out.count(" dropped in ")) == (0, 2)
    assert "9 dropped packets matched; 11 drops seen in all" in err


@pytest.mark.parametrize("view", ["trace", "tree"])
def test_journeys_are_shown_again(
    view: View,
    record: Record,
    replay: Replay,
    finding: Finding,
) -> None:
    path, lines = record(view, journey(finding), journey(finding, 2))
    assert replay(path, "--json") == (0, lines, "")
    code, out, err = replay(path)
    assert (code, out.count("DROPPED")) == (0, 2)
    assert (" | " in out) == (view == "tree")
    assert "2 packets followed: dropped 2" in err
    assert json.loads(replay(path, "--json", "--count", "1")[1].splitlines()[0])["number"] == 1


@pytest.mark.parametrize("view", ["summary", "trace"])
def test_the_drops_one_by_one(
    view: View,
    record: Record,
    replay: Replay,
    finding: Finding,
) -> None:
    made = summary if view == "summary" else journey
    path, _ = record(view, made(finding))
    for words, count in ((["--dport", "5000"], 1), (["--dport", "5001"], 0), ([], 1)):
        code, out, _ = replay(path, "--json", "--findings", *words)
        kinds = [json.loads(line)["type"] for line in out.splitlines()]
        assert (code, kinds) == (0, ["drop"] * count + ["end"])


def test_drops_that_were_not_shown_then_have_the_time_of_their_death(
    record: Record, replay: Replay, finding: Finding
) -> None:
    path, _ = record("summary", summary(finding), times=3)
    assert "... 2 more: " in replay(path, "--findings")[1]


@pytest.mark.parametrize("words", [["--dport", "5000"], ["--netns", "b"], ["--cause", "ipsec.*"], ["--all"]])
def test_nothing_can_be_taken_out_of_a_summary(
    words: list[str],
    record: Record,
    replay: Replay,
    finding: Finding,
) -> None:
    path, _ = record("summary", summary(finding))
    code, out, err = replay(path, *words)
    assert (code, out) == (2, "")
    assert "--findings" in err.splitlines()[1]


@pytest.mark.parametrize("view", ["summary", "trace"])
def test_a_capture_has_the_drops(
    view: View,
    record: Record,
    replay: Replay,
    finding: Finding,
    tmp_path: Path,
) -> None:
    made = summary if view == "summary" else journey
    path, _ = record(view, made(finding))
    assert replay(path, "--write", tmp_path / "again.pcapng")[0] == 0
    live, _ = record(view, made(finding), name="live.pcapng")
    for capture in (tmp_path / "again.pcapng", live):
        assert capture.read_bytes().count(b"whydrop: ") == 1


@pytest.mark.parametrize("view", ["summary", "trace"])
def test_payload_and_addresses(
    view: View,
    record: Record,
    replay: Replay,
    finding: Finding,
    tmp_path: Path,
) -> None:
    made = summary if view == "summary" else journey
    path, lines = record(view, made(finding))
    other = tmp_path / "other.whydrop"
    assert replay(path, "--write", other, "--anonymize")[0] == 0
    code, out, _ = replay(other, "--json")
    assert (code, "10.9.0." in lines, "10.9.0." in out) == (0, True, False)
    kept, _ = record(view, made(finding), name="kept.whydrop", payload=True)
    assert [packets(file) for file in (path, other)] == [[bytes(len(PRIVATE))] * 2] * 2
    assert packets(kept) == [PRIVATE] * 2


def packets(path: Path) -> list[bytes]:
    """The payload of each packet in the file."""
    texts = re.findall(r'"packet": "([^"]+)"', json.dumps(list(read_items(path))))
    return [bytes.fromhex(text)[-len(PRIVATE) :] for text in texts]


@pytest.mark.parametrize("view", ["summary", "trace"])
def test_without_its_end(
    view: View,
    record: Record,
    replay: Replay,
    finding: Finding,
) -> None:
    made = summary if view == "summary" else journey
    path, lines = record(view, made(finding), end=False)
    code, out, err = replay(path, "--json")
    assert (code, out.splitlines()[0]) == (1, lines.splitlines()[0])
    assert "its end is missing" in err


@pytest.mark.parametrize("view", ["summary", "trace"])
def test_a_time_that_cannot_be(
    view: View,
    record: Record,
    replay: Replay,
    finding: Finding,
) -> None:
    made = summary if view == "summary" else journey
    path, _ = record(view, made(finding))
    items = list(read_items(path))
    for item in items:
        if item["item"] in ("summary", "journey"):
            item["time"] = 1e19
    path.write_bytes(opening("0.2.0") + b"".join(pack(items)))
    for words in (["--json"], []):
        code, _, err = replay(path, *words)
        assert (code, "cannot be shown" in err) == (1, True)


@pytest.mark.parametrize("view", ["summary", "trace", "tree"])
def test_hostile_items_are_refused_or_shown(
    view: View,
    record: Record,
    replay: Replay,
    finding: Finding,
) -> None:
    made = summary if view == "summary" else journey
    path, _ = record(view, made(finding))
    items = list(read_items(path))
    source = random.Random(13)
    for _ in range(300):
        at = source.randrange(len(items))
        path.write_bytes(
            opening("0.2.0") + b"".join(pack([*items[:at], mutated(source, items[at]), *items[at + 1 :]]))
        )
        for words in (["--json"], []):
            code, out, err = replay(path, *words)
            assert code in (0, 1, 2)
            assert "this should not have happened" not in err, err
            assert not {"\x1b", "\u202e"} & set(out + err)
