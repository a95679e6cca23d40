"""The addresses of a network namespace, and the interfaces that have them."""

import socket
import struct
import sys
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from dropwatch.host import netlink
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.names.foreign import foreign

_HEADER = struct.Struct("=BBBBI")  # struct ifaddrmsg (linux/if_addr.h): family, prefix, flags, scope, index
_NEWADDR, _GETADDR = 20, 22  # RTM_*
_ADDRESS, _LOCAL, _FLAGS = 1, 2, 8  # IFA_*
_NOT_USABLE = 0x40 | 0x08  # IFA_F_TENTATIVE, IFA_F_DADFAILED
_OPTIMISTIC = 0x04  # IFA_F_OPTIMISTIC: used all the same


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """`usable` False: duplicate address detection is not over, or has found another host that has it."""

    address: Address
    interface: str
    usable: bool


def read_addresses(netns_inode: int) -> tuple[OwnAddress, ...]:
    """Raises OSError when the namespace is gone or does not answer."""
    with entered(netns_inode):
        wanted = _HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        names = {index: foreign(name) for index, name in socket.if_nameindex()}
        found = netlink.dump(netlink.ROUTE, _GETADDR, wanted, _NEWADDR, partial(address_of, names))
    return tuple(each for each in found if each is not None)


def address_of(names: dict[int, str], message: memoryview | bytes) -> OwnAddress | None:
    """From the body of an answer; None for a family that is not IP, or an interface that has come since."""
    family, _, flags, _, ifindex = _HEADER.unpack_from(message)
    found = netlink.attributes(message[_HEADER.size :])
    raw = found.get(_LOCAL) or found.get(_ADDRESS) or b""
    flags = int.from_bytes(found[_FLAGS], sys.byteorder) if _FLAGS in found else flags
    usable = not flags & _NOT_USABLE or bool(flags & _OPTIMISTIC)
    if family not in (socket.AF_INET, socket.AF_INET6) or ifindex not in names:
        return None
    address = IPv4Address(raw) if family == socket.AF_INET else IPv6Address(raw)
    return OwnAddress(address, names[ifindex], usable)
