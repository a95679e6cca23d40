"""When the host is asked, and when an answer may be given again."""

import errno

import pytest

from dropwatch.host import host as host_module
from dropwatch.host.host import Host
from dropwatch.host.xfrm_config import XfrmConfig


@pytest.fixture
def clock(monkeypatch):
    now = [1000]
    monkeypatch.setattr(host_module.time, "monotonic_ns", lambda: now[0])
    return now


class Reader:
    def __init__(self, *errors):
        self.asked = []
        self.errors = list(errors)

    def __call__(self, inode):
        self.asked.append(inode)
        if self.errors:
            raise self.errors.pop(0)
        return XfrmConfig((), (), 0)


def test_a_burst_costs_one_reading(clock):
    read = Reader()
    host = Host(read)
    first = host.xfrm(5, 900)
    assert all(host.xfrm(5, event) is first for event in (901, 950, 1000))
    assert read.asked == [5]


def test_an_answer_older_than_the_drop_is_not_used(clock):
    read = Reader()
    host = Host(read)
    first = host.xfrm(5, 900)
    clock[0] = 2000
    assert host.xfrm(5, 1001) is not first
    assert read.asked == [5, 5]


def test_each_namespace_has_its_own_answer(clock):
    read = Reader()
    host = Host(read)
    assert host.xfrm(5, 900) is not host.xfrm(6, 900)
    assert read.asked == [5, 6]


def test_a_new_answer_for_one_namespace_leaves_the_others(clock):
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


def test_a_namespace_that_is_gone_is_no_blind_spot_and_not_looked_for_again(clock):
    read = Reader(FileNotFoundError(errno.ENOENT, "gone"))
    host = Host(read)
    assert [host.xfrm(5, 900), host.xfrm(5, 901)] == [None, None]
    assert read.asked == [5]
    assert host.blind_spots == ()


def test_what_may_not_be_read_is_told_once(clock):
    read = Reader(
        PermissionError(errno.EPERM, "Operation not permitted"),
        PermissionError(errno.EPERM, "Operation not permitted"),
    )
    host = Host(read)
    assert host.xfrm(5, 900) is None
    clock[0] = 3000
    assert host.xfrm(5, 2000) is None
    assert host.blind_spots == ("SAs and policies of namespace 5: Operation not permitted",)


def test_the_unknown_namespace_is_not_asked_for():
    host = Host(Reader())
    assert host.xfrm(0, 0) is None


def test_no_end_of_namespaces_fills_the_memory(clock):
    host = Host(Reader())
    for inode in range(1, 1000):
        host.xfrm(inode, 900)
    assert len(host._xfrm) <= 64


def test_the_real_reader_is_found():
    host = Host()
    host.prepare()
    from dropwatch.host.xfrm import read_config

    assert host._read_xfrm is read_config
