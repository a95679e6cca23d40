"""Qdiscs as the kernel tells of them: what each is limited to, and what it counts."""

import struct

import pytest

from dropwatch.host.netlink import attribute, attributes
from dropwatch.host.tc.messages import KIND, OPTIONS, STATS2, Message
from dropwatch.host.tc.qdiscs import ROOT, Qdisc, qdisc_of

U32 = struct.Struct("=I")
RATE = bytes(8) + U32.pack(1000)


def told(kind: str, options: bytes, stats: bytes = b"", handle: int = 0x70000) -> Qdisc:
    queue = attribute(3, struct.pack("=IIIII", 2, 2084, 11, 1, 4))
    data = attribute(KIND, kind.encode() + b"\0") + attribute(OPTIONS, options)
    data += attribute(STATS2, queue + stats)
    return qdisc_of(Message(4, handle, ROOT, 0, attributes(data)))


def test_what_every_one_counts() -> None:
    found = told("pfifo_fast", bytes(20))
    assert (found.qlen, found.backlog, found.drops, found.limit) == (2, 2084, 11, None)


@pytest.mark.parametrize(
    ("kind", "options", "limit", "unit"),
    [
        ("pfifo", U32.pack(3), 3, "p"),
        ("bfifo", U32.pack(3000), 3000, "b"),
        ("sfq", struct.pack("=IiI", 1514, 0, 127), 127, "p"),
        ("fq_codel", attribute(2, U32.pack(10240)), 10240, "p"),
        ("fq", attribute(1, U32.pack(10000)), 10000, "p"),
        ("red", attribute(1, struct.pack("=III", 60000, 1000, 2000)), 60000, "b"),
        ("tbf", attribute(1, RATE + bytes(12) + struct.pack("=III", 3000, 25000000, 0)), 3000, "b"),
        ("netem", struct.pack("=IIIIII", 0, 1000, 0, 0, 0, 0), 1000, "p"),
        ("htb", attribute(2, struct.pack("=IIIII", 3, 10, 0x30, 0, 7)) + attribute(5, U32.pack(2)), 2, "p"),
        ("cake", b"", None, "p"),
    ],
)
def test_its_limit(kind: str, options: bytes, limit: int | None, unit: str) -> None:
    found = told(kind, options)
    assert (found.limit, found.unit) == (limit, unit)


def test_the_burst_of_tbf_is_the_time_that_it_takes() -> None:
    found = told("tbf", attribute(1, RATE + bytes(12) + struct.pack("=III", 3000, 25000000, 0)))
    assert (found.rate, found.burst) == (1000, 1600)
    large = attribute(1, RATE + bytes(12) + struct.pack("=III", 3000, 25000000, 0))
    assert told("tbf", large + attribute(4, struct.pack("=Q", 5 << 30))).rate == 5 << 30


def test_the_default_class() -> None:
    htb = attribute(2, struct.pack("=IIIII", 3, 10, 0x30, 0, 7))
    assert (told("htb", htb).default_class, told("hfsc", struct.pack("=H", 0x30)).default_class) == (48, 48)


def test_the_loss_of_netem() -> None:
    half = struct.pack("=IIIIII", 0, 1000, 0x80000000, 0, 0, 0)
    assert told("netem", half).loss == pytest.approx(0.5)
    assert told("netem", half + attribute(5, attribute(1, bytes(20)))).loss == 1.0, "a model decides"


def test_what_fq_drops_for_its_horizon() -> None:
    counted = bytes(88) + struct.pack("=QQ", 3, 0)
    assert told("fq", attribute(1, U32.pack(10)), attribute(4, counted)).horizon == 3
    assert told("fq", attribute(1, U32.pack(10)), attribute(4, counted[:88])).horizon is None


def test_when_it_is_full() -> None:
    assert told("pfifo", U32.pack(2)).is_full
    assert not told("pfifo", U32.pack(3)).is_full
    assert told("bfifo", U32.pack(3000)).is_full
    assert not told("bfifo", U32.pack(5000)).is_full
    assert not told("cake", b"").is_full


@pytest.mark.parametrize("kind", ["pfifo", "sfq", "netem", "hfsc"])
def test_what_is_cut_short_is_refused(kind: str) -> None:
    with pytest.raises(struct.error):
        told(kind, b"\1")
