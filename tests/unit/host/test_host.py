"""When the host is asked, and when an answer may be given again."""

import errno

import pytest

from dropwatch.host import host as host_module
from dropwatch.host.host import Host
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.vici import Connection, Daemon
from dropwatch.host.listed_rule import ListedRule
from dropwatch.model.culprits import NftRule


@pytest.fixture
def clock(monkeypatch):
    now = [1000]
    monkeypatch.setattr(host_module.time, "monotonic_ns", lambda: now[0])
    return now


class Reader:
    def __init__(self, *errors) -> None:
        self.asked = []
        self.errors = list(errors)

    def __call__(self, inode):
        self.asked.append(inode)
        if self.errors:
            raise self.errors.pop(0)
        return XfrmConfig((), (), 0)


def test_a_burst_costs_one_reading(clock) -> None:
    read = Reader()
    host = Host(read)
    first = host.xfrm(5, 900)
    assert all(host.xfrm(5, event) is first for event in (901, 950, 1000))
    assert read.asked == [5]


def test_an_answer_older_than_the_drop_is_not_used(clock) -> None:
    read = Reader()
    host = Host(read)
    first = host.xfrm(5, 900)
    clock[0] = 2000
    assert host.xfrm(5, 1001) is not first
    assert read.asked == [5, 5]


def test_each_namespace_has_its_own_answer(clock) -> None:
    read = Reader()
    host = Host(read)
    assert host.xfrm(5, 900) is not host.xfrm(6, 900)
    assert read.asked == [5, 6]


def test_a_new_answer_for_one_namespace_leaves_the_others(clock) -> None:
    read = Reader()
    host = Host(read)
    host.xfrm(5, 900)
    kept = host.xfrm(6, 900)
    clock[0] = 2000
    host.xfrm(5, 1500)
    assert host.xfrm(6, 950) is kept
    assert read.asked == [5, 6, 5]


def test_a_reading_is_dated_before_it_begins(clock):
    def slow(inode):
        clock[0] += 500
        return XfrmConfig((), (), 0)

    host = Host(slow)
    first = host.xfrm(5, 900)
    assert host.xfrm(5, 1001) is not first


def test_a_namespace_that_is_gone_is_no_blind_spot_and_not_looked_for_again(clock) -> None:
    read = Reader(FileNotFoundError(errno.ENOENT, "gone"))
    host = Host(read)
    assert [host.xfrm(5, 900), host.xfrm(5, 901)] == [None, None]
    assert read.asked == [5]
    assert host.blind_spots == ()


def test_what_may_not_be_read_is_told_once(clock) -> None:
    read = Reader(
        PermissionError(errno.EPERM, "Operation not permitted"),
        PermissionError(errno.EPERM, "Operation not permitted"),
    )
    host = Host(read)
    assert host.xfrm(5, 900) is None
    clock[0] = 3000
    assert host.xfrm(5, 2000) is None
    assert host.blind_spots == ("SAs and policies of namespace 5: Operation not permitted",)


def test_the_unknown_namespace_is_not_asked_for() -> None:
    host = Host(Reader())
    assert host.xfrm(0, 0) is None


def test_no_end_of_namespaces_fills_the_memory(clock) -> None:
    host = Host(Reader())
    for inode in range(1, 1000):
        host.xfrm(inode, 900)
    assert len(host._xfrm) <= 64


def test_the_real_reader_is_found() -> None:
    host = Host()
    host.prepare()
    from dropwatch.host.ipsec.read import read_config

    assert host._read_xfrm is read_config
    assert (host._nft, host._xt, host._ebt) != (None, None, None)


class Listings:
    """Counts what it is asked, raises what it is told."""

    def __init__(self, error=None) -> None:
        self.asked = []
        self.error = error

    def rule(self, inode, note, not_before_ns, generation=None):
        self.asked.append((inode, note, not_before_ns, generation))
        if self.error is not None:
            raise self.error
        return (LISTED,) if note == "xt" else LISTED

    def nft_tables(self, inode):
        return ("inet filter",)

    def legacy_tables(self, inode):
        return ()


LISTED = ListedRule(NftRule("drop", "inet", "f"), "nft", "nft -a list ruleset")


def test_rules_are_asked_for_with_the_generation_of_now() -> None:
    listings = Listings()
    host = Host(nft=listings, xt=listings, ebt=listings)
    host.xt_generation = lambda: 3
    assert host.nft_rule(5, "nft", 900) is LISTED
    assert host.xt_rules(5, "xt", 900) == (LISTED,)
    assert host.ebt_rule(5, "ebt", 900) is LISTED
    assert listings.asked == [(5, "nft", 900, None), (5, "xt", 900, 3), (5, "ebt", 900, 3)]


def test_rules_of_a_namespace_that_is_gone_are_no_blind_spot() -> None:
    listings = Listings(FileNotFoundError(errno.ENOENT, "gone"))
    host = Host(nft=listings, xt=listings, ebt=listings)
    assert (host.nft_rule(5, "nft", 900), host.xt_rules(5, "xt", 900), host.ebt_rule(5, "ebt", 900)) == (
        None,
        (),
        None,
    )
    assert host.nft_rule(0, "nft", 900) is None
    assert host.blind_spots == ()


def test_rules_that_cannot_be_read_are_a_blind_spot() -> None:
    listings = Listings(PermissionError(errno.EPERM, "Operation not permitted"))
    host = Host(nft=listings, xt=listings)
    assert host.nft_rule(5, "nft", 900) is None
    assert host.xt_rules(5, "xt", 900) == ()
    assert host.blind_spots == (
        "nftables rules of namespace 5: Operation not permitted",
        "legacy iptables rules of namespace 5: Operation not permitted",
    )


def test_the_rest_is_remembered_like_the_ipsec_configuration(clock):
    asked = []

    def read(inode, *more):
        asked.append((inode, *more))
        return ()

    host = Host(nft=Listings(), xt=Listings(), read_conntrack=read, read_queues=read, read_route=read)
    for _ in range(2):
        host.conntrack(5, 900)
        host.queues(5, 900)
        host.route_back(5, "10.9.0.1", 0, 900)
        assert host.firewalls(5, 900) == (("inet filter",), ())
    assert asked == [(5,), (5,), (5, "10.9.0.1", 0)]


def ike_host(clock, daemons, takes):
    """A host on which each daemon answers with its own name, after a time in ns."""
    asked = []

    def read(daemon):
        asked.append(daemon)
        clock[0] += takes
        return (Connection(f"of {daemon.pid}", "child", 1, (), ()),)

    return Host(find_daemons=lambda inode: tuple(daemons), read_connections=read), asked


def test_a_daemon_in_a_namespace_that_got_the_number_of_another_is_asked_itself(clock) -> None:
    daemons = [Daemon(1, "9")]
    host, asked = ike_host(clock, daemons, 10)
    assert [found.ike for found in host.connections(5, 900)] == ["of 1"]
    daemons[:] = [Daemon(2, "9")]
    assert [found.ike for found in host.connections(5, clock[0] + 1)] == ["of 2"]
    daemons[:] = [Daemon(2, "77")]
    host.connections(5, clock[0] + 1)
    assert asked == [(1, "9"), (2, "9"), (2, "77")]


def test_a_slow_daemon_is_asked_for_a_small_part_of_the_time(clock) -> None:
    host, asked = ike_host(clock, [Daemon(1, "9")], 3000)
    for event in range(900, 60_900, 1000):
        clock[0] = max(clock[0], event + 100)
        assert host.connections(5, event)
    assert len(asked) == 1
    host.connections(5, 61_001)
    assert len(asked) == 2
