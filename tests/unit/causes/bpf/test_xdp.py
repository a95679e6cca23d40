"""What an XDP program drops: which one the interface has."""

from collections.abc import Callable

import pytest

from dropwatch.host.bpf.keepers import Keepers
from dropwatch.host.bpf.programs import Program
from dropwatch.host.bpf.xdp import Mode, XdpProgram
from dropwatch.model.drop import Drop
from tests.unit.causes.verdicts import Judged, commands, said
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
PROGRAM = Program(77, "drop_all", "57cd311f2e27366b")


def host(drop: Drop, mode: Mode, *, changed: int = 0) -> ToldHost:
    own = XdpProgram(drop.event.ifindex, "vb", mode, PROGRAM)
    other = XdpProgram(drop.event.ifindex + 1, "vc", mode, Program(78, "other"))
    return ToldHost(xdp_programs=(other, own), program_keepers=Keepers(), last_change=changed)


@pytest.mark.parametrize("place", ["do_xdp_generic", "netif_receive_generic_xdp", "bpf_prog_run_generic_xdp"])
def test_generic_mode_without_a_reason(died: Died, judged: Judged, place: str) -> None:
    drop = died("NOT_SPECIFIED", place)
    cause, verdict = judged(drop, host(drop, "generic"))
    assert (cause, verdict.confidence) == ("bpf.xdp-generic", "likely")
    assert (verdict.culprit.id, verdict.culprit.attached_to) == (77, "interface vb xdpgeneric")
    assert "what it is attached to keeps it" in said(verdict)
    assert commands(verdict)[0] == "bpftool prog show id 77"
    assert "ip link set dev vb xdpgeneric off" in str(commands(verdict)[1])


def test_a_packet_that_could_not_be_redirected(died: Died, judged: Judged) -> None:
    drop = died("XDP", "do_xdp_generic")
    cause, verdict = judged(drop, host(drop, "generic"))
    assert (cause, verdict.confidence) == ("bpf.xdp-generic", "certain")
    assert verdict.title == "an XDP program (in generic mode) redirects it, and that fails"
    assert verdict.culprit.id == 77
    assert str(commands(verdict)[0]).endswith("ip link show")
    _, verdict = judged(drop, ToldHost())
    assert verdict.culprit is None
    assert str(commands(verdict)[0]).endswith("ip link show")


@pytest.mark.parametrize(
    ("reason", "sure"), [("NOT_SPECIFIED", "likely"), (None, "likely"), ("XDP", "certain")]
)
def test_native_mode_of_veth(died: Died, judged: Judged, reason: str | None, sure: str) -> None:
    drop = died(reason, "veth_xdp_rcv_skb", "veth_poll")
    cause, verdict = judged(drop, host(drop, "native"))
    assert (cause, verdict.confidence) == ("bpf.xdp-native", sure)
    assert verdict.culprit.attached_to == "interface vb xdpdrv"
    _, verdict = judged(drop, host(drop, "generic"))
    assert verdict.culprit is None, "that program ran elsewhere"


def test_a_change_since_is_a_doubt(died: Died, judged: Judged) -> None:
    drop = died("XDP", "veth_xdp_rcv_skb")
    _, verdict = judged(drop, host(drop, "native", changed=drop.event.monotonic_ns + 1))
    assert verdict.confidence == "likely"
