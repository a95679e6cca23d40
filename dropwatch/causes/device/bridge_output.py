"""Signs of what a bridge does not let out: what the ports that should get the frame have against it."""

from collections.abc import Mapping
from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.device.bridge import FLOODING, HAIRPIN, ISOLATED, NO_PORT, STATE, STP, TOO_BIG, VLANS
from dropwatch.causes.device.bridge_facts import (
    blamed,
    bridge_of,
    died_at,
    doubts_of,
    frame_vlan,
    header_at,
    station_of,
    vid_at,
    vid_of,
    vlan_of,
    vlan_words,
)
from dropwatch.causes.family import Judgement
from dropwatch.host.bridges import Bridge, BridgePort
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.packet.frame import BROADCAST, FrameHeader, frame_header, mac

_CALLER = "br_handle_frame_finish"
# Why should_deliver (net/bridge/br_forward.c) says no, and what the page of each advises.
_REFUSALS: Mapping[str, tuple[Fix, ...]] = {
    "device.bridge-hairpin": HAIRPIN,
    "device.bridge-stp": STP,
    "device.bridge-vlan-filter": VLANS,
    "device.bridge-isolated": ISOLATED,
}


def not_let_out(drop: Drop, host: Host) -> Judgement | None:
    """br_forward knows the port, and may not use it. Which it was, the forwarding database tells after the drop:
    certain where its entry is older, or where no port of this bridge could have another reason.
    """
    header = header_at(drop, ("br_forward", _CALLER))  # which it may be a part of
    if header is not None and header.is_for_many:
        return None
    bridge = bridge_of(drop, host) if header is not None else None
    if header is None or bridge is None:
        return None
    station = station_of(drop, host, bridge, header.destination, header.vid)
    port = bridge.port(station.port) if station is not None else None
    refusal = _refusal(bridge, port, drop, header) if port is not None else None
    if station is None or port is None or refusal is None:
        return None
    cause, setting = refusal
    possible = {each for other in bridge.ports if (each := _refusal(bridge, other, drop, header)) is not None}
    is_sure = station.unchanged_since_ns <= drop.event.monotonic_ns or {each for each, _ in possible} == {
        cause
    }
    fact = f"{mac(header.destination)} is behind port {port.name} of {bridge.name}: {_why(cause, setting, header)}"
    proof = Evidence("netlink route", fact, "proof")
    verdict = _said(drop, proof, sure=is_sure)
    page = STATE if cause == "device.bridge-stp" and not bridge.stp else _REFUSALS[cause]
    return cause, blamed(verdict, drop, host, bridge, port, setting, page, vid_of(header))


def no_port(drop: Drop, host: Host) -> Verdict | None:
    """Nothing was found to send it to; no memory for a copy is the other reason where the kernel names none. Where the
    last call is a jump (br_flood, net/bridge/br_forward.c), the place is the function that called it: other frames die
    there as well, such as a malformed message of IGMP, and only where all ports refuse it is it this.
    """
    told, by_caller = drop.reason == "NO_TX_TARGET", died_at(drop, _CALLER)
    if not (told or kernel_word.gave_no_reason(drop)) or not died_at(drop, *FLOODING, _CALLER):
        return None
    place = (
        () if by_caller else (Evidence("place", "the function that sends a frame to all ports of a bridge"),)
    )
    bridge, header = bridge_of(drop, host), frame_header(drop.event.link)
    if bridge is None or header is None:
        return None if by_caller else _said(drop, *place, sure=told)
    if by_caller and not _is_flooded(drop, host, bridge, header):
        return None
    against = _against_all(bridge, drop, header)
    doubtful = bool(doubts_of(drop, host))
    all_refuse = all(why is not None for _, why in against) and not doubtful
    if by_caller and not all_refuse:
        return None
    some_refuse = all_refuse or any(why is not None for _, why in against)
    facts = (*((_no_port_fact(bridge, against),) if some_refuse else ()), *place)
    if not told and not all_refuse:
        return _said(drop, *facts, sure=False)
    is_group = header.is_for_many and header.destination != BROADCAST
    said = _said(drop, *facts, sure=not (by_caller and is_group))
    return replace(said, fix=of_catalogue(NO_PORT, drop, {"BRIDGE": bridge.name}))


def _said(drop: Drop, *facts: Evidence, sure: bool) -> Verdict:
    return kernel_word.certain(drop, *facts) if sure else kernel_word.likely(drop, *facts)


def _is_flooded(drop: Drop, host: Host, bridge: Bridge, header: FrameHeader) -> bool:
    """The port takes it, and no port is known to be that of its receiver."""
    port = bridge.port(drop.event.ifindex)
    if port is None or port.locked or (port.state != "forwarding" and not bridge.mst):
        return False
    return header.is_for_many or station_of(drop, host, bridge, header.destination, header.vid) is None


