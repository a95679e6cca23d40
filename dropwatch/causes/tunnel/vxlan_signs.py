"""Signs of VXLAN and GENEVE: who has the identifier, what the header has that the interface does not take, loops."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.tunnel.facts import (
    blamed,
    died_silent_at,
    doubts_of,
    has_lost_header,
    proof,
    vxlan_here,
    vxlans_of,
)
from dropwatch.causes.tunnel.overlay import BRING_UP, EXTENSIONS, METADATA, OWN_MAC, REMOTES, STATIC, VNIS
from dropwatch.host.host import Host
from dropwatch.host.tunnel.vxlan import Vxlan
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.packet.frame import frame_header, mac
from dropwatch.packet.payload import Encapsulation, vxlan

XMIT = ("vxlan_mdb_xmit", "vxlan_xmit", "vxlan_xmit_one")
RECEIVING = ("vxlan_rcv",)
_HAS_VNI = 0x08000000  # VXLAN_HF_VNI (net/vxlan.h)
_GROUP_POLICY = 0x80000000  # VXLAN_HF_GBP
_GPE_BITS = 0x37000000  # VXLAN_HF_VER, _NP, _OAM


def no_remote(drop: Drop, host: Host) -> Verdict | None:
    """Of an interface that finds the remotes by itself vxlan_xmit frees only what it has none for."""
    told = drop.reason == "NO_TX_TARGET" and kernel_word.place(drop) in XMIT
    if not told and not died_silent_at(drop, "vxlan_xmit"):
        return None
    here = vxlan_here(drop, host)
    if here is None or (not told and (here.external or here.proxy)):
        return kernel_word.certain(drop) if told else None
    header = frame_header(drop.event.link)
    said = kernel_word.certain(drop)
    if header is None:
        return blamed(said, drop, host, here, "no remote", REMOTES)
    address = mac(header.destination)
    found = host.vxlan_remotes(drop.event.netns, here.ifindex, address, drop.event.monotonic_ns)
    what = f"a frame for {address}"
    if found is None:
        fact = f"{what} through {here.name}"
    elif found:
        fact = f"{what}: after the drop {here.name} has a remote for it"
    else:
        fact = f"{what}: after the drop {here.name} has no entry for it, no default entry and no remote"
    said = kernel_word.certain(drop, proof(fact, "netlink neigh" if found is not None else "packet"))
    setting = "no remote" if here.remote is None else f"remote {here.remote}"
    return blamed(said, drop, host, here, setting, REMOTES, {"DEV": here.name})


def no_metadata(drop: Drop, host: Host) -> Verdict | None:
    """An external interface has no table of its own, unless what comes says that it has been bridged."""
    here = vxlan_here(drop, host) if died_silent_at(drop, "vxlan_xmit") else None
    if here is None or not here.external or here.proxy:
        return None
    fact = (
        f"{here.name} is external: each packet must say where it goes, by a route with encap, tc or a program"
    )
    said = kernel_word.likely(drop, proof(fact))
    return blamed(said, drop, host, here, "external", METADATA, {"DEV": here.name})


def no_flag(drop: Drop, host: Host) -> Verdict | None:
    """The first that vxlan_rcv looks at: the flag that says that there is a VNI."""
    header = _outer(drop, host, "VXLAN_INVALID_HDR")
    if header is None or header.flags & _HAS_VNI or has_lost_header(drop):
        return None
    fact = f"the flags are 0x{header.flags:08x}: the one for `there is a VNI` (0x08000000) is not set"
    return kernel_word.certain(drop, Evidence("packet", fact, "proof"))


def unknown_vni(drop: Drop, host: Host) -> Verdict | None:
    """No interface that is up at this port has the VNI; vxlan_vs_find_vni passes over the others."""
    told = drop.reason == "VXLAN_VNI_NOT_FOUND"
    header = _outer(drop, host, "VXLAN_VNI_NOT_FOUND")
    found = vxlans_of(drop, host) if header is not None else None
    if header is None or found is None:
        return kernel_word.certain(drop) if told else None
    port = drop.packet.dport
    heard = [one for one in found if one.up and one.port == port and not one.elsewhere]
    taken = [one for one in heard if _takes(drop, host, one, header.vni)]
    if not told and (taken or not heard or header.flags != _HAS_VNI or header.reserved):
        return None
    doubts = doubts_of(drop, host)
    fact = f"the packet has VNI {header.vni}, port {port}"
    at_port = ", ".join(_identifiers(drop, host, one) for one in heard)
    if at_port:
        fact += f"; at this port are {at_port}"
    said = kernel_word.certain(drop, proof(fact))
    if doubts and not told:
        said = replace(kernel_word.likely(drop, proof(fact)), evidence=(*said.evidence, *doubts))
    nearest = _nearest(found, heard, header.vni)
    also = {"VNI": str(header.vni)}
    if nearest is None or taken:
        return replace(said, fix=of_catalogue(VNIS, drop, also))
    setting = (
        f"dstport {nearest.port}"
        if nearest.vni == header.vni
        else _identifiers(drop, host, nearest, bare=True)
    )
    return blamed(said, drop, host, nearest, setting, VNIS, also)


def down(drop: Drop, host: Host) -> Verdict | None:
    """An interface that is down is not searched (vxlan_stop in drivers/net/vxlan takes it out of the hash)."""
    header = _outer(drop, host, "VXLAN_VNI_NOT_FOUND")
    if header is None:
        return None
    named = [one for one in vxlans_of(drop, host) or () if one.vni == header.vni and not one.external]
    port = drop.packet.dport
    off = next((one for one in named if not one.up and one.port in (0, port)), None)
    if off is None or any(one.up and one.port == port for one in named):
        return None
    said = kernel_word.likely(drop, proof(f"after the drop: {off.name} has the VNI {off.vni} and is down"))
    return blamed(said, drop, host, off, "down", BRING_UP, {"DEV": off.name})


def extension(drop: Drop, host: Host) -> Verdict | None:
    """Bits that belong to an extension which the interface of this VNI does not have."""
    told = drop.reason == "VXLAN_INVALID_HDR"
    header = _outer(drop, host, "VXLAN_INVALID_HDR")
    if header is None or not header.flags & _HAS_VNI:
        return None
    others = header.flags & ~_HAS_VNI
    port = drop.packet.dport
    found = [one for one in vxlans_of(drop, host) or () if one.up and one.port == port]
    one = next((one for one in found if _takes(drop, host, one, header.vni)), None)
    if one is None or not (others or header.reserved):
        return None
    if not told and (one.gpe or one.gbp):  # which of their bits are left then, the kernel alone knows
        return None
    words = ""
    if others & _GROUP_POLICY and not one.gbp:
        words = ", which belong to the group policy extension (gbp)"
    elif others & _GPE_BITS and not one.gpe:
        words = ", which belong to the generic protocol extension (gpe)"
    bits = f"bits 0x{others:08x}" if others else f"the last byte 0x{header.reserved:02x}"
    has = [name for name in ("gbp", "gpe") if getattr(one, name)]
    fact = f"the header has {bits} beside the flag of the VNI{words}; {one.name} has {' '.join(has) or 'no extension'}"
    said = kernel_word.certain(drop, proof(fact, "packet"))
    return blamed(said, drop, host, one, " ".join(has) or "no gbp, no gpe", EXTENSIONS)


def own_mac(drop: Drop, host: Host) -> Verdict | None:
    """vxlan_set_mac: the packet is at the tunnel's interface already, and its own header still the outer one."""
    told = drop.reason == "LOCAL_MAC" and kernel_word.place(drop) in RECEIVING
    if not told and not died_silent_at(drop, *RECEIVING):
        return None
    here, header = vxlan_here(drop, host), vxlan(drop)
    if here is None or header is None or header.source.hex(":") != here.mac:
        return kernel_word.certain(drop) if told else None
    fact = (
        f"the frame inside is from {here.mac}, the address of {here.name} itself; {drop.packet.saddr} sent it"
    )
    said = kernel_word.certain(drop, proof(fact, "packet"))
    return blamed(said, drop, host, here, f"address {here.mac}", OWN_MAC, {"DEV": here.name})


