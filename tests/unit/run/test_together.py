"""What one finding does not show: a port scan, and copies for a full sniffer. Both wait for others of their kind."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Drop, Event, Finding, MatchResult, Packet, Verdict
from dropwatch.model.filter import Filter
from dropwatch.recording.listener import Listener
from dropwatch.run.options import Options
from dropwatch.run.pipeline import IpsecMatching, Pipeline, Stages
from dropwatch.run.scans import PORT_SCAN, PORTS
from tests.unit.told_host import ToldHost

CLOSED = Cause("socket.tcp-no-listener", "nobody listens", "why", "confirm", ())
COPY = Cause("socket.packet-buffer-full", "a copy", "why", "confirm", ())
REFUSED = frozenset({"reset-sent"})
MS = 1_000_000
SECOND = 1000 * MS


class Stream:
    """A pipeline that is fed packets of one time each; gives what it tells at once."""

    def __init__(self, make_drop: Callable[..., Drop], cause: Cause, confidence: str, **options: Any) -> None:
        self.make_drop, self.options = make_drop, options
        self.packet = Packet(4, "tcp", ip_address("10.0.0.1"), ip_address("10.0.0.2"), 40000, 80, 60, 0)
        verdict = Verdict(confidence)  # type: ignore[arg-type]
        stages = Stages(
            enrich=self._drop,
            match=lambda drop: MatchResult("direct"),
            diagnose=lambda drop: (cause, verdict),
        )
        self.pipeline = Pipeline(stages, Options(**options), Listener(), IpsecMatching(ToldHost()))

    def _drop(self, event: Event) -> Drop:
        return replace(self.make_drop(), event=event, packet=self.packet)

    def die(
        self, at_ns: int, dport: int = 80, notes: frozenset[str] = REFUSED, **packet: Any
    ) -> Finding | None:
        self.packet = replace(self.packet, dport=dport, **packet)
        event = replace(self.make_drop().event, monotonic_ns=at_ns, notes=notes)
        return self.pipeline.finding(event)

    def due(self, now_ns: int | None) -> list[tuple[str, int | None, int]]:
        return [(one.cause_id, one.drop.packet.dport, one.count) for one in self.pipeline.due(now_ns)]


Streams = Callable[..., Stream]


@pytest.fixture
def stream(make_drop: Callable[..., Drop]) -> Streams:
    def made(cause: Cause = CLOSED, confidence: str = "certain", **options: Any) -> Stream:
        return Stream(make_drop, cause, confidence, **options)

    return made


def test_one_closed_port_is_told_after_a_second(stream: Streams) -> None:
    one = stream()
    assert one.die(0) is None
    assert one.due(SECOND - 1) == []
    assert one.due(SECOND) == [(CLOSED.id, 80, 1)]
    assert one.due(10 * SECOND) == one.due(None) == []
    assert (one.pipeline.matched, one.pipeline.suppressed) == (1, {})


def test_who_tries_again_and_again_is_told_after_three(stream: Streams) -> None:
    one = stream()
    for attempt in range(30):
        one.die(attempt * 100 * MS, 80 + attempt % (PORTS - 1))
    assert one.due(2999 * MS) == []
    assert len(one.due(3000 * MS)) == 30


def test_a_scan_is_counted_as_harmless_and_so_is_the_rest_of_it(stream: Streams) -> None:
    one = stream()
    for attempt in range(PORTS):
        one.die(attempt * 100 * MS, attempt)
    assert one.due(1000 * MS) == []
    one.die(8 * SECOND, 5)  # a slow one, later
    assert one.due(9 * SECOND) == one.due(None) == []
    assert (one.pipeline.matched, one.pipeline.suppressed) == (0, {PORT_SCAN: PORTS + 1})


def test_a_scan_ends(stream: Streams) -> None:
    one = stream()
    for port in range(PORTS):
        one.die(port, port)
    assert one.due(11 * SECOND) == []
    one.die(12 * SECOND, 80)
    assert one.due(None) == [(CLOSED.id, 80, 1)]


def test_two_hosts_are_two_stories(stream: Streams) -> None:
    one = stream()
    for port in range(PORTS):
        one.die(port, port, saddr=ip_address(f"10.0.0.{port % 2 + 10}"))
    assert len(one.due(None)) == PORTS


def test_with_all_it_is_shown_as_what_it_is(stream: Streams) -> None:
    one = stream(all_drops=True)
    for port in range(PORTS):
        one.die(port, port)
    assert one.due(0) == [(PORT_SCAN, port, 1) for port in range(PORTS)]


@pytest.mark.parametrize(
    ("causes", "not_causes", "told"),
    [
        ((PORT_SCAN,), (), PORTS),
        ((CLOSED.id,), (), 0),
        ((), (PORT_SCAN,), 0),
        ((), (CLOSED.id,), 0),
    ],
)
def test_a_cause_that_was_asked_for(
    stream: Streams, causes: tuple[str, ...], not_causes: tuple[str, ...], told: int
) -> None:
    wanted = Filter(causes=frozenset(causes), not_causes=frozenset(not_causes))
    one = stream(wanted=wanted)
    for port in range(PORTS):
        one.die(port, port)
    assert len(one.due(None)) == told
    one.die(60 * SECOND)
    assert len(one.due(None)) == (CLOSED.id in causes or not (causes or CLOSED.id in not_causes))


@pytest.mark.parametrize(
    ("confidence", "notes", "options"),
    [
        ("certain", frozenset(), {}),  # nobody saw an answer
        ("likely", REFUSED, {}),
        ("certain", REFUSED, {"wanted": Filter(dport=((1, 5000),))}),
        ("certain", REFUSED, {"every_packet": True}),
        ("certain", REFUSED, {"view": "stack"}),
    ],
)
def test_what_does_not_wait(
    stream: Streams, confidence: str, notes: frozenset[str], options: dict[str, Any]
) -> None:
    one = stream(confidence=confidence, **options)
    assert all(one.die(port, port, notes) for port in range(PORTS))
    assert one.pipeline.matched == PORTS


def test_too_much_to_remember_is_told(stream: Streams) -> None:
    one = stream()
    for attempt in range(5000):
        one.die(attempt, 80)
    assert len(one.due(0)) == 5000


def test_copies_come_as_one_finding_a_second(stream: Streams) -> None:
    one = stream(COPY, "likely")
    assert one.die(0) is not None
    assert [one.die(at * MS) for at in range(1, 100)] == [None] * 99
    assert one.due(999 * MS) == []
    assert one.due(SECOND) == [(COPY.id, 80, 99)]
    assert one.die(SECOND + MS) is None
    assert one.due(None) == [(COPY.id, 80, 1)]
    assert one.pipeline.matched == 101


def test_after_a_quiet_second_a_copy_is_told_at_once(stream: Streams) -> None:
    one = stream(COPY, "likely")
    assert one.die(0) is not None
    assert one.due(SECOND) == []
    assert one.die(2 * SECOND) is not None


def test_copies_of_other_flows_are_another_sort(stream: Streams) -> None:
    one = stream(COPY, "likely")
    assert one.die(0, 80) is not None
    assert one.die(0, 81) is not None


def test_every_packet(stream: Streams) -> None:
    one = stream(COPY, "likely", every_packet=True)
    assert one.die(0) is not None
    assert one.die(0) is not None


def test_ports_of_udp_are_a_scan_where_each_was_refused(stream: Streams) -> None:
    one = stream(Cause("socket.udp-no-listener", "nobody has it", "why", "confirm", ()))
    for attempt in range(PORTS):
        assert one.die(attempt * MS, attempt, frozenset({"refusal-sent"}), proto="udp") is None
    assert one.die(PORTS * MS, 100, frozenset({"unreachable-sent"}), proto="udp") is not None
    assert one.due(None) == []
    assert one.pipeline.suppressed == {PORT_SCAN: PORTS}


def test_ports_of_tcp_and_udp_are_counted_apart(stream: Streams) -> None:
    one = stream()
    for attempt in range(PORTS):
        one.die(attempt * MS, attempt, proto="udp" if attempt % 2 else "tcp")
    assert len(one.due(None)) == PORTS