def _against_all(bridge: Bridge, drop: Drop, header: FrameHeader) -> list[tuple[BridgePort, str | None]]:
    others = [port for port in bridge.ports if port.ifindex != drop.event.ifindex]
    return [(port, _against(bridge, port, drop, header)) for port in others]


def _no_port_fact(bridge: Bridge, against: list[tuple[BridgePort, str | None]]) -> Evidence:
    words = "; ".join(f"{port.name}: {why}" for port, why in against if why is not None)
    fact = f"ports of {bridge.name}: {words}" if against else f"{bridge.name} has no other port"
    return Evidence("netlink route", fact, "proof")


def vlan_egress(drop: Drop, host: Host) -> Verdict | None:
    """br_handle_vlan sets the tag for the port that the frame leaves by, and drops what the port has no VLAN for: it
    has been asked before, so that the VLAN has gone meanwhile. Or it cannot write the tag.
    """
    if not died_at(drop, "br_handle_vlan") or not kernel_word.gave_no_reason(drop):
        return None
    said = kernel_word.likely(
        drop, Evidence("place", "this function sets the VLAN tag for the outgoing port")
    )
    bridge, header = bridge_of(drop, host), frame_header(drop.event.link)
    if bridge is None or header is None:
        return said
    vid = vid_at(bridge, drop, header)
    station = None if header.is_for_many else station_of(drop, host, bridge, header.destination, vid)
    port = bridge.port(station.port) if station is not None else None
    if port is None or vid in port.vlans:
        return replace(said, fix=of_catalogue(VLANS, drop, {"BRIDGE": bridge.name}))
    fact = f"{mac(header.destination)} is behind port {port.name} of {bridge.name}; {vlan_of(vid)}, and the port has "
    proof = Evidence("netlink route", fact + vlan_words(port.vlans), "proof")
    said = replace(said, evidence=(proof, *said.evidence))
    return blamed(said, drop, host, bridge, port, vlan_words(port.vlans), VLANS, {"VID": str(vid)})


def too_big(drop: Drop, host: Host) -> Verdict | None:
    """br_dev_queue_push_xmit asks is_skb_forwardable: the port must be up, and the frame not longer than it takes."""
    if not died_at(drop, "br_dev_queue_push_xmit") or not kernel_word.gave_no_reason(drop):
        return None
    bridge = bridge_of(drop, host)
    port = bridge.port(drop.event.ifindex) if bridge is not None else None
    size = drop.packet.length
    if bridge is None or port is None or size <= port.mtu:
        return None
    came_by = bridge.port(drop.event.skb_iif)
    other = f"; it came in through {came_by.name}, MTU {came_by.mtu}" if came_by is not None else ""
    fact = f"the packet has {size} bytes, the MTU of {port.name} is {port.mtu}{other}"
    verdict = kernel_word.certain(drop, Evidence("netlink route", fact, "proof"))
    also = {"MTU": str(came_by.mtu)} if came_by is not None else {}
    return blamed(verdict, drop, host, bridge, port, f"mtu {port.mtu}", TOO_BIG, also)


def _refusal(bridge: Bridge, port: BridgePort, drop: Drop, header: FrameHeader) -> tuple[str, str] | None:
    """The cause and the setting, in the order of should_deliver; None where it lets the frame out."""
    came_by = bridge.port(drop.event.ifindex)
    if port.ifindex == drop.event.ifindex and not port.hairpin:
        return "device.bridge-hairpin", "hairpin off"
    if port.state != "forwarding" and not bridge.mst:
        return "device.bridge-stp", f"state {port.state}"
    if bridge.vlan_filtering and header.vid is not None and header.vid not in port.vlans:
        return "device.bridge-vlan-filter", vlan_words(port.vlans)
    if port.isolated and came_by is not None and came_by.isolated:
        return "device.bridge-isolated", "isolated on"
    return None


def _against(bridge: Bridge, port: BridgePort, drop: Drop, header: FrameHeader) -> str | None:
    """Why br_flood passes over this port, in words."""
    refusal = _refusal(bridge, port, drop, header)
    if refusal is not None:
        return refusal[1]
    local = drop.event.ifindex == bridge.ifindex
    if not header.is_for_many:
        return None if port.flood else "flood off"
    if header.destination == BROADCAST:
        return None if port.bcast_flood or local else "bcast_flood off"
    return None if port.mcast_flood or local else "mcast_flood off"


def _why(cause: str, setting: str, header: FrameHeader) -> str:
    if cause == "device.bridge-hairpin":
        own = header.source == header.destination
        what = "a frame to its own sender" if own else "the port that it came in through"
        return f"{what}, and hairpin is off"
    if cause == "device.bridge-vlan-filter":
        return f"{frame_vlan(header)}, and the port has {setting}"
    if cause == "device.bridge-isolated":
        return "both ports are isolated"
    return f"the port is in {setting}"
