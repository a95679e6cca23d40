"""The judge of sends that fail before there is a packet: the errno, and the function that gave it, tell."""

import errno
from dataclasses import replace

from dropwatch.causes import interface, kernel_word, pinned
from dropwatch.causes.family import Family, Judgement
from dropwatch.causes.path_mtu import who_set_it
from dropwatch.causes.routing.policy import asked_of, who_refused
from dropwatch.causes.routing.refused import remedies
from dropwatch.causes.send.causes import CAUSES, LOOKUPS
from dropwatch.host.host import Host
from dropwatch.host.link import Link
from dropwatch.host.route import Route, refusal
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.model.send import SendNote
from dropwatch.names.foreign import quoted

_LONGEST = 0xFFFF - 28  # of a datagram of UDP over IPv4: its length has 16 bits
_FORBIDDING = {errno.EACCES: "prohibit", errno.EHOSTUNREACH: "unreachable", errno.EINVAL: "blackhole"}


def _judge(drop: Drop, host: Host) -> Judgement | None:
    send = drop.event.send
    if send is None or send.hook is not None:
        return None
    if send.error == errno.EMSGSIZE:
        return "send.too-big", _too_big(drop, send, host)
    if drop.event.source in LOOKUPS:
        return _of_a_lookup(drop, send, host)
    if send.error == errno.EACCES:
        return "send.broadcast-off", _broadcast(drop)
    return None


def _of_a_lookup(drop: Drop, send: SendNote, host: Host) -> Judgement | None:
    if send.error in (errno.ENODEV, errno.ENETDOWN):
        return "send.interface-down", _interface(drop, send, host)
    if send.error in (errno.ENOBUFS, errno.ENOMEM):
        return "send.no-buffer", kernel_word.certain(drop)
    if send.error == errno.EADDRNOTAVAIL:
        return "send.no-address", _no_address(drop)
    if send.error == errno.ENETUNREACH:
        return _no_route(drop, send, host)
    if send.error == errno.EINVAL and _is_from_elsewhere(drop, host):
        fact = Evidence("netlink address", f"{drop.packet.saddr} is not an address of this host")
        return "send.no-address", kernel_word.likely(drop, fact)
    if send.error in _FORBIDDING:
        return _forbidden(drop, send, host)
    return None


def _no_route(drop: Drop, send: SendNote, host: Host) -> Judgement:
    """IPv4 gives the same errno for an interface that is down, to which the send is bound."""
    daddr = drop.packet.daddr
    if drop.event.source.startswith("tcp") and daddr is not None and daddr.is_multicast:
        fact = Evidence("packet", "TCP connects to a single host, and this is a multicast address")
        return "send.no-route", kernel_word.certain(drop, fact)
    rules = host.refusing_rules(drop.event.netns, drop.packet.family or 4, drop.event.monotonic_ns)
    if rules is None or "unreachable" in rules:
        known = "there is one" if rules else "it is unknown whether there is one"
        fact = Evidence("netlink rule", f"an ip rule of type unreachable has the same effect: {known}")
        return "send.no-route", _named(kernel_word.likely(drop, fact), drop, send, host, "unreachable")
    if send.bound_ifindex is not None and drop.packet.family == 4:
        link = interface.link(drop, host, send.bound_ifindex)
        if link is None or pinned.doubts(drop, host, pinned.Source("links", None)):
            fact = Evidence(
                "probe", "the send is bound to an interface, and one that is down has the same effect"
            )
            return "send.no-route", kernel_word.likely(drop, fact)
        if not link.up:
            return "send.interface-down", _down(drop, link)
    doubts = pinned.doubts(drop, host, pinned.Source("routes", None))
    if doubts:
        return "send.no-route", kernel_word.likely(drop, *doubts)
    return "send.no-route", kernel_word.certain(drop)


def _forbidden(drop: Drop, send: SendNote, host: Host) -> Judgement | None:
    """The lookup gives EACCES and EHOSTUNREACH for nothing else; connect() and EINVAL have other reasons as well."""
    kind = _FORBIDDING[send.error]
    is_lookup = drop.event.source in LOOKUPS[:2]
    fact = Evidence("errno", f"a route or ip rule of type {kind} has this effect")
    if is_lookup and send.error != errno.EINVAL:
        return "send.prohibited", _named(kernel_word.certain(drop, fact), drop, send, host, kind)
    route = _route(drop, send, host)
    if route is None or route.refusal != refusal(send.error):
        return None
    fact = Evidence("netlink route", f"for this destination {route.refusal}")
    return "send.prohibited", _named(_pinned(drop, fact, host), drop, send, host, kind)


