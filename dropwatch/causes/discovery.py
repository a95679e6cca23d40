"""What became of a message of neighbour discovery: done with, nobody's business here, invalid, or not accepted.

Before 6.3 icmpv6_rcv() frees all of them as if they were dropped; later kernels those that it has not answered.
"""

from dataclasses import replace
from ipaddress import IPv6Address

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import Step, of_catalogue
from dropwatch.host.host import Host
from dropwatch.host.ipv6 import Ipv6Interface
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.packet.discovery import (
    ADVERTISEMENT,
    REDIRECT,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
    SOLICITATION,
    Message,
    discovery_message,
)
from dropwatch.packet.payload import icmp_checksum_holds

_OF_PROXIES = frozenset({"neigh_proxy_process", "pndisc_redo"})


def answered(drop: Drop, host: Host) -> Verdict | None:
    """A message that has done its work, or that asks or tells nothing of this host."""
    if drop.reason == "IPV6_NDISC_NS_OTHERHOST":
        if _is_asked_in_vain(drop, host) or went_since(drop, host):
            return None
        return kernel_word.certain(
            drop, Evidence("packet", "a solicitation for an address that this host does not have")
        )
    message = _freed(drop) or _not_delivered(drop)
    if message is None:
        return _followed(drop, host)
    if message.fault:
        return None
    if message.kind == SOLICITATION and "answered" in drop.event.notes:
        return kernel_word.certain(drop, Evidence("probe ndisc_send_na", "this host answered it"))
    here = _here(drop, host)
    if here is not None and _is_new(message, here, drop, host):
        came_since = f"routing did not have {message.target} as an address of this host: it was added since"
        return kernel_word.certain(drop, Evidence("probe nlmsg_notify", came_since))
    if here is None:
        fact = _answer_to_us(message, drop)
    else:
        accepted = _not_accepted(message, here) is None and not _is_not_followed(message, drop, host)
        may_be_another = _changed_since(message, drop, host)
        fact = _why_harmless(message, here) if accepted and not may_be_another else None
    return None if fact is None else kernel_word.certain(drop, Evidence("packet", fact))


def _followed(drop: Drop, host: Host) -> Verdict | None:
    """A router advertisement that is too long to be looked at: the kernel has read its options, and took a prefix."""
    if drop.packet.icmp_type != ROUTER_ADVERTISEMENT or "answered" not in drop.event.notes:
        return None
    if kernel_word.place(drop) != "icmpv6_rcv" or not kernel_word.gave_no_reason(drop):
        return None
    here = _here(drop, host)
    message = Message(ROUTER_ADVERTISEMENT, False, None, False, None)
    if here is None or _not_accepted(message, here) is not None:
        return None
    if _changed_since(message, drop, host):
        return None
    fact = "a router advertisement: it is sound, and this host took its prefixes"
    return kernel_word.certain(drop, Evidence("probe addrconf_prefix_rcv", fact))


def ignored_by_router(drop: Drop, host: Host) -> Verdict | None:
    """A router does not let another one configure it, unless accept_ra is 2 (ipv6_accept_ra in net/ipv6/ndisc.c)."""
    message = _freed(drop)
    if message is None or message.fault or message.kind != ROUTER_ADVERTISEMENT:
        return None
    here = _here(drop, host)
    is_router = here is not None and here.forwarding and here.accept_ra == 1
    if is_router and not _changed_since(message, drop, host):
        fact = "this interface forwards, so it accepts no router advertisement"
        return kernel_word.certain(drop, Evidence("sysctl", fact))
    return None


def invalid(drop: Drop, host: Host) -> Verdict | None:
    message = _freed(drop)
    if message is None or message.fault is None:
        return None
    return kernel_word.certain(drop, Evidence("packet", message.fault))


def asked_for_an_address_aside(drop: Drop, host: Host) -> bool:
    """A solicitation for an address of this namespace on an interface where nobody can ask for it."""
    message, here = discovery_message(drop), _here(drop, host)
    if message is None or here is None or message.fault or message.kind != SOLICITATION:
        return False
    return message.target in here.aside and not message.from_nobody


def _is_asked_in_vain(drop: Drop, host: Host) -> bool:
    """A solicitation for an address of this namespace, but not of the interface, as ndisc_recv_ns wants it."""
    message, here = discovery_message(drop), _here(drop, host)
    if message is None or here is None or here.own is None or message.from_nobody:
        return False
    return message.target in here.addresses and message.target not in here.own


