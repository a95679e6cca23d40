"""What the questions of the host add to one decorated method: listings, daemons, what the probes have seen."""

import errno
import time
from ipaddress import IPv4Address
from typing import Any

import pytest

from dropwatch.host import tools
from dropwatch.host.host import Host
from dropwatch.host.ipsec import questions as ipsec
from dropwatch.host.ipsec.vici import Connection, Daemon
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.netfilter.questions import Firewalls
from dropwatch.model.change import Change
from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Address
from tests.unit.host.clock import Clock

LISTED = ListedRule(NftRule("drop", "inet", "f"), "nft", "nft -a list ruleset")
NFT: Any = "what an NftNote would be"
XT: Any = "what an XtNote would be"
EBT: Any = "what an EbtNote would be"
GONE: Any = "what a GoneState would be"


class Listings:
    """Of all kinds; counts what it is asked, raises what it is told."""

    def __init__(self, error: OSError | None = None) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error = error
        self.fresh_until = 950

    def rule(self, *question: Any) -> Any:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        return (LISTED,) if XT in question else LISTED

    def nft_tables(self, inode: int) -> tuple[str, ...]:
        return ("inet filter",)

    def legacy_tables(self, inode: int) -> tuple[str, ...]:
        return ("ip nat",)


class ThreeChanges:
    def __init__(self) -> None:
        self.changed: dict[tuple[Change, int], int] = {}

    def table_changes(self) -> int:
        return 3

    def gone_states(self) -> list[Any]:
        return [GONE]

    def last_change(self, kind: Change, inode: int) -> int:
        return self.changed.get((kind, inode), 0)

    def last_departure(self, inode: int, what: Address | int) -> int:
        return 7 if what == 2 else 0


def host_with(listings: Listings) -> Host:
    host = Host(ThreeChanges())
    vars(host).update(_nft=listings, _xt=listings, _ebt=listings)
    return host


def test_rules_are_asked_for_with_the_changes_of_now() -> None:
    listings = Listings()
    host = host_with(listings)
    assert host.nft_rule(5, NFT, 900) is LISTED
    assert host.xt_rules(5, XT, 900) == (LISTED,)
    assert host.ebt_rule(5, EBT, 900) is LISTED
    assert listings.asked == [(5, NFT, 900), (5, XT, 900, 3), (5, EBT, 900, 3)]


def test_rules_of_a_namespace_that_is_gone_are_no_blind_spot() -> None:
    host = host_with(Listings(FileNotFoundError(errno.ENOENT, "gone")))
    assert host.nft_rule(5, NFT, 900) is None
    assert host.xt_rules(5, XT, 900) == ()
    assert host.ebt_rule(5, EBT, 900) is None
    assert host.nft_rule(0, NFT, 900) is None
    assert host.blind_spots == ()


def test_rules_that_cannot_be_read_are_a_blind_spot() -> None:
    host = host_with(Listings(PermissionError(errno.EPERM, "Operation not permitted")))
    assert host.nft_rule(5, NFT, 900) is None
    assert host.xt_rules(5, XT, 900) == ()
    assert host.blind_spots == (
        "nftables rules of namespace 5: Operation not permitted",
        "legacy iptables rules of namespace 5: Operation not permitted",
    )


def test_tables_of_both_implementations() -> None:
    assert host_with(Listings()).firewalls(5, 900) == Firewalls(("inet filter",), ("ip nat",))


def test_what_the_probes_have_seen() -> None:
    host = Host()
    assert host.gone_states() == ()
    host.seen = ThreeChanges()
    assert host.gone_states() == (GONE,)


def test_the_readers_are_made_before_they_are_needed() -> None:
    host = Host()
    assert not {"_nft", "_xt", "_ebt"} & vars(host).keys()
    host.prepare()
    assert {"_nft", "_xt", "_ebt"} <= vars(host).keys()


class Daemons:
    """Each answers with its own name, after a time in ns."""

    def __init__(self, clock: Clock, takes: int) -> None:
        self.running = [Daemon(1, "9")]
        self.asked: list[Daemon] = []
        self.has = 1
        self.error: TimeoutError | None = None
        self._clock, self._takes = clock, takes

    def find(self) -> dict[int, list[Daemon]]:
        return {5: list(self.running)}

    def connections(self, daemon: Daemon) -> tuple[Connection, ...]:
        self.asked.append(daemon)
        self._clock.now += self._takes
        if self.error is not None:
            raise self.error
        return (Connection(f"of {daemon.pid}", "child", 1, (), ()),) * self.has


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    now = Clock(1000)
    monkeypatch.setattr(time, "monotonic_ns", now)
    return now


