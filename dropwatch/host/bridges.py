"""A bridge with all its ports: what decides whether it takes a frame, and through which port it lets one out."""

import os
import socket
import struct
import time

from dropwatch.host import netlink
from dropwatch.host.links import about, links_with_flags, master_of, name_of
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass

# linux/if_link.h
_MTU, _AF_SPEC, _EXT_MASK = 4, 26, 29  # IFLA_*
_STP, _VLAN_FILTERING, _BOOLEANS = 5, 7, 46  # IFLA_BR_STP_STATE, _VLAN_FILTERING, _MULTI_BOOLOPT
_STATE, _HAIRPIN, _FLOOD, _MCAST_FLOOD, _BCAST_FLOOD = 1, 4, 9, 27, 30  # IFLA_BRPORT_*
_ISOLATED, _LOCKED = 33, 39
# linux/if_bridge.h
_STATES = ("disabled", "listening", "learning", "forwarding", "blocking")  # BR_STATE_*
_MST = 1 << 2  # BR_BOOLOPT_MST_ENABLE
_VLAN_INFO = 2  # IFLA_BRIDGE_VLAN_INFO
_VLAN = struct.Struct("=HH")  # struct bridge_vlan_info: flags, vid
_PVID, _BEGIN = 1 << 1, 1 << 3  # BRIDGE_VLAN_INFO_*
# linux/rtnetlink.h, linux/neighbour.h, linux/if.h
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # struct ndmsg: family, index, state, flags, type
_NEWLINK, _GETLINK, _NEWNEIGH, _GETNEIGH = 16, 18, 28, 30  # RTM_*
_VLANS_COMPRESSED = 1 << 2  # RTEXT_FILTER_BRVLAN_COMPRESSED
_LLADDR, _CACHE_INFO, _VLAN_ID, _NDA_MASTER = 2, 3, 5, 9  # NDA_*
_CACHE = struct.Struct("=IIII")  # struct nda_cacheinfo: confirmed, used, updated (ticks ago), references
_LOWER_UP = 0x10000  # IFF_*

Links = dict[int, tuple[int, dict[int, bytes]]]


@dataclass(frozen=True, slots=True)
class Vlans:
    """The VLANs that a port may have, as first and last of each range; `pvid` is that of untagged frames, 0: none."""

    ranges: tuple[tuple[int, int], ...] = ()
    pvid: int = 0

    def __contains__(self, vid: object) -> bool:
        return isinstance(vid, int) and any(first <= vid <= last for first, last in self.ranges)


@dataclass(frozen=True, slots=True)
class BridgePort:
    """`state` is that of spanning tree, in ip's words. `running` is False without carrier. The rest is as
    `bridge -d link show` has it; as by default where the kernel does not know the setting.
    """

    name: str
    ifindex: int
    state: str
    mtu: int
    running: bool
    hairpin: bool = False
    isolated: bool = False
    locked: bool = False
    flood: bool = True
    mcast_flood: bool = True
    bcast_flood: bool = True
    vlans: Vlans = Vlans()


@dataclass(frozen=True, slots=True)
class Bridge:
    """`vlans` are those of the bridge interface itself ("self"). With `mst` each VLAN has a state of its own."""

    name: str
    ifindex: int
    stp: bool
    mst: bool
    vlan_filtering: bool
    ports: tuple[BridgePort, ...]
    vlans: Vlans = Vlans()

    def port(self, ifindex: int) -> BridgePort | None:
        return next((port for port in self.ports if port.ifindex == ifindex), None)


@dataclass(frozen=True, slots=True)
class Station:
    """An entry of a forwarding database: the index of the port, and since when at the latest it has been as it is, on
    CLOCK_MONOTONIC.
    """

    port: int
    unchanged_since_ns: int


def read_bridge(netns_inode: int, ifindex: int) -> Bridge | None:
    """The bridge that the interface of this index is, or is a port of; else None. Raises OSError when the namespace is
    gone or does not answer.
    """
    with entered(netns_inode):
        found = dict(links_with_flags(lambda index, flags, link: (index, (flags, link))))
        vlans = dict(_vlans()) if _bridge_index(ifindex, found) is not None else {}
    return bridge_of(ifindex, found, vlans)


