"""A packet that came in and died in xfrm_input, for tests: its SA, hosts that have some, and what is said of it."""

from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.ipsec import integrity_signs, no_state_signs
from dropwatch.causes.ipsec.case import Case
from dropwatch.host.host import Host
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.model.change import Change
from dropwatch.model.drop import Drop, Verdict
from dropwatch.model.ipsec import GoneState, Lifetime, XfrmNote, XfrmState
from tests.unit.told_host import ToldHost

A, B = ip_address("10.9.0.1"), ip_address("10.9.0.2")
TIME = 1795205701.0
GCM = ("aead", "rfc4106(gcm(aes))", 160, 128)
SA = XfrmState(
    4,
    A,
    B,
    "esp",
    0x1001,
    "transport",
    reqid=1,
    state="valid",
    algorithms=(GCM,),
    lifetime=Lifetime(add_time=int(TIME) - 60),
    stat_integrity_failed=3,
)
LINE = (
    "src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 reqid 1 mode transport "
    "aead rfc4106(gcm(aes)) 160-bit key 128-bit ICV"
)
ICVFAIL = frozenset({"icvfail"})
NOTFOUND = XfrmNote(frozenset({"notfound"}), ("XfrmInNoStates",), spi=0x1001, seq=7)


def host(
    *states: XfrmState,
    after_ns: int = 3_200_000,
    missing: bool = False,
    gone: tuple[GoneState, ...] = (),
    tools: tuple[str, ...] = (),
    interfaces: dict[int, IpsecInterface] | None = None,
    changes: dict[Change, int | None] | None = None,
) -> ToldHost:
    """A host that answers with these SAs, read so long after the drop; `gone` were seen being deleted.

    `changes` are the times of the last one of each kind, None: nobody knows.
    """
    return ToldHost(
        xfrm=None if missing else XfrmConfig(states, (), 83521935614 + after_ns),
        xfrm_interfaces=interfaces or {},
        ike_tools=tuple(tools),
        gone_states=tuple(gone),
        last_change=lambda inode, kind, read_at: (changes or {}).get(kind, 0),
    )


def gone(
    state: XfrmState,
    seconds: float = 3.2,
    netns: int = 4026532234,
    pid: int = 812,
    comm: str = "charon",
) -> GoneState:
    """An SA that was deleted so long before the drop."""
    return GoneState(83521935614 - int(seconds * 1e9), netns, state, pid, comm)


def nobody() -> ToldHost:
    """A host whose configuration must not be asked for."""
    return ToldHost(xfrm=lambda *question: pytest.fail("asked the host"))


def auth_failed(drop: Drop, host: Host) -> Any:
    return integrity_signs.auth_failed(Case(drop, host))


def no_state(drop: Drop, host: Host) -> Any:
    return no_state_signs.no_state(Case(drop, host))


def state_of_other_mark(drop: Drop, host: Host) -> Any:
    return no_state_signs.state_of_other_mark(Case(drop, host))


def texts(verdict: Verdict) -> list[tuple[str, str]]:
    return [(fact.source, fact.text) for fact in verdict.evidence]