def daemons_for(monkeypatch: pytest.MonkeyPatch, clock: Clock, takes: int) -> Daemons:
    daemons = Daemons(clock, takes)
    monkeypatch.setattr(ipsec, "find_daemons", daemons.find)
    monkeypatch.setattr(ipsec, "read_connections", daemons.connections)
    return daemons


def test_a_daemon_in_a_namespace_that_got_the_number_of_another_is_asked_itself(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    daemons, host = daemons_for(monkeypatch, clock, 10), Host()
    assert [found.ike for found in host.connections(5, 900)] == ["of 1"]
    daemons.running = [Daemon(2, "9")]
    assert [found.ike for found in host.connections(5, clock.now + 1)] == ["of 2"]
    daemons.running = [Daemon(2, "77")]
    host.connections(5, clock.now + 1)
    assert daemons.asked == [(1, "9"), (2, "9"), (2, "77")]


def test_a_slow_daemon_is_asked_for_a_small_part_of_the_time(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    daemons, host = daemons_for(monkeypatch, clock, 3000), Host()
    for event in range(900, 60_900, 1000):
        clock.now = max(clock.now, event + 100)
        assert host.connections(5, event)
    assert len(daemons.asked) == 1
    host.connections(5, 61_001)
    assert len(daemons.asked) == 2


def test_a_daemon_that_has_no_connection_yet_is_asked_for_the_next_drop(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    daemons, host = daemons_for(monkeypatch, clock, 3000), Host()
    daemons.has = 0
    assert host.connections(5, 900) == ()
    daemons.has = 1
    assert [found.ike for found in host.connections(5, clock.now - 100)] == ["of 1"]


def test_a_daemon_that_does_not_answer_is_a_blind_spot_and_asked_seldom(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    daemons, host = daemons_for(monkeypatch, clock, 3000), Host()
    daemons.error = TimeoutError("timed out")
    for event in range(900, 60_900, 1000):
        clock.now = max(clock.now, event + 100)
        assert host.connections(5, event) == ()
    assert len(daemons.asked) == 1
    assert host.blind_spots == ("IKE connections of namespace 5: timed out",)


def test_the_tools_that_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find", lambda name: "/usr/sbin/x" if name == "swanctl" else None)
    assert Host().ike_tools() == ("swanctl",)


def test_what_is_read_of_another_namespace_with_that_number_is_nothing() -> None:
    host, seen = host_with(Listings()), ThreeChanges()
    host.seen = seen
    seen.changed["namespace", 5] = 901
    assert host.nft_rule(5, NFT, 900) is None
    assert host.xt_rules(5, XT, 900) == ()
    assert host.ebt_rule(5, EBT, 900) is None
    assert host.firewalls(5, 900) is None
    assert host.nft_rule(5, NFT, 901) is LISTED, "it died there"
    assert host.firewalls(5, 901) is not None
    assert host.nft_rule(6, NFT, 900) is LISTED


def test_an_answer_is_forgotten_with_its_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that may be older than the drop (`sparing`) is not given for the next with its number."""
    monkeypatch.setattr(time, "monotonic_ns", Clock(1000))
    seen, listings = ThreeChanges(), Listings()
    host = host_with(listings)
    host.seen = seen
    assert host.firewalls(5, 900) == Firewalls(("inet filter",), ("ip nat",))
    monkeypatch.setattr(listings, "nft_tables", lambda inode: ("inet other",))
    assert host.firewalls(5, 950) == Firewalls(("inet filter",), ("ip nat",)), "a burst costs one reading"
    seen.changed["namespace", 5] = 960
    assert host.firewalls(5, 970) == Firewalls(("inet other",), ("ip nat",))


def test_the_last_change_is_asked_for_after_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(1000)
    monkeypatch.setattr(time, "monotonic_ns", clock)
    host, seen = Host(), ThreeChanges()
    assert host.last_change(5, "policies", 900) is None, "no probe has seen any, nor that there was none"
    host = Host(seen)
    assert host.last_change(5, "policies", 990) == 0
    seen.changed["policies", 5] = 1500
    clock.now = 2000
    assert host.last_change(5, "policies", 990) == 0, "of the same reading"
    assert host.last_change(5, "policies", 1900) == 1500
    assert host.last_change(5, "policies", None) == 1500


def test_an_address_goes_with_its_interface() -> None:
    host = Host(ThreeChanges())
    assert host.last_departure(1, IPv4Address("224.0.0.18"), 3) == 0
    assert host.last_departure(1, IPv4Address("224.0.0.18"), 2) == 7
