"""What the signs of bridges share: the header of the frame, the bridge as it was read, the port as the one to blame."""

from collections.abc import Mapping
from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.placeholders import NOTHING
from dropwatch.host.bridges import Bridge, BridgePort, Station, Vlans
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.model.forwarding import BridgePort as Blamed
from dropwatch.packet.frame import FrameHeader, frame_header, mac


def died_at(drop: Drop, *places: str) -> bool:
    return kernel_word.place(drop) in places


def header_at(drop: Drop, places: tuple[str, ...]) -> FrameHeader | None:
    """The header of a frame that died there without a reason of the kernel's."""
    if not kernel_word.gave_no_reason(drop) or not died_at(drop, *places):
        return None
    return frame_header(drop.event.link)


def bridge_of(drop: Drop, host: Host) -> Bridge | None:
    return host.bridge(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)


def port_of(drop: Drop, host: Host) -> tuple[Bridge, BridgePort] | None:
    bridge = bridge_of(drop, host)
    port = bridge.port(drop.event.ifindex) if bridge is not None else None
    return None if bridge is None or port is None else (bridge, port)


def station_of(drop: Drop, host: Host, bridge: Bridge, address: bytes, vid: int | None) -> Station | None:
    known = (vid or 0) if bridge.vlan_filtering else 0
    return host.station(drop.event.netns, bridge.ifindex, mac(address), known, drop.event.monotonic_ns)


def doubts_of(drop: Drop, host: Host) -> tuple[Evidence, ...]:
    return pinned.doubts(drop, host, pinned.Source("links", None))


def vid_of(header: FrameHeader) -> dict[str, str]:
    """What a page calls VID, where the frame has one."""
    return {"VID": str(header.vid)} if header.vid else {}


def vid_at(bridge: Bridge, drop: Drop, header: FrameHeader) -> int:
    """The VLAN that the bridge gives the frame: that of its tag, or of the port by which it came; 0: none."""
    port = bridge.port(drop.event.ifindex)
    vlans = port.vlans if port is not None else bridge.vlans
    return header.vid or vlans.pvid


def vlan_of(vid: int) -> str:
    return f"the frame is of VLAN {vid}" if vid else "the frame is of no VLAN"


def frame_vlan(header: FrameHeader) -> str:
    return f"the frame is of VLAN {header.vid}" if header.vid else "the frame has no VLAN tag"


def vlan_words(vlans: Vlans) -> str:
    """`VLANs 1 10-20, PVID 1`."""
    ranges = " ".join(str(first) if first == last else f"{first}-{last}" for first, last in vlans.ranges)
    pvid = f"PVID {vlans.pvid}" if vlans.pvid else "no PVID"
    return f"VLANs {ranges}, {pvid}" if ranges else f"no VLAN, {pvid}"


def blamed(
    verdict: Verdict,
    drop: Drop,
    host: Host,
    bridge: Bridge,
    port: BridgePort | None,
    setting: str,
    page: tuple[Fix, ...],
    also: Mapping[str, str] = NOTHING,
) -> Verdict:
    """`port` None: the bridge interface itself. The page calls it DEV: a frame that goes out came in by another."""
    name = port.name if port is not None else bridge.name
    culprit = Blamed(f"{name} of {bridge.name}: {setting}", name, bridge.name, setting)
    fix = of_catalogue(page, drop, {"BRIDGE": bridge.name, "DEV": name, **also})
    return pinned.doubted(replace(verdict, culprit=culprit, fix=fix), doubts_of(drop, host))
