"""Signs of a packet that routing did not take for one of this host, though the address may be here after all."""

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.family import Judgement
from dropwatch.causes.routing.forwarding import setting_of
from dropwatch.host.addresses import OwnAddress
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence

_SOURCE = "netlink route"


def not_local(drop: Drop, host: Host) -> Judgement | None:
    """ip_error says IP_INADDRERRORS only with forwarding off on the receiving interface (net/ipv4/route.c).

    ip6_forward says it also for a source that may not be forwarded; then forwarding may be on.
    """
    if drop.reason != "IP_INADDRERRORS":
        return None
    function, saddr = kernel_word.place(drop), drop.packet.saddr
    forwardable = saddr is not None and not (
        saddr.is_unspecified or saddr.is_loopback or saddr.is_multicast or saddr.is_link_local
    )
    if function != "ip_error" and not (function == "ip6_forward" and forwardable):
        return None
    has_it = _has_it(drop, host)
    if has_it is None:
        fact = f"{drop.packet.daddr} is not an address of this host, which does not forward on this interface"
        return "routing.forwarding-off", setting_of(
            drop, host, kernel_word.certain(drop, Evidence("place", fact))
        )
    changed = pinned.doubts(drop, host, pinned.Source("routes", None))
    if changed:
        fact = (
            f"after the drop: {drop.packet.daddr} is an address of this host; it may have been added "
            "since the drop"
        )
        return "routing.address-gone", kernel_word.likely(drop, Evidence(_SOURCE, fact), *changed)
    if not has_it.usable:
        fact = (
            f"after the drop: {has_it.address} is tentative on {has_it.interface}, or a duplicate of "
            "another host's: not usable"
        )
        return "routing.address-gone", kernel_word.certain(drop, Evidence(_SOURCE, fact))
    fact = (
        f"after the drop: {has_it.address} is an address of {has_it.interface}, but is not in the routing "
        "table that applies "
        "here: that of a VRF, or of a rule"
    )
    return "routing.address-elsewhere", kernel_word.likely(drop, Evidence(_SOURCE, fact))


def _has_it(drop: Drop, host: Host) -> OwnAddress | None:
    found = host.addresses(drop.event.netns, drop.event.monotonic_ns)
    return next((one for one in found or () if one.address == drop.packet.daddr), None)
