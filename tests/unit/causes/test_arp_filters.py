"""Nobody answers a question that one's own firewall has kept."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.netfilter.questions import Firewalls
from dropwatch.model.drop import Drop, Frame, Packet, Where
from tests.unit.told_host import ToldHost

MAY_HAVE = "its own rules may have dropped the request or the reply"


@pytest.mark.parametrize(
    ("family", "firewalls", "confidence"),
    [
        (4, Firewalls(nft=("inet t",), legacy=("ip filter",)), "certain"),
        (4, Firewalls(nft=("arp filter",), legacy=()), "likely"),
        (4, Firewalls(nft=(), legacy=("arp filter",)), "likely"),
        (6, Firewalls(nft=("arp filter",), legacy=()), "certain"),
        (4, Firewalls(nft=("netdev guard",), legacy=()), "likely"),
        (6, Firewalls(nft=("ip nat", "arp filter"), legacy=("ip filter",)), "certain"),
        (6, Firewalls(nft=("inet t",), legacy=()), "likely"),
        (6, Firewalls(nft=("ip6 filter (ip6tables-nft)",), legacy=()), "likely"),
        (6, Firewalls(nft=(), legacy=("ip6 filter",)), "likely"),
        (4, None, "certain"),
    ],
)
def test_who_filters_arp_may_have_kept_the_question(
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
    family: int,
    firewalls: Firewalls | None,
    confidence: str,
) -> None:
    frames = (Frame("arp_error_report", 1, None, 1), Frame("neigh_timer_handler", 1, None, 2))
    drop = make_drop(make_packet(family=family))
    drop = replace(drop, where=Where(frames[0], "neighbour", "out"), stack=frames, reason="NEIGH_FAILED")
    cause, verdict = diagnose(drop, ToldHost(firewalls=firewalls))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("neighbour.unresolved", confidence)
    said = [evidence.text for evidence in verdict.evidence if MAY_HAVE in evidence.text]
    assert len(said) == (confidence == "likely")
    assert all(f"filters {'ARP' if family == 4 else 'neighbour discovery'} (" in text for text in said)
