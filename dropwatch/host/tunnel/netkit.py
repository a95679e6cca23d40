"""One end of a pair of netkit, with the policies of both, and the BPF programs that the other end runs."""

import socket

from dropwatch.host import netlink
from dropwatch.host.bpf.programs import Program, attached, read_program
from dropwatch.host.links import GETLINK, LINK, NEWLINK, about, name_of
from dropwatch.host.netlink import number
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass

# linux/if_link.h
_LINK, _LINK_NETNSID = 5, 37  # IFLA_*
_PRIMARY, _POLICY, _PEER_POLICY = 2, 3, 4  # IFLA_NETKIT_*
_POLICIES = {0: "forward", 2: "blackhole"}  # NETKIT_PASS and _DROP, as ip shows them
_UP = 1  # IFF_UP
_AT_PRIMARY, _AT_PEER = 54, 55  # BPF_NETKIT_PRIMARY, _PEER of enum bpf_attach_type


@dataclass(frozen=True, slots=True)
class Netkit:
    """`policy` is what it does with a packet for which no program runs, `peer_policy` what its peer does. `peer` is the
    index of that, in another namespace where it is `elsewhere`. Settings and programs of both belong to the `primary`.
    """

    name: str
    ifindex: int
    up: bool
    primary: bool
    policy: str
    peer_policy: str
    peer: int
    elsewhere: bool = False


def read_netkit(netns_inode: int, ifindex: int) -> Netkit | None:
    """The interface of this index; None where it is of another kind, or gone. Raises OSError."""
    wanted = LINK.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0)
    with entered(netns_inode):
        try:
            return netlink.get(netlink.ROUTE, GETLINK, wanted, NEWLINK, netkit_of)
        except netlink.Refused:  # ENODEV
            return None


def netkit_of(message: memoryview | bytes) -> Netkit | None:
    """From the body of an RTM_NEWLINK message; None for another kind, and for one that has no peer."""
    _, _, index, flags, _ = LINK.unpack_from(message)
    link = netlink.attributes(message[LINK.size :])
    its = about(link)
    if its.kind != "netkit" or _PEER_POLICY not in its.data:
        return None
    policy, peer_policy = (number(its.data.get(which)) for which in (_POLICY, _PEER_POLICY))
    return Netkit(
        name_of(link),
        index,
        bool(flags & _UP),
        bool(number(its.data.get(_PRIMARY))),
        _POLICIES.get(policy, str(policy)),
        _POLICIES.get(peer_policy, str(peer_policy)),
        number(link.get(_LINK)),
        _LINK_NETNSID in link,
    )


def read_netkit_programs(netns_inode: int, primary: int, *, of_peer: bool) -> tuple[Program, ...]:
    """Those for what is sent through the primary of this index or, `of_peer`, through its peer, in their order.

    Raises OSError.
    """
    with entered(netns_inode):
        return tuple(read_program(each) for each in attached(primary, _AT_PEER if of_peer else _AT_PRIMARY))