def fixed_elsewhere(drop: Drop, host: Host) -> Verdict | None:
    """vxlan_snoop learns nothing of an address that somebody has entered by hand with another remote."""
    told = drop.reason == "VXLAN_ENTRY_EXISTS"
    if not told and not died_silent_at(drop, *RECEIVING):
        return None
    here, header = vxlan_here(drop, host), vxlan(drop)
    if here is None or header is None or len(header.source) < 6 or (not told and not here.learning):
        return kernel_word.certain(drop) if told else None
    source = header.source.hex(":")
    found = host.vxlan_remotes(drop.event.netns, here.ifindex, source, drop.event.monotonic_ns) or ()
    entry = next((one for one in found if not one.default and one.fixed), None)
    if entry is None or entry.address == drop.packet.saddr:
        return kernel_word.certain(drop) if told else None
    fact = f"{here.name} has {source} at {entry.address} by a static entry, and {drop.packet.saddr} sent it"
    said = kernel_word.certain(drop, proof(fact, "netlink neigh"))
    if not told:
        said = kernel_word.likely(drop, proof(fact, "netlink neigh"))
    return blamed(
        said, drop, host, here, f"{source} dst {entry.address}", STATIC, {"DEV": here.name, "MAC": source}
    )


def _outer(drop: Drop, host: Host, reason: str) -> Encapsulation | None:
    """The header of a packet that died in vxlan_rcv before its inside was handed to an interface."""
    if kernel_word.place(drop) not in RECEIVING:
        return None
    if drop.reason != reason and not kernel_word.gave_no_reason(drop):
        return None
    return vxlan(drop) if vxlan_here(drop, host) is None else None


def _takes(drop: Drop, host: Host, one: Vxlan, vni: int) -> bool:
    if one.vnifilter:
        ranges = host.vxlan_vnis(drop.event.netns, one.ifindex, drop.event.monotonic_ns) or ()
        return any(first <= vni <= last for first, last in ranges)
    return one.external or one.vni == vni


def _identifiers(drop: Drop, host: Host, one: Vxlan, *, bare: bool = False) -> str:
    """`vx0 (id 77)`, `vx1 (vni 10-20)`."""
    words = f"id {one.vni}"
    if one.vnifilter:
        ranges = host.vxlan_vnis(drop.event.netns, one.ifindex, drop.event.monotonic_ns) or ()
        words = "vni " + (" ".join(_range(*each) for each in ranges) or "none")
    return words if bare else f"{one.name} ({words})"


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _nearest(found: tuple[Vxlan, ...], heard: list[Vxlan], vni: int) -> Vxlan | None:
    """The one with this VNI at another port, else the only one at this port."""
    same = [one for one in found if one.vni == vni and not one.external]
    if same:
        return same[0]
    return heard[0] if len(heard) == 1 else None
