"""Signs of what a bridge does not take: what the port where the frame came in has against it."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.device.bridge import INGRESS_VLAN, LOCKED, SELF, STATE, STP, VLANS
from dropwatch.causes.device.bridge_facts import (
    blamed,
    bridge_of,
    died_at,
    doubts_of,
    frame_vlan,
    header_at,
    port_of,
    station_of,
    vid_at,
    vid_of,
    vlan_of,
    vlan_words,
)
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.packet.frame import frame_header, mac

_SHUT = frozenset({"disabled", "listening", "blocking"})
_STP_REASON = "BRIDGE_INGRESS_STP_STATE"


def pause_frame(drop: Drop, host: Host) -> Verdict | None:
    del host
    header = header_at(drop, ("br_handle_frame",))
    if header is None or not header.is_pause or not header.has_a_sender:
        return None
    return kernel_word.certain(
        drop, Evidence("packet", f"the frame is for {mac(header.destination)}", "proof")
    )


def no_sender(drop: Drop, host: Host) -> Verdict | None:
    del host
    header = header_at(drop, ("br_handle_frame",))
    if header is None or header.has_a_sender:
        return None
    return kernel_word.certain(drop, Evidence("packet", f"the frame is from {mac(header.source)}", "proof"))


def not_forwarding(drop: Drop, host: Host) -> Verdict | None:
    """br_handle_frame frees a frame for its addresses, for a verdict of netfilter, and for the state of the port."""
    early, late = died_at(drop, "br_handle_frame"), died_at(drop, "br_handle_frame_finish")
    told = drop.reason == _STP_REASON
    if not (early or late) or not (told or kernel_word.gave_no_reason(drop)):
        return None
    if not told and frame_header(drop.event.link) is None:  # it may be one of its addresses
        return None
    found = port_of(drop, host)
    if found is None:
        return None if late and not told else _unread(drop, told=told)
    bridge, port = found
    shut = port.state in _SHUT or (late and port.state == "learning")
    doubts = doubts_of(drop, host)
    if not shut and not told and (not doubts or late):
        return None
    when = "after the drop" if shut else "now"
    fact = Evidence("netlink route", f"{when}: port {port.name} of {bridge.name} is {port.state}", "proof")
    verdict = kernel_word.certain(drop, fact) if told or shut else kernel_word.likely(drop, fact)
    return blamed(verdict, drop, host, bridge, port, f"state {port.state}", STP if bridge.stp else STATE)


def locked(drop: Drop, host: Host) -> Verdict | None:
    """A locked port takes frames only of stations that somebody has entered for it (802.1X)."""
    if not died_at(drop, "br_handle_frame_finish") or not kernel_word.gave_no_reason(drop):
        return None
    found, header = port_of(drop, host), frame_header(drop.event.link)
    if found is None or header is None or not found[1].locked or found[1].state != "forwarding":
        return None
    bridge, port = found
    entered = station_of(drop, host, bridge, header.source, header.vid)
    if entered is not None and entered.port == port.ifindex:
        return None
    is_new = entered is not None and entered.unchanged_since_ns > drop.event.monotonic_ns
    where = "no port" if entered is None else "another port"
    fact = f"port {port.name} of {bridge.name} is locked, and the bridge has {mac(header.source)} at {where}"
    proof = Evidence("netlink route", fact, "proof")
    verdict = kernel_word.likely(drop, proof) if is_new else kernel_word.certain(drop, proof)
    return blamed(verdict, drop, host, bridge, port, "locked on", LOCKED, {"MAC": mac(header.source)})


def vlan_refused(drop: Drop, host: Host) -> Verdict | None:
    """br_allowed_ingress says nothing else than that the port may not have the frame's VLAN."""
    if not kernel_word.gave_no_reason(drop) or not died_at(drop, *INGRESS_VLAN):
        return None
    said = kernel_word.certain(drop, Evidence("place", "this function checks the VLANs of a bridge port"))
    bridge, header = bridge_of(drop, host), frame_header(drop.event.link)
    if bridge is None:
        return said
    port = bridge.port(drop.event.ifindex)
    name, vlans = (port.name, port.vlans) if port is not None else (bridge.name, bridge.vlans)
    if header is None or (header.vid or vlans.pvid) in vlans:
        return replace(said, fix=of_catalogue(VLANS, drop, {"BRIDGE": bridge.name}))
    fact = f"{frame_vlan(header)}; {name} has {vlan_words(vlans)}"
    said = replace(said, evidence=(Evidence("netlink route", fact, "proof"), *said.evidence))
    return blamed(said, drop, host, bridge, port, vlan_words(vlans), VLANS, vid_of(header))


def not_for_the_host(drop: Drop, host: Host) -> Verdict | None:
    """br_pass_frame_up hands a frame to the host whose bridge interface has its VLAN, as a port among others."""
    if not kernel_word.gave_no_reason(drop) or not died_at(drop, "br_pass_frame_up"):
        return None
    said = kernel_word.certain(
        drop, Evidence("place", "the frame is for this host, and the bridge lacks its VLAN")
    )
    bridge, header = bridge_of(drop, host), frame_header(drop.event.link)
    if bridge is None:
        return said
    vid = vid_at(bridge, drop, header) if header is not None else 0
    if header is None or not vid or vid in bridge.vlans:
        return replace(said, fix=of_catalogue(SELF, drop, {"BRIDGE": bridge.name}))
    port = bridge.port(drop.event.ifindex)
    came = f", from port {port.name}" if port is not None else ""
    fact = f"{vlan_of(vid)}{came}; {bridge.name} itself has {vlan_words(bridge.vlans)}"
    said = replace(said, evidence=(Evidence("netlink route", fact, "proof"), *said.evidence))
    return blamed(said, drop, host, bridge, None, vlan_words(bridge.vlans), SELF, {"VID": str(vid)})


def _unread(drop: Drop, *, told: bool) -> Verdict:
    place = Evidence("place", "this function checks the state of a bridge port")
    return kernel_word.certain(drop) if told else kernel_word.likely(drop, place)
