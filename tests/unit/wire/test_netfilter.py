"""Records of the netfilter probes become notes, and find the death that they belong to."""

import ctypes

import pytest

from dropwatch.model.drop import Event
from dropwatch.model.netfilter import (
    ConntrackNote,
    EbtNote,
    FunctionsAtHook,
    HookFunction,
    HookNote,
    NftChain,
    NftNote,
    QueueNote,
    XtNote,
)
from dropwatch.wire import decoder as wire
from dropwatch.wire import netfilter
from dropwatch.wire.drop import DropRecord
from dropwatch.wire.header import (
    RECORD_DROP,
    RECORD_EBT,
    RECORD_ENGINES,
    RECORD_HOOKS,
    RECORD_MODULE,
    RECORD_NFT,
    RECORD_XT,
    RecordHeader,
)
from dropwatch.wire.note import KernelNames

NOTES = (
    *(netfilter.ENGINES_NOTE, netfilter.NFT_NOTE, netfilter.XT_NOTE),
    *(netfilter.EBT_NOTE, netfilter.HOOKS_NOTE),
)
FUNCTIONS = {0xA1: "nft_immediate_eval", 0xA2: "reject_tg", 0xA3: "nf_hook_run_bpf", 0xA4: "nf_conntrack_in"}
SKB, NOW = 0xFFFF888100ABCD00, 83_521_935_614


def header(kind: int, record: type[ctypes.Structure], time_ns: int = NOW, skb: int = SKB) -> RecordHeader:
    return RecordHeader(time_ns, skb, kind, ctypes.sizeof(record))


def drop(detail: int = 0, time_ns: int = NOW, skb: int = SKB) -> bytes:
    return bytes(DropRecord(header(RECORD_DROP, DropRecord, time_ns, skb), detail=detail))


def nft(**fields: object) -> netfilter.NftRecord:
    record = netfilter.NftRecord(header(RECORD_NFT, netfilter.NftRecord))
    record.function, record.table_handle, record.rule_handle, record.verdict = 0xA1, 3, 7, 1
    record.family, record.hook, record.priority = 1, 1, -100
    record.table, record.base = b"filter", netfilter.NftChainSeen(2, b"input")
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def xt(**fields: object) -> netfilter.XtRecord:
    record = netfilter.XtRecord(header(RECORD_XT, netfilter.XtRecord))
    record.hook, record.entries, record.size, record.policy, record.generation = 1, 15, 2592, 752, 4
    record.candidates, record.risen, record.table = 1, 1, b"filter"
    record.candidate[0] = 200
    record.rule[:3] = b"abc"
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def engines(**fields: object) -> netfilter.EnginesRecord:
    record = netfilter.EnginesRecord(header(RECORD_ENGINES, netfilter.EnginesRecord))
    for name, value in fields.items():
        setattr(record, name, value)
    return record


@pytest.fixture
def decoder() -> wire.Decoder:
    return wire.Decoder(
        NOTES,
        KernelNames(
            {}, {}, FUNCTIONS.get, lambda at, time_ns: HookFunction(FUNCTIONS.get(at), None, at == 0xA4)
        ),
    )


def after_drop(decoder: wire.Decoder, record: ctypes.Structure) -> Event:
    assert decoder.feed(drop(record.header.type)) is None, "it waits for its detail"
    event = decoder.feed(bytes(record))
    assert event is not None
    return event


def nft_note(decoder: wire.Decoder, record: netfilter.NftRecord) -> NftNote:
    note = after_drop(decoder, record).netfilter
    assert note is not None
    assert note.nft is not None
    return note.nft


def xt_note(decoder: wire.Decoder, record: netfilter.XtRecord) -> XtNote:
    note = after_drop(decoder, record).netfilter
    assert note is not None
    assert note.xt is not None
    return note.xt


def test_an_nft_rule(decoder: wire.Decoder) -> None:
    record = nft(chain=netfilter.NftChainSeen(5, b"sub"), visits=9)
    for at in range(8):
        record.visited[at] = netfilter.NftChainSeen(10 + at, b"c%d" % at)
    assert nft_note(decoder, record) == NftNote(
        verdict="rule",
        family="inet",
        table="filter",
        table_handle=3,
        base_chain=NftChain(2, "input"),
        hook=1,
        priority=-100,
        policy="drop",
        chain=NftChain(5, "sub"),
        rule=7,
        expression="nft_immediate_eval",
        visited=tuple(NftChain(10 + at, f"c{at}") for at in range(8)),
    )


def test_an_nft_policy(decoder: wire.Decoder) -> None:
    note = nft_note(decoder, nft(verdict=0, function=0, rule_handle=0, policy=1))
    assert (note.verdict, note.policy, note.rule, note.expression, note.chain, note.visited) == (
        *("policy", "accept", None, None, None),
        (),
    )


def test_an_expression_whose_rule_was_not_found(decoder: wire.Decoder) -> None:
    assert nft_note(decoder, nft(rule_handle=0)).verdict == "unplaced"


def test_one_counter_rose(decoder: wire.Decoder) -> None:
    note = xt_note(decoder, xt())
    assert (note.family, note.table, note.candidates, note.accounted, note.exact) == (
        *("ip", "filter", (200,), True),
        False,
    )
    assert note.rule[:4] == b"abc\0"


