"""A capability that is missing costs a sentence, each another one."""

import pytest

from dropwatch.model.fact import Fact
from dropwatch.privilege.capabilities import (
    CAP_BPF,
    CAP_DAC_READ_SEARCH,
    CAP_NET_ADMIN,
    CAP_NET_RAW,
    CAP_PERFMON,
    CAP_SYS_ADMIN,
    CAP_SYS_PTRACE,
    KEPT,
)
from dropwatch.probe.check.lacking import lacking
from dropwatch.probe.check.preflight import User

ALL = (1 << 41) - 1
SHOWN = Fact("processes", True, "/proc shows those of the whole host")


def user(*without: int) -> User:
    return User(0, ALL & ~sum(1 << capability for capability in without), in_user_namespace=False)


def test_who_has_all_lacks_nothing() -> None:
    assert not list(lacking(user(), shows_addresses=True, processes=SHOWN))


def test_what_a_run_goes_on_with_is_all_that_it_needs() -> None:
    kept = User(0, sum(1 << capability for capability in KEPT), in_user_namespace=False)
    assert not list(lacking(kept, shows_addresses=True, processes=SHOWN))


@pytest.mark.parametrize(
    ("capability", "words"),
    [
        (CAP_NET_ADMIN, "configuration: CAP_NET_ADMIN is missing: "),
        (CAP_NET_RAW, "legacy tables: CAP_NET_RAW is missing: "),
        (CAP_SYS_ADMIN, "namespaces: CAP_SYS_ADMIN is missing: "),
        (CAP_SYS_PTRACE, "processes of others: CAP_SYS_PTRACE is missing: "),
        (CAP_DAC_READ_SEARCH, "files of others: CAP_DAC_READ_SEARCH is missing: "),
    ],
)
def test_each_is_told(capability: int, words: str) -> None:
    (sentence,) = lacking(user(capability), shows_addresses=True, processes=SHOWN)
    assert sentence.startswith(words)


def test_addresses_go_by_what_was_seen() -> None:
    """Where kptr_restrict is 0 or perf_event_paranoid is low they are shown to others, too; with 2 to nobody."""
    (sentence,) = lacking(user(), shows_addresses=False, processes=SHOWN)
    assert "CAP_SYSLOG" in sentence
    assert "kptr_restrict" in sentence


def test_who_may_only_trace_lacks_each() -> None:
    tracer = User(1000, 1 << CAP_BPF | 1 << CAP_PERFMON, in_user_namespace=False)
    assert len(list(lacking(tracer, shows_addresses=True, processes=SHOWN))) == 5


def test_a_container_without_the_hosts_processes_is_told() -> None:
    hidden = Fact(
        "processes", False, "this is a container without the host's: who holds a socket is not told"
    )
    (sentence,) = lacking(user(), shows_addresses=True, processes=hidden)
    assert sentence == f"processes: {hidden.text}"
    unclear = Fact("processes", None, "/proc/2 cannot be read")
    assert not list(lacking(user(), shows_addresses=True, processes=unclear))
