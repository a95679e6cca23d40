"""What judges and matchers may ask of the host: answers read after a drop, remembered for its whole batch."""

import time
from functools import cached_property, partial

from dropwatch.host.addresses import OwnAddress, read_addresses
from dropwatch.host.groups import read_groups
from dropwatch.host.holders import read_holders
from dropwatch.host.interfaces import read_mtu
from dropwatch.host.ipsec.questions import IpsecQuestions
from dropwatch.host.ipv6 import Ipv6Interface, read_ipv6
from dropwatch.host.lower import Lower, read_lower
from dropwatch.host.netfilter.questions import NetfilterQuestions
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.ping_sockets import read_ping_sockets
from dropwatch.host.ports import Port, read_ethertypes, read_port
from dropwatch.host.question import lasting_question, question
from dropwatch.host.route import Route, read_route
from dropwatch.host.sockets import PortSockets, SocketReader
from dropwatch.host.vxlan import Vxlan, read_vxlans
from dropwatch.model.change import Change
from dropwatch.model.drop import Address, Process


class Host(IpsecQuestions, NetfilterQuestions):
    """Reads on demand: a run that meets no IPsec packet never asks for the IPsec configuration.

    An answer is given again only for drops that are older than its reading, so none is ever older than the drop,
    and a burst of drops costs one reading. None is the answer for a namespace that is unknown (0) or gone, and
    for what could not be read: that is a blind spot then.

    A new question is one decorated method, here or beside its subject; what is slow to import is a cached_property.
    """

    def prepare(self) -> None:
        """Imports what reading needs, so that the first answer comes right after the first drop."""
        for each in type(self).__mro__:
            for name, member in vars(each).items():
                if isinstance(member, cached_property):
                    getattr(self, name)

    @question("MTUs")
    def mtu(self, inode: int, interface: str) -> int:
        """The MTU of an interface."""
        return read_mtu(inode, interface)

    @question("IPv6 settings")
    def ipv6(self, inode: int, interface: str) -> Ipv6Interface:
        """What IPv6 accepts on an interface, and the addresses of the namespace."""
        return read_ipv6(inode, interface)

    @question("addresses")
    def addresses(self, inode: int) -> tuple[OwnAddress, ...]:
        """Those of all interfaces."""
        return read_addresses(inode)

    @question("multicast groups")
    def groups(self, inode: int, ifindex: int) -> tuple[Address, ...]:
        """Those that the interface of this index has joined."""
        return read_groups(inode, ifindex)

    @lasting_question
    def own_netns(self) -> int | None:
        """The inode of the namespace that whydrop runs in; None in a recording that does not tell."""
        return own_inode()

    @question("ports")
    def port(self, inode: int, ifindex: int) -> Port | None:
        """The interface of this index as a port of a bond, bridge or team."""
        return read_port(inode, ifindex)

    @question("devices below")
    def lower(self, inode: int, ifindex: int) -> Lower | None:
        """What the interface of this index lacks its carrier for, where that is another device."""
        return read_lower(inode, ifindex)

    @question("handlers of ethertypes")
    def ethertypes(self, inode: int) -> tuple[int, ...]:
        """Which ethertypes are handled."""
        return read_ethertypes(inode)

    @lasting_question
    def last_change(self, inode: int, kind: Change, read_at_ns: int | None) -> int | None:
        """When it was changed last in a namespace, as was known after what was read at that time (None: now).

        0: not since the start. None where nobody knows, also in a recording that does not tell.
        """
        known: int | None
        if read_at_ns is None:
            self.freshness.ends(time.monotonic_ns())
            known = self.seen.last_change(kind, inode)
        else:
            look = partial(self.seen.last_change, kind, inode)
            known = self.remembered("last_change", (inode, kind), read_at_ns, 0, look)
        self.freshness.changes(known or 0)
        return known

    @question("routes")
    def route_back(self, inode: int, address: Address, mark: int) -> Route:
        """Where the route to the source of a packet leads. A mark of 0 is none."""
        return read_route(inode, address, mark)

    @question("routes")
    def route_on(self, inode: int, daddr: Address, saddr: Address, ifindex: int, mark: int) -> Route:
        """Where a packet from `saddr` that came in through the interface of this index is forwarded to."""
        return read_route(inode, daddr, mark, saddr, ifindex)

    @question("sockets of processes", sparing=10)
    def socket_holder(self, inode: int, socket: int) -> Process | None:
        """Who holds the socket of this inode."""
        return read_holders({socket}).get(socket)

    @question("sockets")
    def sockets_at(self, inode: int, proto: str, port: int, came_in: int) -> PortSockets:
        """Which sockets have this local port, of TCP those that listen, of `raw` the protocol; for a packet of the
        interface `came_in`.
        """
        return self._sockets.read(inode, proto, port, came_in, self._began(inode))

    @question("VXLAN interfaces")
    def vxlans(self, inode: int) -> tuple[Vxlan, ...]:
        """Those of the namespace."""
        return read_vxlans(inode)

    @question("ping sockets")
    def ping_sockets(self, inode: int) -> tuple[int, ...]:
        """The identifiers of the echo requests that sockets other than raw ones have sent."""
        return read_ping_sockets(inode)

    @question("connections")
    def connections_at(self, inode: int, port: int, peer_port: int, came_in: int) -> PortSockets:
        """Which TCP sockets are connected with these two ports, for a segment of the interface `came_in`."""
        return self._sockets.connections(inode, port, peer_port, came_in, self._began(inode))

    def _began(self, inode: int) -> int | None:
        """When this namespace got its number, as far as anybody knows."""
        return self.seen.last_change("namespace", inode)

    @cached_property
    def _sockets(self) -> SocketReader:
        return SocketReader()
