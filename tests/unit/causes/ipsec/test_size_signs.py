"""What is said of packets that IPsec makes too long, and when nothing is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.model.drop import Drop
from tests.unit.causes.ipsec.outbound import (
    DF,
    NO_DF,
    SA,
    B,
    texts,
    through,
)
from tests.unit.causes.verdicts import Judged


@pytest.mark.parametrize(
    ("place", "reason"), [("ip_forward", "PKT_TOO_BIG"), ("ip_forward", None), ("xfrm_output_resume", None)]
)
def test_too_long_for_its_way(
    leaving: Callable[..., Drop], judged: Judged, place: str, reason: str | None
) -> None:
    cause, verdict = judged(leaving(place, reason, through(mtu=1400), raw=DF, length=1401))
    assert (cause, verdict.confidence) == ("ipsec.out-mtu", "certain")
    assert (verdict.culprit.mtu, verdict.culprit.length) == (1400, 1401)
    assert "packet / path through the SA: length 1401 / at most 1400  <- differs" in texts(verdict)


def test_what_fits_or_may_be_cut_is_not_too_long(leaving: Callable[..., Drop], judged: Judged) -> None:
    assert judged(leaving(note=through(mtu=1400), raw=DF, length=1400))[0] is None
    assert judged(leaving(note=through(mtu=1400), raw=NO_DF, length=1500))[0] is None
    assert judged(leaving(note=through(), raw=DF, length=1500))[0] is None
    assert (
        judged(leaving("ip_forward", "NETFILTER_DROP", through(mtu=1400), raw=DF, length=1500))[0]
        != "ipsec.out-mtu"
    )


def test_ipv6_is_never_cut_and_takes_1280_bytes_everywhere(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    six = {"family": 6, "saddr": "fd00::1", "daddr": "fd00::2"}
    assert judged(leaving(note=through(mtu=1400), length=1401, **six))[0] == "ipsec.out-mtu"
    assert judged(leaving(note=through(mtu=1000), length=1280, **six))[0] is None


def test_tcp_may_still_be_many_packets_in_one(leaving: Callable[..., Drop], judged: Judged) -> None:
    drop = leaving(note=through(mtu=1400), raw=DF, length=14000, proto="tcp")
    assert judged(drop)[1].confidence == "likely"


ESP = {"proto": "esp", "spi": 0x1001, "sport": None, "dport": None}


@pytest.mark.parametrize("place", ["ip_fragment", "ip6_fragment"])
def test_too_long_after_protection(leaving: Callable[..., Drop], judged: Judged, place: str) -> None:
    """Transport mode: the packet is measured when ESP has been added, and its route is a plain one."""
    drop = leaving(place, raw=DF, length=1532, **ESP)
    cause, verdict = judged(drop, states=(SA,), mtu=1500)
    assert (cause, verdict.confidence) == ("ipsec.out-mtu", "certain")
    assert verdict.culprit.spi == "0x00001001"
    assert "packet / interface vb: length 1532 / at most 1500  <- differs" in texts(verdict)
    assert judged(drop, states=(SA,), mtu=9000)[1].confidence == "likely", "the way beyond takes less"


def test_esp_of_others_is_not_too_long_because_of_ipsec_here(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    for states in ((), (replace(SA, saddr=B),), (replace(SA, spi=0x1002),)):
        cause, _ = judged(leaving("ip_fragment", raw=DF, length=1532, **ESP), states=states, mtu=1500)
        assert cause != "ipsec.out-mtu"
    cause, _ = judged(leaving("ip_fragment", raw=NO_DF, length=1532, **ESP), states=(SA,), mtu=1500)
    assert cause != "ipsec.out-mtu"


def test_a_packet_too_long_is_not_blamed_on_the_sas_state(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    drop = leaving(note=through(replace(SA, state="dead"), mtu=1400), raw=DF, length=1401)
    assert judged(drop)[0] == "ipsec.out-mtu"
