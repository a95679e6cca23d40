"""A security module that refuses: the BPF programs at its hook are named, and blamed where they alone can have."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.bpf.keepers import Keepers
from dropwatch.host.bpf.programs import Program
from dropwatch.model.culprits import BpfProgram
from dropwatch.model.drop import Drop, Frame, Packet, Verdict, Where
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
ONE, OTHER = Program(77, "drop_all", "57cd311f2e27366b"), Program(78, None, "00")


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]) -> Died:
    def build(reason: str, function: str = "udp_queue_rcv_one_skb") -> Drop:
        frame = Frame(function, 1, None, 0)
        drop = make_drop(make_packet(proto="udp"), reason=reason)
        return replace(drop, where=Where(frame, "socket", "in"), stack=(frame,))

    return build


def judged(drop: Drop, *loaded: Program) -> tuple[str, Verdict]:
    host = ToldHost(lsm_programs=loaded, program_keepers=Keepers(("/sys/fs/bpf/lsm",)))
    cause, verdict = diagnose(drop, host)
    return (cause.id if cause is not None else "unknown"), verdict


def test_the_only_program_at_the_hook(died: Died) -> None:
    cause, verdict = judged(died("SOCKET_FILTER"), ONE)
    assert (cause, verdict.confidence) == ("socket.security-module", "likely")
    assert isinstance(verdict.culprit, BpfProgram)
    assert (verdict.culprit.id, verdict.culprit.pinned) == (77, "/sys/fs/bpf/lsm")
    assert verdict.fix[0].command == "bpftool prog show id 77"


def test_of_two_programs_none_is_blamed(died: Died) -> None:
    cause, verdict = judged(died("SOCKET_FILTER"), ONE, OTHER)
    assert (cause, verdict.confidence, verdict.culprit) == ("socket.security-module", "likely", None)
    assert [fact.text for fact in verdict.evidence[:2]] == [
        "id 77 name drop_all tag 57cd311f2e27366b at the LSM hook socket_sock_rcv_skb is loaded",
        "id 78 tag 00 at the LSM hook socket_sock_rcv_skb is loaded",
    ]


@pytest.mark.parametrize("loaded", [(), (ONE,)])
def test_the_kernels_own_word(died: Died, loaded: tuple[Program, ...]) -> None:
    cause, verdict = judged(died("SECURITY_HOOK"), *loaded)
    assert (cause, verdict.confidence, verdict.culprit) == ("socket.security-module", "certain", None)
    assert ("id 77" in verdict.evidence[0].text) == bool(loaded)


def test_without_a_program_nobody_is_suspected(died: Died) -> None:
    assert judged(died("SOCKET_FILTER"))[0] == "unknown"
    assert judged(died("SOCKET_FILTER", "raw_rcv"), ONE)[0] == "unknown"
