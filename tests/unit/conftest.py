"""Builders of Events, Drops and Findings for the tests: everything has a value, a test names what matters to it."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.cli.main import main
from dropwatch.enrich.answers import Answers
from dropwatch.model.drop import Drop, Event, Finding, Frame, Interface, MatchResult, Netns, Packet, Where
from tests.unit.told_host import ToldHost

ADDRESS_FIELDS = ("saddr", "daddr")


def build_packet(**fields: Any) -> Packet:
    for name in ADDRESS_FIELDS:
        if isinstance(fields.get(name), str):
            fields[name] = ip_address(fields[name])
    usual = Packet(
        family=4,
        proto="udp",
        saddr=ip_address("10.9.0.1"),
        daddr=ip_address("10.9.0.2"),
        sport=40000,
        dport=5000,
        length=48,
        mark=0,
    )
    return replace(usual, **fields)


def build_event(**fields: Any) -> Event:
    usual: dict[str, Any] = {
        "monotonic_ns": 83521935614,
        "source": "kfree_skb",
        "skb": 0,
        "location": 0xFFFFFFFF81000010,
        "reason": None,
        "protocol": 0x0800,
        "length": 48,
        "mark": 0,
        "ifindex": 2,
        "ifname": "vb",
        "skb_iif": 2,
        "netns": 4026532234,
        "pid": 0,
        "comm": "",
        "cpu": 0,
        "carrier": False,
        "stack": (),
        "packet": b"",
    }
    return Event(**{**usual, **fields})


def build_drop(packet: Packet | None = None, event: Event | None = None, **fields: Any) -> Drop:
    frame = Frame("xfrm_input", 0x1DF, None, 0xFFFFFFFF81000010)
    usual = Drop(
        event=event or build_event(),
        time=1795205701.123456,
        packet=packet or build_packet(),
        iface=Interface(2, "vb"),
        netns=Netns(4026532234, "b"),
        where=Where(frame, "ipsec", "in"),
        reason=None,
        stack=(frame, Frame("xfrm4_esp_rcv", 0x3A, None, 0xFFFFFFFF81000020)),
        process=None,
    )
    return replace(usual, **fields)


def build_finding(drop: Drop | None = None, **fields: Any) -> Finding:
    usual = Finding(
        drop=drop or build_drop(),
        match=MatchResult("direct"),
        cause_id="ipsec.auth-failed",
        title="authentication failed",
        confidence="certain",
        culprit=None,
        evidence=(),
        fix=(),
    )
    return replace(usual, **fields)


def build_answers(**answers: Any) -> Answers:
    """Of a host that has no names for anything."""
    usual: dict[str, Any] = {
        "frame": lambda address: Frame(None, 0, None, address),
        "reason": lambda number: None,
        "netns": lambda inode: None,
        "interface": lambda inode, index: None,
        "time_of": lambda monotonic_ns: 1795205701 + monotonic_ns / 1e9,
        "host": ToldHost(),
    }
    return Answers(**{**usual, **answers})


@pytest.fixture
def make_packet() -> Callable[..., Packet]:
    return build_packet


@pytest.fixture
def make_event() -> Callable[..., Event]:
    return build_event


@pytest.fixture
def make_drop() -> Callable[..., Drop]:
    return build_drop


@pytest.fixture
def make_finding() -> Callable[..., Finding]:
    return build_finding


@pytest.fixture
def make_answers() -> Callable[..., Answers]:
    return build_answers


@pytest.fixture
def replay(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and standard error of `whydrop replay`."""

    def run(*words: object) -> tuple[int, str, str]:
        code = main(["replay", *map(str, words)])
        return (code, *capsys.readouterr())

    return run
