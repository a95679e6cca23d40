"""What is written while a run goes on is what is read afterwards: events, names, and every answer of the host."""

import inspect
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.questions import IpsecQuestions
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.netfilter.questions import Firewalls
from dropwatch.host.question import Question
from dropwatch.host.route import Route
from dropwatch.model.culprits import IptablesRule
from dropwatch.model.drop import Drop, Event, Frame, MatchResult
from dropwatch.model.ipsec import GoneState, Selector, XfrmNote, XfrmPolicy, XfrmState
from dropwatch.model.netfilter import NetfilterNote, XtNote
from dropwatch.recording import recorder as recorder_module
from dropwatch.recording import recording as recording_module
from dropwatch.recording.addresses import Anonymizer
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.items import Tick
from dropwatch.recording.members import Damaged, read_items
from dropwatch.recording.questions import answer_types, noted_function, noted_host, replayed_host
from dropwatch.recording.recorder import Recorder
from dropwatch.recording.recording import Recorded, Recording
from dropwatch.recording.start import End, Start
from tests.unit.told_host import ToldHost

A, B = ip_address("198.51.100.1"), ip_address("198.51.100.2")
STATE = XfrmState(4, A, B, "esp", 0x1001, "transport")
POLICY = XfrmPolicy(Selector(4, A, 32, ip_address("198.51.100.0"), 24), "in", "allow", 1, 8)
XT = XtNote("ip", "filter", 1, 5, 800, 640, (152,), False, None, (), 0, A.packed)
RULE = ListedRule(
    IptablesRule("-s 198.51.100.1/32 -j DROP", "ip", "filter", "INPUT", 1),
    "iptables-legacy",
    "iptables-legacy -t filter -vnL --line-numbers",
)
START = Start("0.1", "6.1", "x86_64", 1795205701.0, 3600, 4026531840)
END = End({"kfree_skb": 7}, {}, 2, ("it could not see 198.51.100.1",), 9.5, 3, 3, {"benign.x": 1})
DIRECT = MatchResult("direct")

MakeDrop = Callable[..., Drop]
MakeEvent = Callable[..., Event]


@pytest.fixture
def host() -> ToldHost:
    return ToldHost(
        xfrm=XfrmConfig((STATE,), (POLICY,), 5),
        xt_rules=(RULE,),
        firewalls=Firewalls((), ("ip filter",)),
        route_back=Route("eth0", str(B)),
        gone_states=(GoneState(1, 2, STATE, 3, "ip"),),
    )


class Run:
    """A recorder that writes to a file, and the recording that it gives."""

    def __init__(
        self, path: Path, editor: Editor | None = None, clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.path = path
        self.recorder = Recorder(editor or Editor(payload=True), clock)
        self.path.write_bytes(b"")
        self.recorder.begin(START, self.write)

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def event(
        self,
        drop: Drop,
        ask: Callable[[], object] = lambda: None,
        match: MatchResult = DIRECT,
        told: float | None = None,
    ) -> None:
        self.recorder.next_event()
        ask()
        self.recorder.keep(drop, match)
        if told is not None:
            self.recorder.told(told)

    def read(self) -> tuple[Recording, Iterator[Any]]:
        recording = Recording(self.path)
        return recording, recording.items()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "x.whydrop")


def everything(host: Any, inode: int, at: int) -> tuple[Any, ...]:
    return (
        host.xfrm(inode, at).states,
        host.xfrm(inode, at).policies,
        host.xt_rules(inode, XT, at),
        host.firewalls(inode, at),
        host.route_back(inode, A, 3, at),
        host.gone_states(),
    )


def test_every_question_to_the_host_is_kept() -> None:
    public = {name for name, found in vars(IpsecQuestions).items() if isinstance(found, Question)}
    assert {"xfrm", "gone_states", "_daemons"} <= public
    assert {name for name in public if not name.startswith("_")} <= answer_types().keys()
    assert {"xfrm", "nft_rule", "route_back", "reason", "netns", "interface"} <= answer_types().keys()
    assert "_daemons" not in answer_types()
    assert answer_types()["route_back"] == Route | None


