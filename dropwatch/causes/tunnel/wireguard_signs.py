"""Signs of WireGuard: whom the allowed IPs give the packet to, whether that peer has an endpoint and a handshake."""

from base64 import b64encode
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.tunnel.facts import died_silent_at
from dropwatch.causes.tunnel.wireguard import ALLOWED, ENDPOINT, HANDSHAKE
from dropwatch.host.host import Host
from dropwatch.host.tunnel.wireguard import Peer, Wireguard
from dropwatch.model.drop import Address, Drop, Evidence, Fix, Verdict
from dropwatch.model.tunnel import WireguardPeer

_SHOWN = 8  # of a key, enough to tell it from others
_PURGING = "wg_packet_purge_staged_packets"
_PURGED = frozenset({None, "NOT_SPECIFIED", "QUEUE_PURGE"})


def not_allowed(drop: Drop, host: Host) -> Verdict | None:
    """wg_xmit looks for the peer with the longest prefix around the destination, and finds none."""
    interface, daddr = _sending(drop, host), drop.packet.daddr
    if interface is None or daddr is None or _peer_of(interface, daddr) is not None:
        return None
    near = _nearest(interface, daddr)
    fact = f"after the drop: no peer of {interface.name} has {daddr} among its allowed IPs"
    if near is None:
        kind = "peer" if not interface.peers else f"prefix of IPv{daddr.version}"
        said = _said(drop, f"{fact}; there is no {kind}")
        return replace(said, fix=of_catalogue(ALLOWED, drop, {"DEV": interface.name}))
    peer, prefix = near
    said = _said(drop, f"{fact}; nearest is {prefix} of peer {_short(peer)}")
    prefixes = ",".join((*peer.allowed, f"{daddr}/{daddr.max_prefixlen}"))
    return _blamed(said, drop, interface, peer, ALLOWED[::-1], {"PREFIXES": prefixes})


def source_not_allowed(drop: Drop, host: Host) -> Verdict | None:
    """It was decrypted, so it is of some peer; but none has its source among the allowed IPs. Seen when it happened."""
    saddr = drop.packet.saddr
    if drop.event.source != kernel_word.NOT_ALLOWED or saddr is None:
        return None
    said, interface = kernel_word.certain(drop), _interface(drop, host)
    if interface is None:
        return said
    fact = f"no peer of {interface.name} has the source {saddr} among its allowed IPs"
    near = _nearest(interface, saddr)
    if near is None:
        said = kernel_word.certain(drop, Evidence("packet", fact, "proof"))
        return replace(said, fix=of_catalogue(ALLOWED, drop, {"DEV": interface.name}))
    peer, prefix = near
    read = Evidence("netlink wireguard", f"after the drop: nearest is {prefix} of peer {_short(peer)}")
    said = kernel_word.certain(drop, Evidence("packet", fact, "proof"), read)
    prefixes = ",".join((*peer.allowed, f"{saddr}/{saddr.max_prefixlen}"))
    only = len(interface.peers) == 1
    if not only:  # which of them sent it is not known
        return replace(said, fix=of_catalogue(ALLOWED, drop, {"DEV": interface.name}))
    return _blamed(said, drop, interface, peer, ALLOWED[::-1], {"PREFIXES": prefixes})


def no_endpoint(drop: Drop, host: Host) -> Verdict | None:
    """There is a peer for it: the other thing that wg_xmit asks for. An endpoint is never forgotten."""
    interface, daddr = _sending(drop, host), drop.packet.daddr
    peer = _peer_of(interface, daddr) if interface is not None and daddr is not None else None
    if interface is None or peer is None or peer.endpoint is not None:
        return None
    fact = f"after the drop: peer {_short(peer)} of {interface.name} has {daddr} among its allowed IPs, and no endpoint"
    return _blamed(_said(drop, fact), drop, interface, peer, ENDPOINT, {})


