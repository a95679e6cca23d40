"""Signs of a tunnel whose own packets find no way: no route to the remote end, or one that leads into the tunnel."""

from dataclasses import replace
from typing import NamedTuple

from dropwatch.causes import kernel_word
from dropwatch.causes.tunnel.encapsulation import LOCAL_ADDRESS, LOOP, REMOTE_ROUTE
from dropwatch.causes.tunnel.facts import blamed, proof, tunnel_here, vxlan_here
from dropwatch.host.host import Host
from dropwatch.host.route import Route
from dropwatch.host.tunnel.ip import Tunnel
from dropwatch.host.tunnel.vxlan import Vxlan
from dropwatch.model.drop import Address, Drop, Verdict
from dropwatch.packet.frame import frame_header, mac

_IP_XMIT = (
    *("ip_tunnel_xmit", "ip6_tnl_start_xmit", "ip6gre_tunnel_xmit", "ipip6_tunnel_xmit", "sit_tunnel_xmit"),
    *("ip6_tnl_xmit", "ip_md_tunnel_xmit"),
)
_VXLAN_XMIT = ("vxlan_xmit_one",)
_TOLD = "IP_OUTNOROUTES"  # of newer kernels, for both


class _Way(NamedTuple):
    """What a packet of the tunnel needs a route for: from `local` to each of the remotes."""

    one: Tunnel | Vxlan
    remotes: tuple[Address, ...]


def no_route(drop: Drop, host: Host) -> Verdict | None:
    way = _way(drop, host)
    if way is None:
        return None
    one = way.one
    local = one.local
    own = host.addresses(drop.event.netns, drop.event.monotonic_ns)
    if local is not None and own and local not in {each.address for each in own}:
        fact = f"{one.name} sends from {local}, which is no address of this namespace"
        said = kernel_word.certain(drop, proof(fact))
        said = blamed(
            said, drop, host, one, f"local {local}", LOCAL_ADDRESS, _words(one), ("links", "routes")
        )
        return replace(said, title="the tunnel's own address is no address of this host")
    refused = [(remote, _refusal(drop, host, one, remote)) for remote in way.remotes]
    known = [(remote, why) for remote, why in refused if why is not None]
    if not known:
        return None
    remote, why = known[0]
    others = f"; {len(way.remotes)} remotes" if len(way.remotes) > 1 else ""
    fact = f"{one.name} sends to {remote}: {why}{others}"
    said = kernel_word.certain(drop, proof(fact))
    if len(known) < len(way.remotes):
        said = kernel_word.likely(drop, proof(fact))
    also = {**_words(one), "REMOTE": str(remote)}
    return blamed(said, drop, host, one, f"remote {remote}", REMOTE_ROUTE, also, ("links", "routes"))


def through_itself(drop: Drop, host: Host) -> Verdict | None:
    """The kernel sees that the route's device is the tunnel itself (`collisions` of the interface)."""
    way = _way(drop, host)
    if way is None:
        return None
    one = way.one
    for remote in way.remotes:
        route = _route(drop, host, one, remote)
        if route is None or route.device != one.name:
            continue
        fact = f"the route to {remote}, the remote end of {one.name}, leads into {one.name}"
        said = kernel_word.certain(drop, proof(fact))
        if len(way.remotes) > 1:
            said = kernel_word.likely(drop, proof(fact))
        also = {"DADDR": str(remote)}
        return blamed(said, drop, host, one, f"remote {remote}", LOOP, also, ("links", "routes"))
    return None


def _way(drop: Drop, host: Host) -> _Way | None:
    """None where the interface is not known, where each packet says where it goes, or where routes are another's."""
    place, told = kernel_word.place(drop), drop.reason == _TOLD or kernel_word.gave_no_reason(drop)
    if place in _VXLAN_XMIT and told:
        return _way_of_vxlan(drop, host)
    one = tunnel_here(drop, host) if place in _IP_XMIT and told else None
    if one is None or one.external or one.elsewhere or one.remote is None:
        return None
    return _Way(one, (one.remote,))


def _way_of_vxlan(drop: Drop, host: Host) -> _Way | None:
    one, header = vxlan_here(drop, host), frame_header(drop.event.link)
    if one is None or one.external or one.elsewhere or header is None:
        return None
    found = host.vxlan_remotes(
        drop.event.netns, one.ifindex, mac(header.destination), drop.event.monotonic_ns
    )
    entries = [each for each in found or () if not each.default] or found or ()
    remotes = tuple(each.address for each in entries if each.address is not None)
    return _Way(one, remotes) if remotes else None


def _refusal(drop: Drop, host: Host, one: Tunnel | Vxlan, remote: Address) -> str | None:
    route = _route(drop, host, one, remote)
    return route.refusal if route is not None else None


def _route(drop: Drop, host: Host, one: Tunnel | Vxlan, remote: Address) -> Route | None:
    mark = one.mark if isinstance(one, Tunnel) else 0
    return host.route_of_send(drop.event.netns, remote, one.local, one.link, mark, 0, drop.event.monotonic_ns)


def _words(one: Tunnel | Vxlan) -> dict[str, str]:
    return {"DEV": one.name}
