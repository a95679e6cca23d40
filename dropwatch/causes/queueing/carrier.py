"""A device that was down, had no carrier or no active queue while something was sent through it."""

from dataclasses import replace

from dropwatch.causes import interface, kernel_word, pinned
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.family import Judgement
from dropwatch.causes.places import SENDING, is_not_active, is_off
from dropwatch.causes.queueing.control import BRING_UP, CARRIER
from dropwatch.host.host import Host
from dropwatch.host.link import Link
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.names.foreign import quoted

_SEEN = Evidence("interface at the drop", "the interface was down or had no carrier")


def device_is_off(drop: Drop, host: Host) -> Judgement | None:
    if kernel_word.place(drop) not in SENDING:
        return None
    if is_not_active(drop):
        fact = "it was up and had a carrier, but its queue still had, or had again, the qdisc noop, which drops all"
        return "queueing.not-active", kernel_word.certain(drop, Evidence("interface at the drop", fact))
    if not is_off(drop):
        return None
    link = interface.link(drop, host, drop.event.ifindex)
    if link is not None and link.kind == "tun" and link.up and not link.runs:
        return "device.tun-no-reader", _without_a_reader(drop, host, link)
    return "queueing.noqueue-down", _off(drop, host, link)


def _without_a_reader(drop: Drop, host: Host, link: Link) -> Verdict:
    """It loses its carrier when the last program closes it (__tun_detach in drivers/net/tun.c)."""
    fact = (
        f"after the drop: the tun or tap device {link.name} is up and has no carrier, which it has while a program has "
        "it open; such a program may also have switched it off (TUNSETCARRIER)"
    )
    said = kernel_word.likely(
        drop,
        _SEEN,
        Evidence("netlink link", fact, "proof"),
        *pinned.doubts(drop, host, pinned.Source("links", None)),
    )
    return replace(said, culprit=interface.down(link))


def _off(drop: Drop, host: Host, link: Link | None) -> Verdict:
    if link is not None and link.runs:
        said = kernel_word.certain(drop, _SEEN, Evidence("netlink link", "after the drop: it is up by now"))
    else:
        said = kernel_word.certain(drop, _SEEN)
    culprit = interface.down(link) if link is not None and not link.runs else None
    return replace(said, culprit=culprit, fix=_bring_up_what_is_below(drop, host))


def _bring_up_what_is_below(drop: Drop, host: Host) -> tuple[Fix, ...]:
    """Where the device itself is up. Empty where it is down, or nothing is known: what the page says helps then."""
    lower = host.lower(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)
    if lower is None:
        return ()
    others = of_catalogue((fix for fix in CARRIER if fix.command != BRING_UP), drop)
    if lower.name is not None:
        what = f"bring up {lower.name}, its peer or lower interface: the interface itself is up"
        return (Fix(what, f"ip link set dev {quoted(lower.name)} up"), *others)
    other = (
        "bring up its peer or lower interface in another network namespace (`@if` shows its index there): "
        "the interface itself is up"
    )
    find = Fix(other, "ip -d link show DEV; ip -all netns exec ip link show")
    return (*of_catalogue((find,), drop), *others)