def asked_in_vain(drop: Drop, host: Host) -> Verdict | None:
    """It waits for an answer that no interface gives."""
    freed = drop.reason == "IPV6_NDISC_NS_OTHERHOST" or _freed(drop) is not None
    not_joined = kernel_word.place(drop) == "ip6_mc_input" and asked_for_an_address_aside(drop, host)
    message = discovery_message(drop)
    if (
        message is None
        or message.kind != SOLICITATION
        or not (not_joined or (freed and _is_asked_in_vain(drop, host)))
    ):
        return None
    fact = (
        f"{message.target} is an address of this namespace, but not of the interface that the solicitation "
        "came in through: IPv6 replies only for addresses of that interface"
    )
    said = kernel_word.likely(drop, Evidence("netlink route", f"after the drop: {fact}"))
    fix = (
        Fix(
            "add the address to the interface where it is solicited",
            f"ip address add {message.target}/128 dev DEV",
        ),
        Fix("or have this host reply for it", f"ip neigh add proxy {message.target} dev DEV"),
    )
    title = "the address is on another interface: this host does not reply"
    return replace(said, title=title, fix=of_catalogue(fix, drop))


def refused(drop: Drop, host: Host) -> Verdict | None:
    """A sound message that a setting of the interface, or an address that is not yet its own, has the kernel ignore."""
    message = _freed(drop)
    here = _here(drop, host) if message is not None and not message.fault else None
    if message is None or here is None:
        return None
    if message.kind == SOLICITATION and message.target in here.tentative and not message.from_nobody:
        fact = f"{message.target} is tentative: duplicate address detection is not finished, so it cannot be used yet"
        return kernel_word.likely(drop, Evidence("netlink route", f"after the drop: {fact}"))
    if message.kind == ADVERTISEMENT and message.target in _own(here):
        fact = f"it advertises {message.target}, an address of this interface: two hosts have this address"
        said = kernel_word.certain(drop, Evidence("packet", fact))
        changed = pinned.doubts(drop, host, pinned.Source("routes", None))
        return kernel_word.likely(drop, Evidence("packet", fact), *changed) if changed else said
    sysctl = _not_accepted(message, here)
    if sysctl is None and _is_not_followed(message, drop, host):
        return _from_another_router(message, drop)
    if sysctl is None or drop.iface is None or drop.iface.name is None:
        return None
    name, value, wanted = sysctl
    key = f"net.ipv6.conf.{drop.iface.name.replace('.', '/')}.{name}"
    text = f"{key} = {value}"
    fix = (Fix("accept it here", f"sysctl -w net.ipv6.conf.DEV.{name}={wanted}"),)
    if message.kind == REDIRECT:
        why = "any host on this link can divert what this host sends"
        fix = (Step(fix[0].text, fix[0].command, weakens=why),)
    return Verdict(
        "likely",
        Sysctl(text, key, value),
        (Evidence("sysctl", f"{key} is {value} after the drop"), kernel_word.evidence(drop)),
        of_catalogue(fix, drop),
    )


def _is_not_followed(message: Message, drop: Drop, host: Host) -> bool:
    """A redirect is taken from the router alone that packets go to now (rt6_do_redirect in net/ipv6/route.c)."""
    if message.kind != REDIRECT or message.destination is None:
        return False
    way = host.route_back(drop.event.netns, message.destination, 0, drop.event.monotonic_ns)
    if way is None:
        return False
    wanted = (
        None if message.destination == message.target else str(message.target)
    )  # None: it is on this link
    return way.gateway != wanted


def _from_another_router(message: Message, drop: Drop) -> Verdict:
    why = (
        f"it redirects {message.destination} to {message.target}, and after the drop the route uses another "
        f"router: a redirect is accepted only from the router in use, which {drop.packet.saddr} may not be"
    )
    fix = (Fix("see which router is in use", f"ip -6 route get {message.destination}"),)
    return replace(kernel_word.likely(drop, Evidence("route", why)), fix=of_catalogue(fix, drop))


def freed_by_icmp6(drop: Drop) -> bool:
    """At the end of icmpv6_rcv, or of the delay after which a proxy has answered. Where the kernel gives no reasons, a
    wrong checksum ends in icmpv6_rcv as well."""
    place = kernel_word.place(drop)
    ended = place == "icmpv6_rcv" or (place in _OF_PROXIES and "answered" in drop.event.notes)
    if not ended or not kernel_word.gave_no_reason(drop):
        return False
    on_loopback = drop.iface is not None and drop.iface.name == "lo"  # nothing changes a packet there
    return drop.reason is not None or on_loopback or icmp_checksum_holds(drop)


