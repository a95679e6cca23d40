"""WireGuard: whom the allowed IPs give a packet to, and what that peer lacks."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.host.tunnel.wireguard import Endpoint, Peer, Wireguard
from dropwatch.model.drop import Drop
from dropwatch.model.tunnel import WireguardPeer
from tests.unit.causes.tunnel.judging import judged, verdict_of
from tests.unit.causes.verdicts import commands, said
from tests.unit.packet import packets

Died = Callable[..., Drop]
KEY = bytes(range(32))
SHOWN = b64encode(KEY).decode()
NEAR = Peer(KEY, ("10.9.1.0/24", "fd09::/64"), Endpoint(ip_address("192.0.2.1"), 51820), handshake=1000)
FAR = Peer(bytes(32), ("172.16.0.0/12",))
WG0 = Wireguard("wg 0", 51820, (FAR, NEAR), read_at=1300)
PACKET = packets.ipv4(17, packets.udp())  # to 10.9.0.2


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
def test_no_peer(died: Died, reason: str | None) -> None:
    cause, verdict = verdict_of(died("wg_xmit", PACKET, reason=reason), wireguard=WG0)
    assert (cause, verdict.confidence) == ("tunnel.wireguard-allowed-ips", "likely")
    text = f"peer {SHOWN[:8]}... of wg 0: allowed ips 10.9.1.0/24 fd09::/64, endpoint 192.0.2.1:51820"
    assert verdict.culprit == WireguardPeer(text, "wg 0", SHOWN, NEAR.allowed, "192.0.2.1:51820", 300)
    fact = (
        f"no peer of wg 0 has 10.9.0.2 among its allowed IPs; nearest is 10.9.1.0/24 of peer {SHOWN[:8]}..."
    )
    assert fact in said(verdict)
    prefixes = "10.9.1.0/24,fd09::/64,10.9.0.2/32"
    assert f"ip netns exec b wg set 'wg 0' peer {SHOWN} allowed-ips {prefixes}" in commands(verdict)


@pytest.mark.parametrize("peers", [(), (replace(NEAR, allowed=("fd09::/64",)),)], ids=["none", "IPv6 only"])
def test_no_prefix_at_all(died: Died, peers: tuple[Peer, ...]) -> None:
    cause, verdict = verdict_of(died("wg_xmit", PACKET), wireguard=replace(WG0, peers=peers))
    assert (cause, verdict.culprit) == ("tunnel.wireguard-allowed-ips", None)
    assert ("there is no peer" in said(verdict)) == (not peers)


def test_the_longest_prefix_has_it(died: Died) -> None:
    wide = replace(NEAR, allowed=("10.0.0.0/8",))
    narrow = replace(FAR, allowed=("10.9.0.0/24",))
    cause, verdict = verdict_of(died("wg_xmit", PACKET), wireguard=replace(WG0, peers=(narrow, wide)))
    assert cause == "tunnel.wireguard-no-endpoint"
    assert "10.9.0.2 among its allowed IPs, and no endpoint" in said(verdict)
    assert getattr(verdict.culprit, "latest_handshake", 0) is None


def test_what_dies_of_something_else(died: Died) -> None:
    has_it = replace(NEAR, allowed=("10.9.0.0/24",))
    assert judged(died("wg_xmit", PACKET), wireguard=replace(WG0, peers=(has_it,))) == ("unknown", "unknown")
    assert judged(died("wg_xmit", PACKET)) == ("unknown", "unknown")


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED", "QUEUE_PURGE"])
def test_what_waited_for_a_handshake(died: Died, reason: str | None) -> None:
    peer = replace(NEAR, allowed=("10.9.0.0/24",), handshake=0)
    told = {"wireguard": replace(WG0, peers=(peer,))}
    purge = "wg_packet_purge_staged_packets"
    drop = died("skb_queue_purge_reason", PACKET, purge, "wg_expired_retransmit_handshake", reason=reason)
    cause, verdict = verdict_of(drop, **told)
    assert (cause, verdict.confidence) == ("tunnel.wireguard-no-handshake", "certain")
    assert "endpoint 192.0.2.1:51820, no handshake so far" in said(verdict)
    assert judged(died(purge, PACKET, "wg_stop", reason=reason), **told)[1] == "likely"
    assert judged(drop) == ("tunnel.wireguard-no-handshake", "certain")
    assert judged(died("skb_queue_purge", PACKET, "unix_release", reason=reason))[0] != cause
    later = replace(WG0, peers=(replace(peer, handshake=1000),))
    assert "the latest handshake was 300 s before the reading" in said(verdict_of(drop, wireguard=later)[1])


def test_a_source_that_no_peer_may_use(died: Died) -> None:
    drop = died("wg_allowedips_lookup_src", PACKET, reason=None)  # from 10.9.0.1
    drop = replace(drop, event=replace(drop.event, source="wg_allowedips_lookup_src"))
    cause, verdict = verdict_of(drop, wireguard=replace(WG0, peers=(NEAR,)))
    assert (cause, verdict.confidence) == ("tunnel.wireguard-allowed-ips", "certain")
    assert "no peer of wg 0 has the source 10.9.0.1 among its allowed IPs" in said(verdict)
    assert getattr(verdict.culprit, "public_key", None) == SHOWN
    assert any(
        command and command.endswith("10.9.1.0/24,fd09::/64,10.9.0.1/32") for command in commands(verdict)
    )
    _, verdict = verdict_of(drop, wireguard=WG0)
    assert verdict.culprit is None
    assert f"nearest is 10.9.1.0/24 of peer {SHOWN[:8]}..." in said(verdict)
    assert judged(drop) == ("tunnel.wireguard-allowed-ips", "certain")
    assert judged(drop, wireguard=replace(WG0, peers=()))[1] == "certain"