@pytest.mark.parametrize(
    ("fields", "candidates", "accounted"),
    [
        ({"risen": 3, "unaccounted": 2}, (200,), True),
        ({"risen": 2, "unaccounted": 2}, (), False),  # those that were passed over, not this one
        ({"risen": 3, "unaccounted": 1}, (200,), False),
        ({"incomplete": 1}, (200,), False),
        ({"risen": 0, "candidates": 0}, (), False),
    ],
)
def test_deaths_that_were_passed_over_count(
    decoder: wire.Decoder, fields: dict[str, object], candidates: tuple[int, ...], accounted: bool
) -> None:
    note = xt_note(decoder, xt(**fields))
    assert (note.candidates, note.accounted) == (candidates, accounted)


def test_several_counters_rose(decoder: wire.Decoder) -> None:
    record = xt(candidates=33, risen=33, unaccounted=32)
    record.candidate[:] = list(range(0, 320, 10))
    note = xt_note(decoder, record)
    assert (note.candidates, note.accounted) == (tuple(range(0, 320, 10)), False), "one did not fit"
    assert note.rule == b""


def test_a_target_that_was_called(decoder: wire.Decoder) -> None:
    note = xt_note(decoder, xt(exact=1, risen=0, function=0xA2, family=1))
    assert (note.exact, note.target, note.candidates, note.family) == (True, "reject_tg", (200,), "ip6")


@pytest.mark.parametrize(("watched", "counted"), [(1, (0, 63, 64, 255)), (0, None)])
def test_ebtables(decoder: wire.Decoder, watched: int, counted: tuple[int, ...] | None) -> None:
    record = netfilter.EbtRecord(header(RECORD_EBT, netfilter.EbtRecord), 2, 256, 9, watched)
    record.counted[:] = [1 | 1 << 63, 1, 0, 1 << 63]
    record.table = b"filter"
    note = after_drop(decoder, record).netfilter
    assert note is not None
    assert note.ebt == EbtNote("filter", 2, 256, counted, 9)


def event_of(decoder: wire.Decoder, record: netfilter.EnginesRecord) -> Event:
    assert decoder.feed(bytes(record)) is None
    event = decoder.feed(drop())
    assert event is not None
    return event


def test_conntrack_refused(decoder: wire.Decoder) -> None:
    note = event_of(decoder, engines(refuser=0xA4, tracked=1, invalid=1, table_full=1)).netfilter
    assert note is not None
    assert note.conntrack == ConntrackNote("nf_conntrack_in", table_full=True, invalid=True)
    assert note.hook is None


def test_conntrack_says_why(decoder: wire.Decoder) -> None:
    note = event_of(decoder, engines(tracked=1, invalid=1, words=b"bad checksum ", nat=16)).netfilter
    assert note is not None
    assert note.conntrack == ConntrackNote(words="bad checksum", invalid=True, nat=True)


def test_a_bpf_program_refused(decoder: wire.Decoder) -> None:
    note = event_of(decoder, engines(refuser=0xA3, bpf_id=77, bpf_name=b"guard")).netfilter
    assert note is not None
    assert note.hook == HookNote("nf_hook_run_bpf", 77, "guard")
    assert note.conntrack is None


def test_a_queue(decoder: wire.Decoder) -> None:
    note = event_of(decoder, engines(queued=1, queue=5, queue_errno=-3)).netfilter
    assert note is not None
    assert note.queue == QueueNote(5, 3)


def test_both_sides_of_the_drop_record_meet(decoder: wire.Decoder) -> None:
    assert decoder.feed(bytes(engines(tracked=1))) is None
    assert decoder.feed(drop(RECORD_NFT)) is None
    event = decoder.feed(bytes(nft()))
    assert event is not None
    assert event.netfilter is not None
    assert event.netfilter.nft is not None
    assert event.netfilter.conntrack == ConntrackNote(invalid=False)


def test_a_detail_that_does_not_come_is_not_waited_for(decoder: wire.Decoder) -> None:
    assert decoder.feed(drop(RECORD_NFT)) is None
    assert decoder.overdue(NOW) == []
    (event,) = decoder.overdue(NOW + 1)
    assert event.netfilter is None
    assert decoder.overdue(NOW + 1) == []
    assert decoder.feed(bytes(nft())) is None, "too late"


def test_a_detail_goes_with_its_own_death(decoder: wire.Decoder) -> None:
    assert decoder.feed(drop(RECORD_NFT, NOW + 1)) is None
    assert decoder.feed(bytes(nft())) is None
    (event,) = decoder.overdue(NOW + 2)
    assert event.netfilter is None


def test_modules_that_come_and_go(decoder: wire.Decoder) -> None:
    for name in (b"nf_tables", b"nft_compat", b"nf_tables"):
        record = wire.ModuleRecord(header(RECORD_MODULE, wire.ModuleRecord), name)
        assert decoder.feed(bytes(record)) is None
    assert decoder.modules == {"nf_tables", "nft_compat"}


def test_functions_at_hooks(decoder: wire.Decoder) -> None:
    record = netfilter.HooksRecord(header(RECORD_HOOKS, netfilter.HooksRecord), family=2)
    for at, *functions in (record.own[1], 0xA4, 0xA3), (record.bridge[4], 0xBAD):
        at.registered = len(functions)
        at.function[: len(functions)] = functions
    record.own[2].registered = 17
    record.own[2].function[:] = [0xA3] * 16
    note = after_drop(decoder, record).netfilter
    bpf = HookFunction("nf_hook_run_bpf")
    assert note is not None
    assert note.at_hooks == (
        FunctionsAtHook("ip", 1, (HookFunction("nf_conntrack_in", None, True), bpf)),
        FunctionsAtHook("ip", 2, (bpf,) * 16, complete=False),
        FunctionsAtHook("bridge", 4, (HookFunction(None),)),
    )
