"""The commonest sign: it holds only if all that it names holds."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.when import NONE_GIVEN, when
from dropwatch.model.drop import Drop, Evidence, Frame, Where
from tests.unit.told_host import ToldHost


@pytest.fixture
def drop(make_drop: Callable[..., Drop]) -> Drop:
    """A UDP datagram to port 5000, dead in ip_forward."""
    frames = tuple(Frame(name, 0x10, None, 0) for name in ("ip_forward", "ip_rcv_finish", "ip_rcv"))
    return replace(make_drop(), where=Where(frames[0], None, None), stack=frames, reason="IP_INHDR")


@pytest.mark.parametrize(
    "conditions",
    [
        {"reasons": ("XDP", "IP_INHDR")},
        {"at": ("ip_forward",)},
        {"through": ("ip_rcv",)},
        {"proto": "udp"},
        {"packet": lambda packet: packet.dport == 5000},
        {"reasons": ("IP_INHDR",), "at": ("ip_forward",), "through": ("ip_rcv",), "proto": "udp"},
    ],
)
def test_it_holds(drop: Drop, conditions: dict[str, Any]) -> None:
    verdict = when(**conditions)(drop, ToldHost())
    assert verdict is not None
    assert verdict.confidence == "certain"


@pytest.mark.parametrize(
    "wrong",
    [
        {"reasons": ("XDP", NONE_GIVEN)},
        {"at": ("ip_rcv",)},
        {"through": ("ip_output",)},
        {"proto": "tcp"},
        {"packet": lambda packet: packet.dport == 5001},
    ],
)
def test_one_thing_that_does_not_hold_is_enough(drop: Drop, wrong: dict[str, Any]) -> None:
    everything: dict[str, Any] = {"reasons": ("IP_INHDR",), "at": ("ip_forward",), "through": ("ip_rcv",)}
    assert when(**everything | wrong)(drop, ToldHost()) is None


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
def test_no_reason_is_a_reason_too(drop: Drop, reason: str | None) -> None:
    silent = replace(drop, reason=reason)
    assert when(reasons=(NONE_GIVEN,))(silent, ToldHost()) is not None
    assert when(reasons=("IP_INHDR",))(silent, ToldHost()) is None


def test_a_fact_is_named_after_what_it_is_about(drop: Drop) -> None:
    by_place = when(at=("ip_forward",), confidence="likely", fact="said")(drop, ToldHost())
    by_reason = when(reasons=("IP_INHDR",), fact="said")(drop, ToldHost())
    assert by_place is not None
    assert by_reason is not None
    assert by_place.confidence == "likely"
    assert by_place.evidence[0] == Evidence("place", "said")
    assert by_reason.evidence[0] == Evidence("reason", "said")