def no_handshake(drop: Drop, host: Host) -> Verdict | None:
    """What waited for a handshake is freed when WireGuard gives up (wg_expired_retransmit_handshake), or when peer or
    interface go.
    """
    if _PURGING not in kernel_word.way(drop) or drop.reason not in _PURGED:
        return None
    gave_up = "wg_expired_retransmit_handshake" in kernel_word.way(drop)
    what = "the handshake was given up" if gave_up else "what waited for a handshake is freed"
    place = Evidence("place", what)
    interface, daddr = _interface(drop, host), drop.packet.daddr
    peer = _peer_of(interface, daddr) if interface is not None and daddr is not None else None
    said = kernel_word.certain(drop, place) if gave_up else kernel_word.likely(drop, place)
    if interface is None or peer is None:
        return said
    endpoint = _endpoint(peer)
    where = f"endpoint {endpoint}" if endpoint is not None else "no endpoint"
    ago = _ago(interface, peer)
    latest = "no handshake so far" if ago is None else f"the latest handshake was {ago} s before the reading"
    fact = f"after the drop: peer {_short(peer)} of {interface.name}, {where}, {latest}"
    said = replace(said, evidence=(Evidence("netlink wireguard", fact, "proof"), *said.evidence))
    return _blamed(said, drop, interface, peer, HANDSHAKE, {})


def _sending(drop: Drop, host: Host) -> Wireguard | None:
    return _interface(drop, host) if died_silent_at(drop, "wg_xmit") else None


def _interface(drop: Drop, host: Host) -> Wireguard | None:
    return host.wireguard(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)


def _said(drop: Drop, fact: str) -> Verdict:
    """Nothing tells whether the peers have changed since, so it is not certain."""
    return kernel_word.likely(drop, Evidence("netlink wireguard", fact, "proof"))


def _peer_of(interface: Wireguard, address: Address) -> Peer | None:
    """Who has the longest prefix around it; no two peers have the same one."""
    found = [(prefix.prefixlen, peer) for peer, prefix in _prefixes(interface, address) if address in prefix]
    return max(found, key=lambda one: one[0])[1] if found else None


def _nearest(interface: Wireguard, address: Address) -> tuple[Peer, str] | None:
    """The prefix that has the most first bits in common with the address."""
    found = [
        (_common(address, prefix.network_address), peer, str(prefix))
        for peer, prefix in _prefixes(interface, address)
    ]
    best = max(found, key=lambda one: one[0], default=None)
    return None if best is None else (best[1], best[2])


def _prefixes(interface: Wireguard, address: Address) -> list[tuple[Peer, IPv4Network | IPv6Network]]:
    every = [(peer, ip_network(prefix)) for peer in interface.peers for prefix in peer.allowed]
    return [(peer, prefix) for peer, prefix in every if prefix.version == address.version]


def _common(one: Address, other: Address) -> int:
    return one.max_prefixlen - (int(one) ^ int(other)).bit_length()


def _short(peer: Peer) -> str:
    return _key(peer)[:_SHOWN] + "..."


def _key(peer: Peer) -> str:
    return b64encode(peer.key).decode()


def _endpoint(peer: Peer) -> str | None:
    if peer.endpoint is None:
        return None
    address = peer.endpoint.address
    return f"[{address}]:{peer.endpoint.port}" if address.version == 6 else f"{address}:{peer.endpoint.port}"


def _ago(interface: Wireguard, peer: Peer) -> int | None:
    return max(interface.read_at - peer.handshake, 0) if peer.handshake else None


def _blamed(
    verdict: Verdict,
    drop: Drop,
    interface: Wireguard,
    peer: Peer,
    page: tuple[Fix, ...],
    also: dict[str, str],
) -> Verdict:
    allowed = " ".join(peer.allowed) or "(none)"
    endpoint = _endpoint(peer)
    text = f"peer {_short(peer)} of {interface.name}: allowed ips {allowed}"
    text += f", endpoint {endpoint}" if endpoint is not None else ""
    culprit = WireguardPeer(text, interface.name, _key(peer), peer.allowed, endpoint, _ago(interface, peer))
    words = {"DEV": interface.name, "PEERKEY": _key(peer), **also}
    return replace(verdict, culprit=culprit, fix=of_catalogue(page, drop, words))