def read_station(netns_inode: int, bridge: int, mac: str, vid: int) -> Station | None:
    """Where the bridge of that index has this address; None: it does not know it. Raises OSError when the namespace is
    gone.
    """
    wanted = _NEIGHBOUR.pack(socket.AF_BRIDGE, 0, 0, 0, 0)
    wanted += netlink.attribute(_LLADDR, bytes.fromhex(mac.replace(":", "")))
    wanted += netlink.attribute(_NDA_MASTER, struct.pack("=I", bridge))
    if vid:
        wanted += netlink.attribute(_VLAN_ID, struct.pack("=H", vid))

    def station(message: memoryview) -> Station:
        known = netlink.attributes(message[_NEIGHBOUR.size :])
        _, _, updated, _ = _CACHE.unpack_from(known[_CACHE_INFO])
        age_ns = updated * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return Station(int(_NEIGHBOUR.unpack_from(message)[1]), time.monotonic_ns() - age_ns)

    with entered(netns_inode):
        try:
            return netlink.get(netlink.ROUTE, _GETNEIGH, wanted, _NEWNEIGH, station)
        except netlink.Refused:  # it has no such entry
            return None


def bridge_of(ifindex: int, found: Links, vlans: dict[int, Vlans]) -> Bridge | None:
    """From the flags and attributes of all links, by index."""
    master = _bridge_index(ifindex, found)
    if master is None:
        return None
    link = found[master][1]
    data = about(link).data
    booleans = data.get(_BOOLEANS, b"")[:4]  # struct br_boolopt_multi: values, mask
    return Bridge(
        name_of(link),
        master,
        stp=bool(netlink.number(data.get(_STP))),
        mst=bool(netlink.number(booleans) & _MST),
        vlan_filtering=bool(netlink.number(data.get(_VLAN_FILTERING))),
        ports=tuple(
            _port(index, flags, port, vlans.get(index, Vlans()))
            for index, (flags, port) in sorted(found.items())
            if master_of(port) == master
        ),
        vlans=vlans.get(master, Vlans()),
    )


def _bridge_index(ifindex: int, found: Links) -> int | None:
    _, link = found.get(ifindex, (0, {}))
    its, master = about(link), master_of(link)
    if its.kind == "bridge":
        return ifindex
    return master if its.port_of == "bridge" and master in found else None


def _port(index: int, flags: int, link: dict[int, bytes], vlans: Vlans) -> BridgePort:
    its = about(link).port_data
    state = netlink.number(its.get(_STATE))

    def is_set(setting: int, *, unknown: bool = False) -> bool:
        return bool(netlink.number(its[setting])) if setting in its else unknown

    return BridgePort(
        name_of(link),
        index,
        _STATES[state] if state < len(_STATES) else str(state),
        netlink.number(link.get(_MTU)),
        bool(flags & _LOWER_UP),
        hairpin=is_set(_HAIRPIN),
        isolated=is_set(_ISOLATED),
        locked=is_set(_LOCKED),
        flood=is_set(_FLOOD, unknown=True),
        mcast_flood=is_set(_MCAST_FLOOD, unknown=True),
        bcast_flood=is_set(_BCAST_FLOOD, unknown=True),
        vlans=vlans,
    )


def _vlans() -> list[tuple[int, Vlans]]:
    wanted = _LINK.pack(socket.AF_BRIDGE, 0, 0, 0, 0) + netlink.attribute(
        _EXT_MASK, struct.pack("=I", _VLANS_COMPRESSED)
    )

    def vlans(message: memoryview) -> tuple[int, Vlans]:
        found = netlink.attributes(message[_LINK.size :])
        return int(_LINK.unpack_from(message)[2]), vlans_of(found.get(_AF_SPEC, b""))

    return netlink.dump(netlink.ROUTE, _GETLINK, wanted, _NEWLINK, vlans)


def vlans_of(listed: bytes) -> Vlans:
    """From IFLA_AF_SPEC of AF_BRIDGE, where a range is two entries."""
    ranges, pvid, first = [], 0, 0
    for kind, value in netlink.walk(listed):
        if kind != _VLAN_INFO:
            continue
        flags, vid = _VLAN.unpack(value)
        if flags & _PVID:
            pvid = vid
        if flags & _BEGIN:
            first = vid
        else:
            ranges.append((first or vid, vid))
            first = 0
    return Vlans(tuple(ranges), pvid)