def test_there_and_back(run: Run, host: ToldHost, make_drop: MakeDrop, make_event: MakeEvent) -> None:
    asked = noted_host(host, run.recorder.asked)
    drops = [
        make_drop(event=make_event(monotonic_ns=at, netns=7, xfrm=XfrmNote(state=STATE))) for at in (10, 20)
    ]
    said = []
    for drop in drops:
        run.event(drop, lambda: said.append(everything(asked, 7, 15)), MatchResult("ipsec", "why"), told=4.5)
        run.recorder.tick(5.0)
    run.recorder.end(END)
    recording, items = run.read()
    assert recording.start == START
    replayed = replayed_host(recording.answer)
    for drop, before in zip(drops, said, strict=True):
        item = next(items)
        assert item.event == drop.event
        assert (item.time, item.match, item.now) == (drop.time, MatchResult("ipsec", "why"), 4.5)
        assert everything(replayed, 7, 15) == before
        assert next(items) == Tick(5.0)
    assert [*items] == [END]
    assert recording.unanswered == set()


def test_answers_belong_to_their_event(run: Run, make_drop: MakeDrop, make_event: MakeEvent) -> None:
    names = noted_function("netns", {1: "a", 2: None}.__getitem__, run.recorder.asked)
    run.event(make_drop(event=make_event(netns=1)), lambda: names(1))
    run.event(make_drop(event=make_event(netns=2)), lambda: names(2))
    run.recorder.end(END)
    recording, items = run.read()
    next(items)
    assert recording.answer("netns", (1,)) == "a"
    next(items)
    assert recording.answer("netns", (2,)) is None
    assert recording.unanswered == set()
    assert recording.answer("netns", (1,)) is None
    assert recording.answer("xt_rules", (1, XT, 5)) == ()
    assert recording.unanswered == {"netns", "xt_rules"}


def test_an_answer_is_written_once(run: Run, host: ToldHost, make_drop: MakeDrop) -> None:
    asked = noted_host(host, run.recorder.asked)
    for _ in range(50):
        run.event(make_drop(), lambda: everything(asked, 7, 15))
    run.recorder.end(END)
    kinds = Counter(item["item"] for item in read_items(run.path))
    assert kinds["event"] == 50
    assert kinds["answer"] == len(everything(host, 7, 15)) - 2  # states and policies are one


def test_deleted_sas_are_written_once(run: Run, make_drop: MakeDrop) -> None:
    gone = deque((GoneState(at, 7, STATE, 3, "ip") for at in range(3)), maxlen=4)
    host = ToldHost(gone_states=lambda: tuple(gone))
    asked, said = noted_host(host, run.recorder.asked), []
    for at in (3, 3, 4, 5, 6):
        run.event(make_drop(), lambda: said.append(asked.gone_states()))
        gone.append(GoneState(at, 7, STATE, 3, "ip"))
    run.event(make_drop(), lambda: said.append(asked.gone_states()))
    run.recorder.end(END)
    recording, items = run.read()
    for before in said:
        next(items)
        assert replayed_host(recording.answer).gone_states() == before
    assert len(said[-1]) == 4
    assert sum(item["item"] == "gone_state" for item in read_items(run.path)) == 8


def test_more_answers_than_there_is_room_for(
    run: Run, make_drop: MakeDrop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "SLOTS", 4)
    monkeypatch.setattr(recording_module, "SLOTS", 4)
    names = noted_function("netns", lambda inode: f"name {inode}", run.recorder.asked)
    order = [1, 2, 3, 1, 4, 5, 6, 1, 2, 7, 1, 1, 5]
    for inode in order:
        run.event(make_drop(), partial(names, inode))
    run.recorder.end(END)
    recording, items = run.read()
    for inode in order:
        next(items)
        assert recording.answer("netns", (inode,)) == f"name {inode}"


