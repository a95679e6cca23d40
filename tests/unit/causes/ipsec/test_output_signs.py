"""What is said of packets whose SA has run out on the way out, and when nothing is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.model.drop import Drop
from dropwatch.model.ipsec import (
    Lifetime,
)
from tests.unit.causes.ipsec.outbound import (
    DF,
    ENCRYPTING,
    SA,
    texts,
    through,
)
from tests.unit.causes.verdicts import Judged


@pytest.mark.parametrize("place", ENCRYPTING)
def test_an_sa_that_ran_out(leaving: Callable[..., Drop], judged: Judged, place: str) -> None:
    cause, verdict = judged(leaving(place, note=through(replace(SA, state="expired"))))
    assert (cause, verdict.confidence) == ("ipsec.out-expired", "certain")
    assert verdict.culprit.spi == "0x00001001"
    assert "SA at the drop: 20 packets, hard limit 20" in texts(verdict)


def test_an_sa_that_ran_out_and_was_deleted_at_once(leaving: Callable[..., Drop], judged: Judged) -> None:
    assert judged(leaving(note=through(replace(SA, state="dead"))))[0] == "ipsec.out-expired"


@pytest.mark.parametrize("state", ["acq", "dead", "error"])
def test_an_sa_that_is_not_valid(leaving: Callable[..., Drop], judged: Judged, state: str) -> None:
    cause, verdict = judged(leaving(note=through(replace(SA, state=state, lifetime=Lifetime()))))
    assert (cause, verdict.confidence) == ("ipsec.state-invalid", "certain")
    assert f"in state {state}, not valid" in texts(verdict)[0]


def test_sequence_numbers_used_up(leaving: Callable[..., Drop], judged: Judged) -> None:
    state = replace(SA, oseq=0xFFFFFFFF, lifetime=Lifetime())
    note = through(state, audit=frozenset({"overflow"}))
    cause, verdict = judged(leaving(note=note))
    assert (cause, verdict.confidence) == ("ipsec.out-seq-overflow", "certain")
    assert verdict.culprit.oseq == 0xFFFFFFFF
    cause, verdict = judged(leaving(note=through(state)))
    assert (cause, verdict.confidence) == ("ipsec.out-seq-overflow", "likely"), (
        "without the kernel's own word"
    )
    assert judged(leaving(note=through(replace(state, oseq=7))))[0] is None
    assert judged(leaving(note=through(replace(state, esn=True))))[0] is None


@pytest.mark.parametrize("place", ["nf_hook_slow", "ip_finish_output2", "__dev_queue_xmit", "xfrm_input"])
def test_another_place_is_another_cause(leaving: Callable[..., Drop], judged: Judged, place: str) -> None:
    """The SA that it was to leave through has nothing to do with it."""
    for state in ("expired", "dead", "valid"):
        note = through(replace(SA, state=state, oseq=0xFFFFFFFF), audit=frozenset({"overflow"}), mtu=100)
        cause, _ = judged(leaving(place, note=note, raw=DF, length=1400))
        assert cause is None or not cause.startswith("ipsec."), (state, cause)


def test_an_sa_that_it_came_through_is_not_the_one_it_leaves_through(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    assert judged(leaving(note={"state": replace(SA, state="expired")}))[0] is None
