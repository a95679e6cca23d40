"""What the signs of tunnels share: the interface as it was read, in ip's words, and as the one to blame."""

from collections.abc import Mapping
from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.placeholders import NOTHING
from dropwatch.host.host import Host
from dropwatch.host.tunnel.ip import Tunnel
from dropwatch.host.tunnel.vxlan import Vxlan
from dropwatch.model.change import Change
from dropwatch.model.drop import Address, Drop, Evidence, Fix, Verdict
from dropwatch.model.forwarding import Device


def died_silent_at(drop: Drop, *places: str) -> bool:
    """In one of these functions, without a reason of the kernel's."""
    return kernel_word.gave_no_reason(drop) and kernel_word.place(drop) in places


def vxlans_of(drop: Drop, host: Host) -> tuple[Vxlan, ...] | None:
    return host.vxlans(drop.event.netns, drop.event.monotonic_ns)


def vxlan_here(drop: Drop, host: Host) -> Vxlan | None:
    """The VXLAN interface that the packet is at."""
    return next((one for one in vxlans_of(drop, host) or () if one.ifindex == drop.event.ifindex), None)


def tunnels_of(drop: Drop, host: Host) -> tuple[Tunnel, ...] | None:
    return host.tunnels(drop.event.netns, drop.event.monotonic_ns)


def tunnel_here(drop: Drop, host: Host) -> Tunnel | None:
    return next((one for one in tunnels_of(drop, host) or () if one.ifindex == drop.event.ifindex), None)


def has_lost_header(drop: Drop) -> bool:
    """Its outer one: iptunnel_pull_header clears skb_iif. The interface that it is at since may be gone by now."""
    return kernel_word.gave_no_reason(drop) and not drop.event.skb_iif


def described(one: Vxlan | Tunnel) -> str:
    """As `ip -d link` has it: `vx0 vxlan id 77 remote 10.0.0.2 dstport 4789`."""
    if isinstance(one, Vxlan):
        word = "group" if one.remote is not None and one.remote.is_multicast else "remote"
        words = ["external"] if one.external else [f"id {one.vni}"]
        words += [f"{word} {one.remote}"] if one.remote is not None else []
        words += [f"local {one.local}"] if one.local is not None else []
        return " ".join((one.name, "vxlan", *words, f"dstport {one.port}"))
    if one.kind == "geneve":
        words = ["external"] if one.external else [f"id {one.key}", f"remote {one.remote}"]
        return " ".join((one.name, "geneve", *words, f"dstport {one.port}"))
    words = [f"remote {_or_any(one.remote)}", f"local {_or_any(one.local)}"]
    words += [f"ikey {one.key}"] if one.key is not None else []
    words += ["iseq"] if one.sequence else []
    words += ["icsum"] if one.checksum else []
    return " ".join((one.name, one.kind, *words))


def kind_of(one: Vxlan | Tunnel) -> str:
    return "vxlan" if isinstance(one, Vxlan) else one.kind


def blamed(
    verdict: Verdict,
    drop: Drop,
    host: Host,
    one: Vxlan | Tunnel,
    setting: str,
    page: tuple[Fix, ...],
    also: Mapping[str, str] = NOTHING,
    kinds: tuple[Change, ...] = ("links",),
) -> Verdict:
    """The interface is TUNNEL in the page. Likely only, where what was read has changed since the drop."""
    culprit = Device(described(one), one.name, kind_of(one), setting)
    fix = of_catalogue(page, drop, {"TUNNEL": one.name, **also})
    return pinned.doubted(replace(verdict, culprit=culprit, fix=fix), doubts_of(drop, host, *kinds))


def doubts_of(drop: Drop, host: Host, *kinds: Change) -> tuple[Evidence, ...]:
    return pinned.doubts(drop, host, *(pinned.Source(kind, None) for kind in kinds or ("links",)))


def proof(text: str, source: str = "netlink route") -> Evidence:
    return Evidence(source, text, "proof")


def _or_any(address: Address | None) -> str:
    return "any" if address is None else str(address)
