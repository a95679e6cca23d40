"""Fragments: which piece, what is missing, and what has no room."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.fragments import Fragments
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Frame, Packet, Verdict, Where
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
ROOM = Fragments(3, 4304, 4194304, 30, 0)


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]) -> Died:
    def build(reason: str | None, function: str, **fields: Any) -> Drop:
        frame = Frame(function, 1, None, 0)
        drop = make_drop(make_packet(**{"length": 820, **fields}), reason=reason)
        return replace(drop, where=Where(frame, "routing", "in"), stack=(frame,))

    return build


def judged(drop: Drop, known: Fragments | None = ROOM) -> tuple[str | None, Verdict]:
    cause, verdict = diagnose(drop, ToldHost(fragments=known))
    return (cause.id if cause is not None else None), verdict


@pytest.mark.parametrize(
    ("start", "more", "words"),
    [
        (0, True, "bytes 0 to 800, the first one; what follows did not all come"),
        (800, False, "bytes 800 to 1,600, the last one; what comes before did not all come"),
        (800, True, "bytes 800 to 1,600; what is missing comes before or after"),
    ],
)
@pytest.mark.parametrize("reason", ["FRAG_REASM_TIMEOUT", None])
def test_which_piece_waited(died: Died, reason: str | None, start: int, more: bool, words: str) -> None:
    drop = died(reason, "ip_expire", fragment_id=7, fragment_offset=start, more_fragments=more)
    cause, verdict = judged(drop)
    assert (cause, verdict.confidence) == ("fragment.timeout", "certain")
    assert words in verdict.evidence[0].text
    assert verdict.evidence[1].text == "net.ipv4.ipfrag_time is 30 s; 3 more packets are incomplete"


def test_a_namespace_that_ends_is_no_timeout(died: Died) -> None:
    drop = died("FRAG_REASM_TIMEOUT", "inet_frag_destroy")
    ended = replace(drop, stack=(*drop.stack, Frame("fqdir_pre_exit", 1, None, 0)))
    assert judged(ended)[0] is None


@pytest.mark.parametrize("reason", ["NOT_SPECIFIED", None])
def test_no_room_for_a_new_packet(died: Died, reason: str | None) -> None:
    full = Fragments(3, 5000, 4096, 30, 0)
    cause, verdict = judged(died(reason, "ip_defrag"), full)
    assert (cause, verdict.confidence) == ("fragment.memory", "likely")
    name = "net.ipv4.ipfrag_high_thresh"
    assert verdict.culprit == Sysctl(f"{name} = 4096", name, 4096, 5000)
    assert verdict.evidence[0].text == f"3 incomplete packets have 5,000 bytes, and {name} is 4,096"


def test_pieces_that_overlap(died: Died) -> None:
    drop = died("NOT_SPECIFIED", "ip_defrag", fragment_offset=400, more_fragments=True)
    cause, verdict = judged(drop, replace(ROOM, overlaps=3))
    assert (cause, verdict.confidence) == ("fragment.overlap", "likely")
    assert verdict.evidence[0].text == "bytes 400 to 1,200 of a packet in pieces"


@pytest.mark.parametrize(
    ("note", "place", "cause", "words"),
    [
        ("piece-twice", "ip_defrag", "fragment.duplicate", "all of them were there already"),
        ("piece-twice", "nf_ct_frag6_gather", "fragment.duplicate", "all of them were there already"),
        ("piece-overlaps", "ipv6_frag_rcv", "fragment.overlap", "some of them were there already"),
        ("piece-overlaps", "inet_frag_rbtree_purge", "fragment.overlap", "one that came later overlaps"),
    ],
)
def test_what_reassembly_answered(died: Died, note: str, place: str, cause: str, words: str) -> None:
    drop = died("NOT_SPECIFIED", place, fragment_offset=400, more_fragments=True)
    noted = replace(drop, event=replace(drop.event, notes=frozenset({note})))
    found, verdict = judged(noted, None)
    assert (found, verdict.confidence) == (cause, "certain")
    assert verdict.evidence[0].text.startswith("bytes 400 to 1,200 of a packet in pieces: " + words)
    assert judged(drop, None)[0] is None


def test_nothing_is_said_where_nothing_was_counted(died: Died) -> None:
    drop = died("NOT_SPECIFIED", "ip_defrag")
    assert judged(drop)[0] is None
    assert judged(drop, None)[0] is None