def test_symbols_are_those_of_that_time(run: Run, make_drop: MakeDrop, make_event: MakeEvent) -> None:
    def drop(*stack: int) -> Drop:
        return make_drop(event=make_event(location=stack[0], stack=stack))

    run.recorder.frame(1, Frame("one", 4, None, 1))
    run.event(drop(1, 2))
    run.recorder.frame(2, Frame("two", 5, "mod", 2))
    run.event(drop(1, 2))
    run.recorder.end(END)
    recording, items = run.read()
    next(items)
    assert [recording.frame(at) for at in (1, 2)] == [Frame("one", 4, None, 1), Frame(None, 0, None, 2)]
    next(items)
    assert recording.frame(2) == Frame("two", 5, "mod", 2)


def test_what_was_kept_is_in_the_file_within_a_second(tmp_path: Path, make_drop: MakeDrop) -> None:
    now = [0.0]
    run = Run(tmp_path / "x", clock=lambda: now[0])
    run.event(make_drop(), told=0.0)
    run.recorder.tick(0.1)
    now[0] = 1.5
    run.recorder.tick(1.5)
    _, items = run.read()
    assert isinstance(next(items), Recorded)
    assert [next(items), next(items)] == [Tick(0.1), Tick(1.5)]
    with pytest.raises(Damaged, match="its end is missing"):
        next(items)


def test_ticks_of_a_quiet_time_are_not_kept(run: Run, make_drop: MakeDrop) -> None:
    run.event(make_drop(), told=0.0)
    for tenth in range(100):
        run.recorder.tick(tenth / 10)
    run.recorder.end(END)
    _, items = run.read()
    assert len([item for item in items if isinstance(item, Tick)]) == 30


def test_with_other_addresses_the_answers_still_fit(
    tmp_path: Path, host: ToldHost, make_drop: MakeDrop, make_event: MakeEvent
) -> None:
    anonymizer = Anonymizer(b"k" * 32)
    run = Run(tmp_path / "x", Editor(anonymizer))
    asked = noted_host(host, run.recorder.asked)
    packet = bytes.fromhex("4500001c0000000040110000") + A.packed + B.packed + bytes(8)
    link = bytes.fromhex("333300000001 020000000002 86dd")
    event = make_event(
        packet=packet,
        location=77,
        stack=(77,),
        link=link,
        netfilter=NetfilterNote(xt=XT),
        xfrm=XfrmNote(state=STATE),
    )
    run.recorder.frame(77, Frame("here", 1, None, 77))
    run.event(
        make_drop(event=event), lambda: everything(asked, 7, 15), MatchResult("ipsec", f"policy src {A}/32")
    )
    run.recorder.end(END)
    recording, items = run.read()
    item = next(items)
    other, replayed = anonymizer.address(A), replayed_host(recording.answer)
    assert item.event.packet[12:16] == other.packed
    assert item.event.link == link[:6] + anonymizer.packed(link[6:12]) + link[12:] != link
    assert (item.event.xfrm.state.saddr, item.event.netfilter.xt.rule) == (other, b"")
    assert item.match.why == f"policy src {other}/32"
    assert recording.frame(item.event.location).function == "here"
    config = replayed.xfrm(7, 15)
    assert config is not None
    assert config.states[0].saddr == other
    network = anonymizer.network(ip_network("198.51.100.0/24"))
    assert config.policies[0].selector.daddr == network.network_address
    assert replayed.xt_rules(7, replace(XT, rule=b""), 15)[0].text == f"-s {other}/32 -j DROP"
    route = replayed.route_back(7, other, 3, 15)
    assert route is not None
    assert route.gateway == str(anonymizer.address(B))
    assert next(items).blind_spots == (f"it could not see {other}",)
    assert A.packed not in run.path.read_bytes()
    everything_read = repr([item.event, config, *read_items(run.path)])
    assert "198.51.100" not in everything_read


def test_the_model_has_no_place_for_keys() -> None:
    """What cannot be held cannot be written: no field of anything that is recorded is for key material."""
    from dropwatch.model import ipsec, netfilter

    for module in (ipsec, netfilter):
        for name, kind in inspect.getmembers(module, inspect.isclass):
            for field in getattr(kind, "__dataclass_fields__", ()):
                assert not re.search(r"key|secret|passw|psk", field), f"{name}.{field}"
    assert Firewalls._fields == ("nft", "legacy")
