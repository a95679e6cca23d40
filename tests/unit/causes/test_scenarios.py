"""Each cause has a scenario that kills real packets, or says why not. Some families still lack some."""

from functools import cache
from pathlib import Path

import pytest

from dropwatch.causes import CATALOGUE
from dropwatch.causes.cause import Cause

_SCENARIOS = Path(__file__).parents[2] / "kernel" / "scenarios"
_WHOLE = frozenset(
    {
        *("benign", "bpf", "device", "fragment", "ipsec", "ipv6", "malformed", "neighbour", "netfilter"),
        *("queueing", "routing", "tunnel"),
    }
)


@cache
def scenarios() -> str:
    return "".join(path.read_text() for path in sorted(_SCENARIOS.glob("*.py")))


@pytest.mark.parametrize(
    "cause", [cause for cause in CATALOGUE if cause.family in _WHOLE], ids=lambda cause: cause.id
)
def test_a_scenario_kills_packets_of_it_or_none_can(cause: Cause) -> None:
    assert (f'"{cause.id}"' in scenarios()) == (cause.scenario is None)


@pytest.mark.parametrize(
    "cause", [cause for cause in CATALOGUE if cause.scenario], ids=lambda cause: cause.id
)
def test_why_not_is_one_sentence(cause: Cause) -> None:
    assert cause.scenario is not None
    assert cause.scenario[0].isupper()
    assert cause.scenario.endswith(".")
    assert cause.scenario.count(".") == 1
