"""VXLAN interfaces, and what their forwarding tables say of an address."""

import socket
import struct
from functools import partial
from ipaddress import ip_address

from dropwatch.host import netlink
from dropwatch.host.links import about, links_with_flags, name_of
from dropwatch.host.netlink import attributes, number
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address

# linux/if_link.h
_MAC, _LINK_NETNSID = 1, 37  # IFLA_*
_ID, _GROUP, _LINK, _LOCAL, _LEARNING, _PROXY = 1, 2, 3, 4, 7, 11  # IFLA_VXLAN_*
_PORT, _GROUP6, _LOCAL6, _GBP, _EXTERNAL, _GPE, _VNIFILTER = 15, 16, 17, 23, 25, 27, 30
_UP = 1  # IFF_UP
# linux/neighbour.h, linux/rtnetlink.h, linux/if_link.h
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # struct ndmsg: family, index, state, flags, type
_NEWNEIGH, _GETNEIGH, _NEWTUNNEL, _GETTUNNEL = 28, 30, 120, 122  # RTM_*
_DST, _LLADDR = 1, 2  # NDA_*
_NOARP, _PERMANENT = 0x40, 0x80  # NUD_*
_SELF = 0x02  # NTF_SELF: the entry is the device's own, not its bridge's
_TUNNEL = struct.Struct("=BBHI")  # struct tunnel_msg: family, flags, reserved, index
_ENTRY, _START, _END = 1, 1, 2  # VXLAN_VNIFILTER_ENTRY, VXLAN_VNIFILTER_ENTRY_START, _END
_NO_MAC = bytes(6)


@dataclass(frozen=True, slots=True)
class Vxlan:
    """`remote` is the one of all frames that the table does not know, a group or a host. `link` is the index of the
    interface that it is bound to, 0: none. `elsewhere`: its packets leave in another namespace. `external`: a route or
    program tells where each packet goes; with `vnifilter` it takes certain VNIs only.
    """

    name: str
    vni: int
    up: bool
    ifindex: int = 0
    port: int = 0
    remote: Address | None = None
    local: Address | None = None
    link: int = 0
    mac: str = ""
    learning: bool = False
    proxy: bool = False
    gbp: bool = False
    gpe: bool = False
    external: bool = False
    vnifilter: bool = False
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the frames for an address go; `default`: the entry is that for all addresses. `fixed`: nothing is learned
    of it.
    """

    address: Address | None
    default: bool
    fixed: bool


def read_vxlans(netns_inode: int) -> tuple[Vxlan, ...]:
    """Raises OSError when the namespace is gone or does not answer."""
    with entered(netns_inode):
        return tuple(each for each in links_with_flags(vxlan_of) if each is not None)


def read_remotes(netns_inode: int, ifindex: int, mac: str) -> tuple[Remote, ...]:
    """The entries of the interface of this index for the address, and those for all. Raises OSError."""
    body = _NEIGHBOUR.pack(socket.AF_BRIDGE, ifindex, 0, 0, 0)
    wanted = bytes.fromhex(mac.replace(":", ""))
    with entered(netns_inode):
        found = netlink.dump(netlink.ROUTE, _GETNEIGH, body, _NEWNEIGH, partial(remote_of, ifindex, wanted))
    return tuple(each for each in found if each is not None)


def read_vnis(netns_inode: int, ifindex: int) -> tuple[tuple[int, int], ...]:
    """First and last of each range that an interface with a filter of VNIs takes. Raises OSError."""
    body = _TUNNEL.pack(socket.AF_BRIDGE, 0, 0, ifindex)
    with entered(netns_inode):
        found = netlink.dump(netlink.ROUTE, _GETTUNNEL, body, _NEWTUNNEL, partial(vnis_of, ifindex))
    return tuple(one for each in found for one in each)


def vxlan_of(index: int, flags: int, link: dict[int, bytes]) -> Vxlan | None:
    """None for an interface of another kind."""
    its = about(link)
    if its.kind != "vxlan":
        return None
    data = its.data
    return Vxlan(
        name_of(link),
        number(data.get(_ID)),
        bool(flags & _UP),
        index,
        int.from_bytes(data.get(_PORT, b""), "big"),
        _address(data.get(_GROUP) or data.get(_GROUP6)),
        _address(data.get(_LOCAL) or data.get(_LOCAL6)),
        number(data.get(_LINK)),
        link.get(_MAC, b"").hex(":"),
        learning=bool(number(data.get(_LEARNING))),
        proxy=bool(number(data.get(_PROXY))),
        gbp=_GBP in data,
        gpe=_GPE in data,
        external=bool(number(data.get(_EXTERNAL))),
        vnifilter=bool(number(data.get(_VNIFILTER))),
        elsewhere=_LINK_NETNSID in link,
    )


def remote_of(ifindex: int, mac: bytes, message: memoryview | bytes) -> Remote | None:
    """None for an entry of another interface or address, or of the bridge above. Raises struct.error, ValueError."""
    _, index, state, flags, _ = _NEIGHBOUR.unpack_from(message)
    found = attributes(message[_NEIGHBOUR.size :])
    address = found.get(_LLADDR, b"")
    if index != ifindex or address not in (mac, _NO_MAC) or not flags & _SELF:
        return None
    return Remote(_address(found.get(_DST)), address == _NO_MAC, bool(state & (_NOARP | _PERMANENT)))


def vnis_of(ifindex: int, message: memoryview | bytes) -> list[tuple[int, int]]:
    """Raises struct.error."""
    if _TUNNEL.unpack_from(message)[3] != ifindex:
        return []
    entries = [attributes(value) for kind, value in netlink.walk(message[_TUNNEL.size :]) if kind == _ENTRY]
    return [
        (number(each.get(_START)), number(each.get(_END)) or number(each.get(_START))) for each in entries
    ]


def _address(raw: bytes | None) -> Address | None:
    """None where it is left open."""
    return ip_address(raw) if raw and any(raw) else None