def _not_delivered(drop: Drop) -> Message | None:
    """A solicitation that asks an address whether it is still there, and routing finds that it is none of ours."""
    if kernel_word.place(drop) != "ip6_forward" or drop.reason not in ("IP_INADDRERRORS", None):
        return None
    message = discovery_message(drop)
    is_probe = message is not None and message.kind == SOLICITATION and message.target == drop.packet.daddr
    return message if is_probe else None


def _is_new(message: Message, here: Ipv6Interface, drop: Drop, host: Host) -> bool:
    """Whether it was asked for an address that came after the question, as one does that has been down for a moment."""
    if message.target not in here.addresses or _not_delivered(drop) is None:
        return False
    return pinned.changed_since(drop, host, "routes")


def _freed(drop: Drop) -> Message | None:
    return discovery_message(drop) if freed_by_icmp6(drop) else None


def _here(drop: Drop, host: Host) -> Ipv6Interface | None:
    if drop.iface is None or drop.iface.name is None:
        return None
    return host.ipv6(drop.event.netns, drop.iface.name, drop.event.monotonic_ns)


def _changed_since(message: Message, drop: Drop, host: Host) -> bool:
    """Whether something has changed since that must not have for the message to be harmless by what was read."""
    if message.kind == SOLICITATION:
        return went_since(drop, host)
    if message.kind == ADVERTISEMENT and message.is_solicited:  # no setting refuses it
        return False
    if message.kind == REDIRECT:
        return pinned.changed_since(drop, host, "sysctls", "routes")
    return pinned.changed_since(drop, host, "sysctls") or went_since(drop, host)


def went_since(drop: Drop, host: Host) -> bool:
    """Whether the address that it is about has gone from here since; of others, what it came to, with its interface."""
    message, daddr = discovery_message(drop), drop.packet.daddr
    if message is not None and message.target is not None:
        return pinned.went_since(drop, host, message.target)
    return daddr is not None and pinned.went_since(drop, host, daddr, drop.event.ifindex)


def _own(here: Ipv6Interface) -> frozenset[IPv6Address]:
    return here.addresses if here.own is None else here.own


def _not_accepted(message: Message, here: Ipv6Interface) -> tuple[str, int, int] | None:
    """The sysctl that says so, its value, and the one with which it is accepted."""
    if message.kind == ROUTER_ADVERTISEMENT and not here.accept_ra:
        return "accept_ra", 0, 2 if here.forwarding else 1
    if message.kind == ROUTER_ADVERTISEMENT and here.forwarding and here.accept_ra == 1:
        return "accept_ra", 1, 2
    if message.kind == ROUTER_ADVERTISEMENT and not here.accept_ra_defrtr:
        return "accept_ra_defrtr", 0, 1
    if message.kind == ROUTER_ADVERTISEMENT and not here.accept_ra_pinfo:
        return "accept_ra_pinfo", 0, 1
    if message.kind == REDIRECT and here.forwarding:
        return "forwarding", here.forwarding, 0
    if message.kind == REDIRECT and not here.accept_redirects:
        return "accept_redirects", 0, 1
    if message.kind == ADVERTISEMENT and here.drop_unsolicited_na and not message.is_solicited:
        return "drop_unsolicited_na", here.drop_unsolicited_na, 0
    return None


def _answer_to_us(message: Message, drop: Drop) -> str | None:
    """Where nobody can be asked any more, as its namespace is gone. No setting refuses an advertisement that was asked
    for, and nobody asks for an address of their own (ndisc_recv_na in net/ipv6/ndisc.c).
    """
    to_one = drop.packet.daddr is not None and not drop.packet.daddr.is_multicast
    if (
        message.kind == ADVERTISEMENT
        and message.is_solicited
        and to_one
        and message.target != drop.packet.daddr
    ):
        return "a valid reply to a solicitation of this host, which no setting refuses"
    return None


def _why_harmless(message: Message, here: Ipv6Interface) -> str | None:
    """By the rules of net/ipv6/ndisc.c for a sound message that no setting refuses; None where they do not tell."""
    if message.kind == SOLICITATION:
        if message.target not in here.addresses:
            return f"a solicitation for {message.target}, an address that this host does not have"
        return (
            "another host asks whether an address of this host is free, and gets a reply"
            if message.from_nobody
            else None
        )
    if message.kind == ADVERTISEMENT and message.target in _own(here):
        return None
    if message.kind == ROUTER_SOLICITATION and not here.forwarding:
        return "a solicitation for routers, and this interface does not forward"
    return "a valid neighbour discovery message, which no setting of the interface refuses"
