"""What the page of a run is made of: all that was found, as it may be written, whatever ends the run."""

import gc
from collections.abc import Callable

import pytest

from dropwatch.aggregate import folding
from dropwatch.errors import WhydropError
from dropwatch.model.drop import Drop, Event, Evidence, Finding, Packet, Totals
from dropwatch.model.summary import Summary, SummaryRow
from dropwatch.recording.addresses import Anonymizer
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.start import Start
from dropwatch.run.page import PageListener

Find = Callable[..., Finding]
START = Start("0.2.0", "6.12.1", "x86_64", 1795205700.0, 0, 4026531840, asked="--host 10.9.0.1")
TOTALS = Totals({"kfree_skb": 7}, 7, 7, {}, {}, ("probe x: not attached: 10.9.0.1",), seconds=2.5)


class Memory:
    """A file that is written once."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def listener(memory: Memory) -> PageListener:
    return PageListener(lambda: memory, Editor())


def test_it_is_written_once_when_the_run_is_over(
    listener: PageListener, memory: Memory, make_finding: Find
) -> None:
    listener.begin(START)
    listener.found(make_finding(count=5))
    listener.found(make_finding(count=2))
    assert memory.written == []
    listener.end(TOTALS, 0, 1.0)
    listener.close()
    listener.close()
    (page,) = memory.written
    assert b"7 dropped packets of one sort" in page
    assert listener.headline == "7 dropped packets of one sort"
    report = listener.report(START)
    assert (report.seconds, report.totals, report.asked) == (2.5, TOTALS, "--host 10.9.0.1")


def test_of_a_run_that_failed_there_is_what_was_found(
    listener: PageListener, memory: Memory, make_finding: Find
) -> None:
    listener.begin(START)
    listener.found(make_finding())
    listener.close()
    assert b"it was cut short" in memory.written[0]


def test_a_run_that_did_not_begin_leaves_nothing(memory: Memory) -> None:
    def refuse() -> Memory:
        raise WhydropError("no", "no")

    listener = PageListener(refuse, Editor())
    with pytest.raises(WhydropError):
        listener.begin(START)
    listener.close()
    assert memory.written == []


def test_a_summary_is_its_last_one(listener: PageListener, make_finding: Find) -> None:
    finding = make_finding()
    row = SummaryRow(
        "k", "a", "t", "certain", finding.drop.where.frame, None, None, None, None, 30011, 1, 1.0, 1.0, 2.0, 3,
        finding=finding,
    )  # fmt: skip
    start = Start("0.2.0", "6", "x", 0.0, 0, None, view="summary")
    listener.begin(start)
    listener.found(finding)  # a sample, which counts nothing
    listener.gathered(Summary(1.0, 1.0, 0.0, (row,), 30011, {}, 0))
    assert [one.packets for one in listener.report(start).sorts] == [30011]


def test_other_addresses_are_in_all_of_it(
    make_finding: Find, make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], memory: Memory
) -> None:
    listener = PageListener(lambda: memory, Editor(Anonymizer(bytes(32))))
    listener.begin(START)
    drop = make_drop(make_packet(saddr="10.9.0.1", daddr="10.9.0.2"))
    listener.found(make_finding(drop, evidence=(Evidence("packet", "from 10.9.0.1 to 10.9.0.2"),)))
    listener.end(TOTALS, 0, 1.0)
    listener.close()
    assert b"10.9.0." not in memory.written[0]
    assert b"whydrop --host 10." in memory.written[0]


def test_a_long_run_has_bounded_memory(
    listener: PageListener, make_finding: Find, make_drop: Callable[..., Drop], make_packet: Callable[..., Packet],
    make_event: Callable[..., Event], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A flood of ever new sorts: no more findings are held than there may be sorts."""
    monkeypatch.setattr(folding, "MOST_SORTS", 50)
    before = alive()
    listener.begin(START)
    for number in range(1, 1009):
        drop = make_drop(make_packet(dport=number), make_event(), time=1795205700.0 + number)
        listener.found(make_finding(drop))
    assert alive() - before <= 51
    report = listener.report(START)
    assert sum(one.packets for one in report.sorts) + sum(report.apart.values()) == 1008
    assert sum(lane.packets for lane in report.timeline.lanes) == 1008
    assert len(report.timeline.lanes[0].counts) <= 120


def alive() -> int:
    """How many findings there are in memory."""
    gc.collect()
    return sum(isinstance(one, Finding) for one in gc.get_objects())
