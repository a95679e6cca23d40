"""Signs of a packet that is too big for the link by which it should leave: both sizes, and who set the smaller one."""

from dataclasses import replace

from dropwatch.causes import interface, kernel_word, pinned
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.path_mtu import smaller_segments, who_set_it
from dropwatch.causes.routing.refused import answer_again
from dropwatch.host.host import Host
from dropwatch.host.route import Route
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.model.forwarding import Device
from dropwatch.names.foreign import quoted

_FORWARDING = frozenset({"ip_forward", "ip6_forward"})
_CUTTING = frozenset({"ip_fragment", "ip6_fragment"})
_ETHERNET_MTU = 1500
_LET_ICMP_PASS = Fix(
    "have every firewall on the path accept ICMP fragmentation needed and ICMPv6 packet too big"
)
_SOURCE = "route and interfaces, after the drop"
_MUST_NOT = 0x40  # the bit DF, in the seventh byte of an IPv4 header


def too_big(drop: Drop, host: Host) -> Verdict | None:
    """The forwarding functions say so; which link is too small is asked of the routes afterwards.

    Kernels without reasons do not say, nor does what is to cut it: then the packet must be larger than that link, and
    one that is not to be cut.
    """
    is_cut = kernel_word.place(drop) in _CUTTING and bool(drop.event.skb_iif)
    if kernel_word.place(drop) not in _FORWARDING and not is_cut:
        return None
    silent = kernel_word.gave_no_reason(drop) if is_cut else drop.reason is None
    if drop.reason != "PKT_TOO_BIG" and not silent:
        return None
    route = answer_again(drop, host)
    size = _size(drop, host, route)
    if silent and (size is None or drop.packet.length <= size or not _is_whole(drop)):
        return None
    said = kernel_word.likely if silent else kernel_word.certain
    facts = (_sizes(drop, route, size),) if route is not None and size is not None else ()
    way = (*smaller_segments(drop), *_larger_link(drop, host, route), _LET_ICMP_PASS)
    return replace(said(drop, *facts), culprit=_link(drop, host, route, size), fix=way)


def not_cut(drop: Drop, host: Host) -> Verdict | None:
    """Both have the device by which it should leave (net/ipv4/ip_output.c, net/ipv6/ip6_output.c). ip6_fragment frees
    for lack of memory as well, so does what a compiler may have made a part of ip_fragment.
    """
    place = kernel_word.place(drop)
    if place not in _CUTTING or not kernel_word.gave_no_reason(drop):
        return None
    link = interface.link(drop, host, drop.event.ifindex)
    if link is not None and drop.packet.length > link.mtu and _is_whole(drop):
        sizes = _sizes(drop, Route(link.name), link.mtu)
        unchanged = not pinned.doubts(drop, host, pinned.Source("links", None))
        return _by(drop, sizes, interface.too_small(link) if unchanged else None)
    route = answer_again(drop, host)
    if route is None or route.mtu is None or drop.packet.length <= route.mtu or not _is_whole(drop):
        return None
    return _by(drop, _sizes(drop, route, route.mtu), None)


def _by(drop: Drop, sizes: Evidence, culprit: Device | None) -> Verdict:
    way = (*smaller_segments(drop), _LET_ICMP_PASS)
    return replace(kernel_word.likely(drop, sizes), culprit=culprit, fix=way)


def _size(drop: Drop, host: Host, route: Route | None) -> int | None:
    if route is None or route.device is None:
        return None
    if route.mtu is not None:
        return route.mtu
    return host.mtu(drop.event.netns, route.device, drop.event.monotonic_ns)


def _link(drop: Drop, host: Host, route: Route | None, size: int | None) -> Device | None:
    """The interface whose MTU it is, where neither routes nor interfaces have changed since the drop."""
    if route is None or route.mtu is not None:
        return None
    if pinned.doubts(drop, host, pinned.Source("routes", None), pinned.Source("links", None)):
        return None
    found = interface.link(drop, host, route.device)
    return interface.too_small(found) if found is not None and found.mtu == size else None


def _is_whole(drop: Drop) -> bool:
    header = drop.event.packet
    return drop.packet.family == 6 or (len(header) > 6 and bool(header[6] & _MUST_NOT))


def _sizes(drop: Drop, route: Route, size: int) -> Evidence:
    who = who_set_it(route) + (", by which it should leave" if route.mtu is None else "")
    return Evidence(_SOURCE, f"{drop.packet.length:,} bytes, and {who}, is {size:,}", "proof")


def _larger_link(drop: Drop, host: Host, route: Route | None) -> tuple[Fix, ...]:
    """The MTU of the interface that it should leave by, not of the one that it came in on."""
    packet = drop.packet
    if packet.saddr is None or packet.daddr is None:
        return ()
    changed = pinned.doubts(drop, host, pinned.Source("routes", None))
    if route is None or route.device is None or changed:
        see = Fix(
            "see through which interface it should leave: the MTU there is too small", "ip route get DADDR"
        )
        return of_catalogue((see,), drop)
    larger = max(packet.length, _ETHERNET_MTU)
    what = (
        f"or raise the MTU of {route.device}, through which it should leave, if every host on that link "
        "can take it"
    )
    return (Fix(what, f"ip link set dev {quoted(route.device)} mtu {larger}"),)
