"""Reads the interfaces of a network namespace that belong to IPsec: xfrm interfaces with their if_id, VTI with keys."""

import struct
from ipaddress import ip_address

from dropwatch.host.links import links
from dropwatch.host.netlink import attributes, text
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address

# linux/if_link.h and if_tunnel.h
_LINKINFO, _INFO_KIND, _INFO_DATA, _XFRM_IF_ID = 18, 1, 2, 2  # IFLA_*
_IKEY, _OKEY, _LOCAL, _REMOTE = 2, 3, 4, 5  # IFLA_VTI_*
_VTI = ("vti", "vti6")


@dataclass(frozen=True, slots=True)
class IpsecInterface:
    """`kind` is `xfrm`, `vti` or `vti6`. An xfrm interface has an `if_id`, None where it comes with each packet.

    For packets of a VTI interface its keys stand in for their mark; `local` and `remote` are its end points.
    """

    kind: str
    if_id: int | None = 0
    ikey: int = 0
    okey: int = 0
    local: Address | None = None
    remote: Address | None = None


def read_interfaces(netns_inode: int) -> dict[int, IpsecInterface]:
    """By index.

    Raises OSError when the namespace is gone, may not be entered, or the kernel does not answer.
    """
    with entered(netns_inode):  # all kinds: to ask for one would need its module to be there
        found = links(lambda index, link: (index, interface_of(link)))
    return {index: interface for index, interface in found if interface is not None}


def interface_of(link: dict[int, bytes]) -> IpsecInterface | None:
    """From the attributes of a link; None for a device of another kind. Raises struct.error and ValueError."""
    about = attributes(link.get(_LINKINFO, b""))
    kind = text(about.get(_INFO_KIND, b""))
    data = attributes(about.get(_INFO_DATA, b""))
    if kind == "xfrm":
        if_id = data.get(_XFRM_IF_ID)
        return IpsecInterface(kind, None if if_id is None else struct.unpack("=I", if_id)[0])
    if kind not in _VTI:
        return None
    ikey, okey = (int.from_bytes(data.get(key, b""), "big") for key in (_IKEY, _OKEY))
    local, remote = (_address(data.get(end)) for end in (_LOCAL, _REMOTE))
    return IpsecInterface(kind, 0, ikey, okey, local, remote)


def _address(raw: bytes | None) -> Address | None:
    """None where it is left open."""
    return ip_address(raw) if raw and any(raw) else None
