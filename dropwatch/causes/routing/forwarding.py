"""The settings that decide whether a host forwards: of IPv4 that of the interface a packet came in through."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.host.host import Host
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Verdict

_READ = "sysctl, after the drop"
_IPV6_ALL = "net.ipv6.conf.all.forwarding"


def is_off(drop: Drop, host: Host) -> Verdict | None:
    """For kernels without reasons, in ip_error: it ends what is not for this host where forwarding is off."""
    found = _ipv4(drop, host)
    if found is None or found[1]:
        return None
    name, value = found
    fact = Evidence(_READ, f"{name} = {value}, and {drop.packet.daddr} is not an address of this host")
    changed = pinned.doubts(drop, host, pinned.Source("sysctls", None), pinned.Source("routes", None))
    verdict = replace(kernel_word.certain(drop, fact), culprit=Sysctl(f"{name} = {value}", name, value))
    return pinned.doubted(verdict, changed)


def setting_of(drop: Drop, host: Host, verdict: Verdict) -> Verdict:
    """The verdict with the setting where it is off afterwards; as its object, where nobody wrote a sysctl meanwhile."""
    found = _ipv4(drop, host) if drop.packet.family == 4 else _ipv6(drop, host)
    if found is None or found[1]:
        return verdict
    name, value = found
    fact = Evidence(_READ, f"{name} = {value}")
    if pinned.doubts(drop, host, pinned.Source("sysctls", None)):
        return replace(verdict, evidence=(*verdict.evidence, fact))
    return replace(
        verdict, culprit=Sysctl(f"{name} = {value}", name, value), evidence=(*verdict.evidence, fact)
    )


def _ipv4(drop: Drop, host: Host) -> tuple[str, int] | None:
    index = drop.event.skb_iif or drop.event.ifindex
    set_to = host.ipv4(drop.event.netns, index, drop.event.monotonic_ns)
    if set_to is None or drop.iface is None or drop.iface.index != index or not drop.iface.name:
        return None
    if not set_to.forwarding.all and not set_to.forwarding.here:
        return "net.ipv4.ip_forward", 0
    return f"net.ipv4.conf.{drop.iface.name.replace('.', '/')}.forwarding", set_to.forwarding.here


def _ipv6(drop: Drop, host: Host) -> tuple[str, int] | None:
    found = host.sysctl(drop.event.netns, _IPV6_ALL, drop.event.monotonic_ns)
    return (_IPV6_ALL, found.value) if found is not None else None
