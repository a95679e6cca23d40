"""A packet that DNAT sends to a loopback address of this host, on an interface that takes none: words and sign."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.host.host import Host
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict

_ROUTING = frozenset({"ip_rcv_finish_core"})
_SETTING = "route_localnet"

LOCALNET = Cause(
    id="routing.route-localnet",
    title="DNAT sends it to 127.0.0.0/8, route_localnet is 0",
    why="""
A rule translates the destination to a loopback address (a published port, a proxy that listens on localhost
only). The kernel takes such an address for an error on every interface but the loopback, and drops the packet
after DNAT, unless net.ipv4.conf.all.route_localnet or that of the interface it came in through is 1.
kube-proxy sets it for node ports on localhost, Docker's userland-proxy=false too.
""",
    confirm="""
$ sysctl net.ipv4.conf.all.route_localnet net.ipv4.conf.DEV.route_localnet
$ conntrack -L --dst-nat
""",
    fix=(
        Fix(
            "have the program listen on an address of the interface too, and the rule translate to that one",
            "ss -lntup",
        ),
        Step(
            "or let this interface take loopback addresses",
            "sysctl -w net.ipv4.conf.DEV.route_localnet=1",
            weakens="the network can reach what listens on localhost only",
        ),
    ),
    seen_as=("IP_LOCALNET", "NOT_SPECIFIED"),
    seen_at=("ip_rcv_finish_core",),
)


def route_localnet(drop: Drop, host: Host) -> Verdict | None:
    """The kernel refused a loopback address, and conntrack's entry says that DNAT has put it there."""
    daddr, past, event = drop.packet.daddr, drop.event.past, drop.event
    connection = past.connection if past is not None else None
    if daddr is None or daddr.version != 4 or not daddr.is_loopback:
        return None
    if connection is None or connection.is_reply or not connection.destination_nat:
        return None
    told = drop.reason == "IP_LOCALNET"
    if not told and not (kernel_word.gave_no_reason(drop) and kernel_word.place(drop) in _ROUTING):
        return None
    was = Evidence(
        "conntrack entry, at the drop", f"it was for {connection.original.daddr} until DNAT", "proof"
    )
    found = host.ipv4(event.netns, event.ifindex, event.monotonic_ns)
    changed = pinned.doubts(drop, host, pinned.Source("sysctls", None))
    device = drop.iface.name if drop.iface is not None else None
    if found is None or device is None or found.route_localnet.here or found.route_localnet.all:
        return kernel_word.certain(drop, was) if told else None
    both = Evidence("sysctl, after the drop", f"{_SETTING}: all = 0, {device} = 0, one of them must be 1")
    verdict = (kernel_word.certain if told else kernel_word.likely)(drop, was, both)
    name = f"net.ipv4.conf.{device.replace('.', '/')}.{_SETTING}"
    return verdict if changed else replace(verdict, culprit=Sysctl(f"{name} = 0", name, 0))
