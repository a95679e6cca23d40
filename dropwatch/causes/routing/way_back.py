"""Signs of the check of the way back, and of settings of IPv4 on the interface that a packet came in through."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.routing.addresses import NO_WAY_BACK
from dropwatch.host.host import Host
from dropwatch.host.ipv4 import Setting
from dropwatch.host.route import Route
from dropwatch.host.rules import table_name
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Verdict

_ROUTING = frozenset({"ip_rcv_finish_core"})
_MODES = {1: "strict", 2: "loose"}
_ROUTING_HEADER = (
    "it has an IPv6 routing header of a type that this host does not follow, or that makes no sense"
)
_LSRR, _SSRR = 131, 137  # IPOPT_LSRR, IPOPT_SSRR of linux/ip.h
_MIN_HEADER, _END, _NOTHING = 20, 0, 1


def reverse_path(drop: Drop, host: Host) -> Verdict | None:
    """Loose mode helps where there is any route back: without one it refuses the packet as well.

    A kernel that gives no reason says nothing of it: then the setting and the way back must explain it.
    """
    said = drop.reason == "IP_RPFILTER"
    silent = drop.reason is None and kernel_word.place(drop) in _ROUTING and drop.packet.family == 4
    saddr = drop.packet.saddr
    if not said and (not silent or saddr is None or saddr.is_unspecified):
        return None
    event = drop.event
    route = host.route_back(event.netns, saddr, event.mark, event.monotonic_ns) if saddr is not None else None
    mode = _mode(drop, host)
    if not said and not _explains(drop, route, mode):
        return None
    facts = tuple(_facts(drop, route, mode))
    verdict = kernel_word.certain(drop, *facts) if said else kernel_word.likely(drop, *facts)
    if mode is not None and not pinned.doubts(drop, host, pinned.Source("sysctls", None)):
        verdict = replace(verdict, culprit=_setting(drop, "rp_filter", mode))
    if route is not None and route.refusal is not None and drop.iface is not None and drop.iface.name:
        verdict = replace(verdict, fix=of_catalogue(NO_WAY_BACK, drop))
    return verdict


def _mode(drop: Drop, host: Host) -> Setting | None:
    if drop.packet.family != 4:
        return None
    found = host.ipv4(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)
    return found.rp_filter if found is not None else None


def _explains(drop: Drop, route: Route | None, mode: Setting | None) -> bool:
    if route is None or mode is None or drop.iface is None:
        return False
    strength = max(mode.here, mode.all)
    return bool(strength) and (route.device is None or (strength == 1 and route.device != drop.iface.name))


def _facts(drop: Drop, route: Route | None, mode: Setting | None) -> list[Evidence]:
    name = drop.iface.name if drop.iface is not None else None
    facts = []
    if mode is not None and max(mode.here, mode.all):
        larger = max(mode.here, mode.all)
        both = f"all = {mode.all}, {name} = {mode.here}, the larger counts"
        fact = f"rp_filter is {_MODES.get(larger, str(larger))}: {both}"
        facts.append(Evidence("sysctl, after the drop", fact, "proof"))
    if route is not None:
        facts.append(Evidence("netlink route, after the drop", _way(drop, route, name)))
    return facts


def _way(drop: Drop, route: Route, name: str | None) -> str:
    saddr = drop.packet.saddr
    if route.device is None:
        return f"there is no way back to {saddr}: {route.refusal}"
    if route.local:
        return f"{saddr} is an address of this host"
    via = f" via {route.gateway}" if route.gateway else ""
    table = f", by table {table_name(route.table)}" if route.table is not None else ""
    return f"the way back to {saddr} leads out through {route.device}{via}{table}; it came in through {name}"


def _setting(drop: Drop, name: str, mode: Setting) -> Sysctl:
    """The one of the two that makes it so."""
    device = drop.iface.name if drop.iface is not None and drop.iface.name else None
    if mode.all >= mode.here or device is None:
        return Sysctl(f"net.ipv4.conf.all.{name} = {mode.all}", f"net.ipv4.conf.all.{name}", mode.all)
    full = f"net.ipv4.conf.{device.replace('.', '/')}.{name}"
    return Sysctl(f"{full} = {mode.here}", full, mode.here)


def source_route(drop: Drop, host: Host) -> Verdict | None:
    """The option is in the packet, and the interface takes none: all and the interface must say so. Or the header."""
    if kernel_word.place(drop) == "ipv6_rthdr_rcv" and kernel_word.gave_no_reason(drop):
        return kernel_word.likely(drop, Evidence("place", _ROUTING_HEADER))
    if kernel_word.place(drop) not in _ROUTING or not kernel_word.gave_no_reason(drop):
        return None
    option = _source_route(drop.event.packet)
    if option is None:
        return None
    found = host.ipv4(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)
    fact = Evidence("packet", f"it has the option {option}")
    if found is None:
        return kernel_word.likely(drop, fact)
    both = found.accept_source_route
    if both.here and both.all:
        return None
    device = drop.iface.name if drop.iface is not None else None
    name = "all" if not both.all else (device or "the interface").replace(".", "/")
    setting = f"net.ipv4.conf.{name}.accept_source_route"
    values = f"accept_source_route: all = {both.all}, {device} = {both.here}, both must be 1"
    verdict = kernel_word.likely(drop, fact, Evidence("sysctl, after the drop", values))
    return replace(verdict, culprit=Sysctl(f"{setting} = 0", setting, 0))


def _source_route(header: bytes) -> str | None:
    """The option of an IPv4 header that says by which routers the packet is to go."""
    if len(header) < _MIN_HEADER or header[0] >> 4 != 4:
        return None
    at, end = _MIN_HEADER, min((header[0] & 0xF) * 4, len(header))
    while at < end and header[at] != _END:
        if header[at] in (_LSRR, _SSRR):
            return "loose source route" if header[at] == _LSRR else "strict source route"
        length = 1 if header[at] == _NOTHING else header[at + 1] if at + 1 < end else 0
        if not length:
            return None
        at += length
    return None
