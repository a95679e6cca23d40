"""What is said of packets that connection tracking or NAT refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.host.conntrack import ConntrackTable
from dropwatch.host.sockets import PortSockets
from dropwatch.model.drop import Drop, Event, Frame, Packet, Where
from dropwatch.model.netfilter import ConntrackNote, NetfilterNote
from tests.unit.causes.verdicts import Judged, said
from tests.unit.told_host import ToldHost

DROP_NS = 83521935614
FULL = ConntrackNote(refused="nf_conntrack_in", table_full=True)


@pytest.mark.parametrize(
    ("table", "limit", "confidence"),
    [
        (ConntrackTable(8, 8, 8, DROP_NS + 4_000_000), 8, "certain"),
        (ConntrackTable(8, 65536, 8, DROP_NS), 8, "certain"),
        (ConntrackTable(2, 8, None, DROP_NS), 8, "likely"),
    ],
)
def test_a_full_table(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    table: ConntrackTable,
    limit: int,
    confidence: str,
) -> None:
    cause, verdict = judged(refused(conntrack=FULL), firewall(conntrack=table))
    assert (cause, verdict.confidence) == ("netfilter.conntrack-full", confidence)
    assert verdict.culprit.kind == "sysctl"
    assert verdict.culprit.text == f"net.netfilter.nf_conntrack_max = {limit}"
    assert verdict.culprit.count == table.count
    assert f"{table.count} of {limit} entries" in said(verdict)
    larger = f"nsenter -t 1 -n sysctl -w net.netfilter.nf_conntrack_max={2 * limit}"
    assert verdict.fix[0].command == larger


@pytest.mark.parametrize(("written", "confidence"), [(DROP_NS, "certain"), (DROP_NS + 1, "likely")])
def test_a_limit_that_may_have_been_another(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    written: int,
    confidence: str,
) -> None:
    host = firewall(conntrack=ConntrackTable(8, 8, None, DROP_NS + 5), last_change=written)
    _, verdict = judged(refused(conntrack=FULL), host)
    assert verdict.confidence == confidence
    doubt = "probe proc_sys_write: a sysctl was written between the drop and the reading"
    assert (doubt in said(verdict)) == (confidence == "likely")


def test_a_full_table_that_cannot_be_read(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    cause, verdict = judged(refused(conntrack=FULL), firewall())
    assert (cause, verdict.confidence, verdict.culprit) == ("netfilter.conntrack-full", "likely", None)


def test_conntrack_itself_refuses(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    note = ConntrackNote(refused="nf_conntrack_in", words="invalid SYN in state SYN_SENT")
    cause, verdict = judged(refused(conntrack=note), firewall())
    assert (cause, verdict.confidence) == ("netfilter.conntrack-invalid", "certain")
    assert "is INVALID: invalid SYN in state SYN_SENT" in said(verdict)


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (ConntrackNote(refused="__nf_conntrack_confirm"), "another connection holds its addresses"),
        (
            ConntrackNote(refused="__nf_conntrack_confirm", nat=True),
            "no free port for NAT, or two packets clashed",
        ),
        (ConntrackNote(refused="nf_nat_inet_fn"), "NAT found no free address and port"),
    ],
)
def test_clashes(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    note: ConntrackNote,
    words: str,
) -> None:
    cause, verdict = judged(refused(conntrack=note), firewall())
    assert (cause, verdict.confidence) == ("netfilter.conntrack-clash", "certain")
    assert words in verdict.title


@pytest.mark.parametrize(
    ("family", "proto", "kind", "nat", "confidence"),
    [
        (4, "icmp", 5, True, "certain"),
        (4, "icmp", 5, False, "likely"),
        (4, "icmp", 3, True, "likely"),
        (6, "icmp6", 137, True, "certain"),
        (6, "icmp6", 5, True, "likely"),
    ],
)
def test_a_message_of_icmp_that_nat_refuses(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    family: int,
    proto: str,
    kind: int,
    nat: bool,
    confidence: str,
) -> None:
    function = f"nf_nat_icmp{'v6' if family == 6 else ''}_reply_translation"
    drop = refused(conntrack=ConntrackNote(refused=function, nat=nat))
    drop = replace(drop, packet=replace(drop.packet, family=family, proto=proto, icmp_type=kind))
    cause, verdict = judged(drop, firewall())
    assert (cause, verdict.confidence) == ("netfilter.nat-icmp", confidence)
    assert f"probe {function}" in {one.source for one in verdict.evidence}
    assert (verdict.title is None) == (confidence == "certain")


def test_conntrack_that_let_it_pass_is_not_blamed(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    assert judged(refused(conntrack=ConntrackNote(invalid=True)), firewall())[0] is None
    assert judged(refused(("udp_queue_rcv_one_skb",), None, conntrack=FULL), firewall())[0] is None


NOT_TRANSLATED = ConntrackNote(
    words="SEQ is over the upper bound (over the window of the receiver)", invalid=True, nat=True
)


@pytest.mark.parametrize(
    ("changes", "flags", "expected"),
    [
        ({}, "A", ("netfilter.conntrack-invalid", "certain")),
        ({}, "R", ("netfilter.conntrack-invalid", "certain")),
        ({"nat": False}, "A", ("tcp.no-connection", "certain")),
        ({"words": None}, "A", ("tcp.no-connection", "certain")),
        ({"invalid": False}, "A", ("tcp.no-connection", "certain")),
        ({"nat": False}, "R", ("benign.tcp-late-reset", "certain")),
    ],
)
def test_what_was_invalid_was_not_translated(
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
    make_event: Callable[..., Event],
    judged: Judged,
    changes: dict[str, Any],
    flags: str,
    expected: tuple[str, str],
) -> None:
    note = NetfilterNote(conntrack=replace(NOT_TRANSLATED, **changes))
    drop = make_drop(
        make_packet(proto="tcp", tcp_flags=flags), make_event(netfilter=note), reason="NO_SOCKET"
    )
    frame = Frame("tcp_v4_rcv", 1, None, 0)
    drop = replace(drop, where=Where(frame, "tcp", "in"), stack=(frame,))
    cause, verdict = judged(drop, ToldHost(connections_at=PortSockets()))
    assert (cause, verdict.confidence) == expected
    if cause == "netfilter.conntrack-invalid":
        assert "is INVALID: SEQ is over the upper bound" in said(verdict)
        assert "is translated (NAT), but an INVALID packet is not" in said(verdict)