def _named(said: Verdict, drop: Drop, send: SendNote, host: Host, kind: str) -> Verdict:
    """With the route or rule that refuses, where nothing speaks against it: what the errno says holds without it."""
    asked = asked_of(drop, host)
    known = host.rules(drop.event.netns, drop.packet.family or 4, drop.event.monotonic_ns)
    if asked is None or known is None or pinned.doubts(drop, host, pinned.Source("routes", None)):
        return said
    out = interface.link(drop, host, send.bound_ifindex)
    oif = "" if send.bound_ifindex is None else out.name if out is not None else None
    found = who_refused(kind, known.rules, known.refusals, asked._replace(oif=oif, uid=send.uid))
    if found is None:
        return said
    if not found.is_sure:
        may_be = Evidence("netlink rule", f"it may be {found.route.text}")
        return replace(said, evidence=(*said.evidence, may_be))
    return replace(said, culprit=found.route, fix=remedies(drop, found.route))


def _pinned(drop: Drop, fact: Evidence, host: Host) -> Verdict:
    doubts = pinned.doubts(drop, host, pinned.Source("routes", None))
    return kernel_word.likely(drop, fact, *doubts) if doubts else kernel_word.certain(drop, fact)


def _route(drop: Drop, send: SendNote, host: Host) -> Route | None:
    packet, event = drop.packet, drop.event
    if packet.daddr is None:
        return None
    source = None if packet.saddr is None or packet.saddr.is_unspecified else packet.saddr
    return host.route_of_send(
        event.netns, packet.daddr, source, send.bound_ifindex or 0, packet.mark, send.uid, event.monotonic_ns
    )


def _is_from_elsewhere(drop: Drop, host: Host) -> bool:
    saddr = drop.packet.saddr
    if saddr is None or saddr.is_unspecified:
        return False
    own = host.addresses(drop.event.netns, drop.event.monotonic_ns)
    return own is not None and not saddr.is_loopback and saddr not in {each.address for each in own}


def _no_address(drop: Drop) -> Verdict:
    if drop.event.source == "tcp_v4_connect":
        fact = "no local port is free for a connection to this destination, or the bound port already has one"
        return kernel_word.certain(drop, Evidence("errno", fact))
    if drop.event.source == "tcp_v6_connect":
        fact = "no IPv6 address fits the destination, or no local port is free for it"
        return kernel_word.likely(drop, Evidence("errno", fact))
    return kernel_word.certain(drop, Evidence("errno", "no IPv6 address fits the destination"))


def _interface(drop: Drop, send: SendNote, host: Host) -> Verdict:
    """The index that the send is bound to says which one, whatever its name is by now."""
    if send.bound_ifindex is None:
        return kernel_word.certain(drop)
    found = interface.link(drop, host, send.bound_ifindex)
    if found is None or found.up:
        by_now = "up by now" if found is not None else "gone"
        seen = f"after the drop: the interface of index {send.bound_ifindex} is {by_now}"
        return kernel_word.certain(drop, Evidence("netlink link", seen))
    return _down(drop, found)


def _down(drop: Drop, link: Link) -> Verdict:
    what = f"bring up {link.name}, to which the send is bound"
    fix = Fix(what, f"ip link set dev {quoted(link.name)} up")
    return replace(kernel_word.certain(drop), culprit=interface.down(link), fix=(fix,))


def _too_big(drop: Drop, send: SendNote, host: Host) -> Verdict:
    given = f"{send.length} bytes" if send.length else "its bytes"
    if send.mtu is not None:
        fact = f"{given} and their headers do not fit into {send.mtu}, and may not be fragmented"
    else:
        fact = f"{given} are more than a datagram can have ({_LONGEST})"
    said = kernel_word.certain(drop, Evidence(f"probe {drop.event.source}", fact, "proof"))
    route = _route(drop, send, host) if send.mtu is not None else None
    if route is None or route.device is None:
        return said
    link = interface.link(drop, host, route.device)
    if send.mtu not in (route.mtu, link.mtu if link is not None and route.mtu is None else None):
        return said  # of another route, or changed since
    whose = Evidence("netlink route", f"after the drop: {who_set_it(route)} is {send.mtu}")
    culprit = interface.too_small(link) if link is not None and route.mtu is None else None
    return replace(said, culprit=culprit, evidence=(*said.evidence, whose))


def _broadcast(drop: Drop) -> Verdict:
    fact = "udp_sendmsg returns this for a broadcast address; a security module may return it as well"
    return kernel_word.likely(drop, Evidence("errno", fact))


SEND = Family("send", CAUSES, _judge)
