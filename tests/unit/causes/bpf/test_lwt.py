"""What the program of a route refuses: the route has its name, and the only one of its kind has a number."""

from collections.abc import Callable

import pytest

from dropwatch.host.bpf.keepers import Keepers
from dropwatch.host.bpf.lwt import RouteProgram
from dropwatch.host.bpf.programs import Program
from dropwatch.model.drop import Drop
from tests.unit.causes.verdicts import Judged, said
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
ONE, OTHER = Program(77, "drop_all", "57cd311f2e27366b"), Program(78, None, "00")


def host(hook: str, *loaded: Program) -> ToldHost:
    named = (RouteProgram(hook, "lb.o:[out]"),)
    return ToldHost(route_programs=named, lwt_programs=loaded, program_keepers=Keepers(("/sys/fs/bpf/lb",)))


@pytest.mark.parametrize(
    ("hook", "stack"),
    [
        ("in", ("bpf_input",)),
        ("out", ("run_lwt_bpf", "bpf_output")),
        ("xmit", ("run_lwt_bpf.isra.0", "bpf_xmit")),
    ],
)
def test_the_program_of_the_route(died: Died, judged: Judged, hook: str, stack: tuple[str, ...]) -> None:
    drop = died("NOT_SPECIFIED", *stack, direction="in" if hook == "in" else "out", skb_iif=0)
    cause, verdict = judged(drop, host(hook, ONE))
    assert (cause, verdict.confidence) == ("bpf.lwt", "likely")
    assert verdict.culprit.id == 77
    assert verdict.culprit.attached_to == f"route to {drop.packet.daddr}, encap bpf {hook}"
    assert verdict.culprit.pinned == "/sys/fs/bpf/lb"
    assert f"has the program lb.o:[out] ({hook})" in said(verdict)


def test_of_two_programs_of_the_kind_none_is_blamed(died: Died, judged: Judged) -> None:
    drop = died("NOT_SPECIFIED", "bpf_output", direction="out", skb_iif=0)
    _, verdict = judged(drop, host("out", ONE, OTHER))
    assert verdict.culprit is None
    assert "lb.o:[out]" in said(verdict)


def test_a_route_without_one(died: Died, judged: Judged) -> None:
    drop = died("NOT_SPECIFIED", "bpf_output", direction="out", skb_iif=0)
    _, verdict = judged(drop, ToldHost(route_programs=(), lwt_programs=(ONE,)))
    assert verdict.culprit is None
