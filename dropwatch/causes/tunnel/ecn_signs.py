"""The sign of contradicting ECN bits, where the kernel names no reason: the outer header is off by then."""

from dropwatch.causes import kernel_word
from dropwatch.causes.tunnel.encapsulation import INNER_ECN
from dropwatch.causes.tunnel.facts import blamed, died_silent_at, proof, tunnel_here, tunnels_of, vxlan_here
from dropwatch.causes.tunnel.geneve_signs import RECEIVING as GENEVE
from dropwatch.causes.tunnel.vxlan_signs import RECEIVING as VXLAN
from dropwatch.host.host import Host
from dropwatch.host.tunnel.ip import Tunnel
from dropwatch.host.tunnel.vxlan import Vxlan
from dropwatch.model.drop import Drop, Verdict
from dropwatch.packet.payload import ecn

_IP = {"ip_tunnel_rcv": 4, "__ip6_tnl_rcv": 6, "ipip6_rcv": 4}
_OUTER = frozenset({"gre", "ipip", "ipv6"})


def contradicting(drop: Drop, host: Host) -> Verdict | None:
    """INET_ECN_decapsulate refuses one thing: congestion outside, and inside a sender that knows no ECN. When it is
    asked the packet is the inner one, and has got past all other checks but that of its own length.
    """
    if not died_silent_at(drop, *VXLAN, *GENEVE, *_IP) or ecn(drop) != 0:
        return None
    if drop.packet.header_error is not None or drop.packet.proto in _OUTER:
        return None
    found = _interface(drop, host)
    if found is None:
        return None
    one, is_sure = found
    fact = (
        "the packet inside has no ECN (ECN bits 0), and has passed the checks before that of ECN; "
        "the outer header is off already"
    )
    said = kernel_word.certain(drop, proof(fact, "packet"))
    if not is_sure:
        said = kernel_word.likely(drop, proof(fact, "packet"))
    return said if one is None else blamed(said, drop, host, one, one.name, INNER_ECN)


def _interface(drop: Drop, host: Host) -> tuple[Tunnel | Vxlan | None, bool] | None:
    """The interface that it came out of, None where that is not known; and whether nothing else can have been it."""
    place = kernel_word.place(drop)
    if place in VXLAN:
        here = vxlan_here(drop, host)
        if here is None or not here.up or (drop.packet.proto == "udp" and drop.packet.dport == here.port):
            return None
        return here, True
    at = tunnel_here(drop, host)
    if place in GENEVE:
        outer = at is not None and drop.packet.proto == "udp" and drop.packet.dport == at.port
        return None if at is None or outer else (at, True)
    if at is not None:
        return at, place != "ipip6_rcv" or at.remote is not None
    family = _IP.get(place or "", 0)
    all_of_it = [one for one in tunnels_of(drop, host) or () if one.up and _outer_family(one) == family]
    return (all_of_it[0] if len(all_of_it) == 1 else None), bool(all_of_it)


def _outer_family(one: Tunnel) -> int:
    return 6 if one.kind.startswith("ip6") else 4
