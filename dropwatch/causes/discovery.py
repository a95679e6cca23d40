"""What became of a message of neighbour discovery: done with, nobody's business here, invalid, or not accepted.

Before 6.3 icmpv6_rcv() frees all of them as if they were dropped; later kernels those that it has not answered.
"""

from dropwatch.causes import kernel_word
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


def answered(drop: Drop, host: Host) -> Verdict | None:
    """A message that has done its work, or that asks or tells nothing of this host."""
    if drop.reason == "IPV6_NDISC_NS_OTHERHOST":
        return kernel_word.certain(drop, Evidence("packet", "a question for an address that is not ours"))
    message = _freed(drop)
    if message is None or message.fault:
        return None
    if message.kind == SOLICITATION and "answered" in drop.event.notes:
        return kernel_word.certain(drop, Evidence("probe ndisc_send_na", "this host answered it"))
    here = _here(drop, host)
    if here is None:
        fact = _answer_to_us(message, drop)
    else:
        fact = _why_harmless(message, here) if _not_accepted(message, here) is None else None
    return None if fact is None else kernel_word.certain(drop, Evidence("packet", fact))


def ignored_by_router(drop: Drop, host: Host) -> Verdict | None:
    """A router does not let another one configure it, unless accept_ra is 2 (ipv6_accept_ra in net/ipv6/ndisc.c)."""
    message = _freed(drop)
    if message is None or message.fault or message.kind != ROUTER_ADVERTISEMENT:
        return None
    here = _here(drop, host)
    if here is not None and here.forwarding and here.accept_ra == 1:
        fact = "this interface forwards, so that it takes no router advertisement"
        return kernel_word.certain(drop, Evidence("sysctl", fact))
    return None


def invalid(drop: Drop, host: Host) -> Verdict | None:
    message = _freed(drop)
    if message is None or message.fault is None:
        return None
    return kernel_word.certain(drop, Evidence("packet", message.fault))


def refused(drop: Drop, host: Host) -> Verdict | None:
    """A sound message that a setting of the interface, or an address that is not yet its own, has the kernel ignore."""
    message = _freed(drop)
    here = _here(drop, host) if message is not None and not message.fault else None
    if message is None or here is None:
        return None
    if message.kind == SOLICITATION and message.target in here.tentative and not message.from_nobody:
        fact = f"{message.target} is tentative: duplicate address detection is not over, and nobody may use it yet"
        return kernel_word.likely(drop, Evidence("addresses after the drop", fact))
    if message.kind == ADVERTISEMENT and message.target in here.addresses:
        fact = f"it advertises {message.target}, an address of this host: two hosts have it"
        return kernel_word.certain(drop, Evidence("packet", fact))
    sysctl = _not_accepted(message, here)
    if sysctl is None or drop.iface is None or drop.iface.name is None:
        return None
    name, value, wanted = sysctl
    key = f"net.ipv6.conf.{drop.iface.name.replace('.', '/')}.{name}"
    text = f"{key} = {value}"
    fix = (Fix("if it is to be accepted here", f"sysctl -w net.ipv6.conf.DEV.{name}={wanted}"),)
    if message.kind == REDIRECT:
        why = "whoever is on this link can then divert what this host sends"
        fix = (Step(fix[0].text, fix[0].command, weakens=why),)
    return Verdict(
        "likely",
        Sysctl(text, key, value),
        (Evidence("sysctl after the drop", text), kernel_word.evidence(drop)),
        of_catalogue(fix, drop),
    )


def freed_by_icmp6(drop: Drop) -> bool:
    """At the end of icmpv6_rcv. Where the kernel gives no reasons, a wrong checksum ends there as well."""
    if kernel_word.place(drop) != "icmpv6_rcv" or not kernel_word.gave_no_reason(drop):
        return False
    on_loopback = drop.iface is not None and drop.iface.name == "lo"  # nothing changes a packet there
    return drop.reason is not None or on_loopback or icmp_checksum_holds(drop)


def _freed(drop: Drop) -> Message | None:
    return discovery_message(drop) if freed_by_icmp6(drop) else None


def _here(drop: Drop, host: Host) -> Ipv6Interface | None:
    if drop.iface is None or drop.iface.name is None:
        return None
    return host.ipv6(drop.event.netns, drop.iface.name, drop.event.monotonic_ns)


def _not_accepted(message: Message, here: Ipv6Interface) -> tuple[str, int, int] | None:
    """The sysctl that says so, its value, and the one with which it is accepted."""
    if message.kind == ROUTER_ADVERTISEMENT and not here.accept_ra:
        return "accept_ra", 0, 2 if here.forwarding else 1
    if message.kind == ROUTER_ADVERTISEMENT and here.forwarding and here.accept_ra == 1:
        return "accept_ra", 1, 2
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
        return "a sound answer to a solicitation of this host, which no setting refuses"
    return None


def _why_harmless(message: Message, here: Ipv6Interface) -> str | None:
    """By the rules of net/ipv6/ndisc.c for a sound message that no setting refuses; None where they do not tell."""
    if message.kind == SOLICITATION:
        if message.target not in here.addresses:
            return f"a question for {message.target}, an address that is not ours"
        return (
            "another host asks whether an address of ours is free: it is told"
            if message.from_nobody
            else None
        )
    if message.kind == ADVERTISEMENT and message.target in here.addresses:
        return None
    if message.kind == ROUTER_SOLICITATION and not here.forwarding:
        return "a question for routers, and this interface does not forward"
    return "a sound neighbour discovery message, which no setting of the interface refuses"
