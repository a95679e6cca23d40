"""What judges and matchers may ask of the host: answers read after a drop, remembered for its whole batch."""

import time
from functools import cached_property, partial

from dropwatch.host.addresses import OwnAddress, read_addresses
from dropwatch.host.backlog import Backlog, read_backlog
from dropwatch.host.bpf.lwt import RouteProgram
from dropwatch.host.bpf.questions import BpfQuestions
from dropwatch.host.bridges import Bridge, Station, read_bridge, read_station
from dropwatch.host.buffers import read_rmem_max
from dropwatch.host.cgroups import Workload, read_path, read_path_of
from dropwatch.host.containers import Container, Containers
from dropwatch.host.ethertypes import read_ethertypes
from dropwatch.host.fragments import Fragments, read_fragments
from dropwatch.host.groups import read_groups
from dropwatch.host.holders import read_holders
from dropwatch.host.interfaces import interfaces, read_mtu
from dropwatch.host.ipsec.questions import IpsecQuestions
from dropwatch.host.ipv4 import Ipv4Interface, read_ipv4
from dropwatch.host.ipv6 import Ipv6Interface, read_ipv6
from dropwatch.host.link import Link, read_link
from dropwatch.host.lower import Lower, read_lower
from dropwatch.host.neighbours import Entry as Neighbour
from dropwatch.host.neighbours import Holder as NeighbourHolder
from dropwatch.host.neighbours import Table as NeighbourTable
from dropwatch.host.neighbours import read_entry, read_table
from dropwatch.host.neighbours import read_holders as read_neighbour_holders
from dropwatch.host.netfilter.questions import NetfilterQuestions
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.ping_sockets import read_ping_sockets
from dropwatch.host.pods import Pod, Pods
from dropwatch.host.ports import Port, read_port
from dropwatch.host.question import lasting_question, question
from dropwatch.host.route import Route, read_route, read_route_of_send, read_route_programs
from dropwatch.host.routers.questions import RouterQuestions
from dropwatch.host.rules import Rules, read_refusing_rules, read_rules
from dropwatch.host.socket_options import SocketOptions, read_options
from dropwatch.host.sockets import PortSockets, SocketReader
from dropwatch.host.stacked import Stacked, read_stacked
from dropwatch.host.sysctls import SysctlValue, read_sysctl
from dropwatch.host.tc.questions import TcQuestions
from dropwatch.host.tenants import Tenants
from dropwatch.host.tunnel.questions import TunnelQuestions
from dropwatch.model.change import Change
from dropwatch.model.drop import Address, Process

_CGROUPS = 1024  # that are remembered


class Host(BpfQuestions, IpsecQuestions, NetfilterQuestions, RouterQuestions, TcQuestions, TunnelQuestions):
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

    @question("interfaces")
    def interface_name(self, inode: int, index: int) -> str:
        """The name of an interface, "" where none has this index."""
        return interfaces(inode).get(index, "")

    @question("sysctls")
    def sysctl(self, inode: int, name: str) -> SysctlValue | None:
        """A setting below net, by a name of whydrop's own."""
        return read_sysctl(inode, name)

    @question("IPv6 settings")
    def ipv6(self, inode: int, interface: str) -> Ipv6Interface:
        """What IPv6 accepts on an interface, and the addresses of the namespace."""
        return read_ipv6(inode, interface)

    @question("IPv4 settings")
    def ipv4(self, inode: int, ifindex: int) -> Ipv4Interface | None:
        """What IPv4 is set to on the interface of this index, and for all."""
        return read_ipv4(inode, ifindex)

    @question("rules of routing")
    def rules(self, inode: int, version: int) -> Rules:
        """Those of IPv4 or IPv6, and the routes that refuse."""
        return read_rules(inode, version)

    @question("neighbours")
    def neighbour(self, inode: int, ifindex: int, address: Address) -> Neighbour | None:
        """The entry of an address on the interface of this index."""
        return read_entry(inode, ifindex, address)

    @question("neighbours")
    def neighbour_table(self, inode: int, ifindex: int, version: int) -> NeighbourTable | None:
        """The table of IPv4 or IPv6, and what is set on the interface of this index."""
        return read_table(inode, ifindex, version)

    @question("neighbours", sparing=10)
    def neighbour_holders(self, inode: int, version: int) -> tuple[NeighbourHolder, ...]:
        """Which interfaces have how many entries, of all namespaces."""
        return read_neighbour_holders(version)

    @question("fragments")
    def fragments(self, inode: int, version: int) -> Fragments | None:
        """The incomplete packets of IPv4 or IPv6, and their limits."""
        return read_fragments(inode, version)

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
        """The interface of this index as a port of a bond or team."""
        return read_port(inode, ifindex)

    @question("bridges")
    def bridge(self, inode: int, ifindex: int) -> Bridge | None:
        """The bridge that the interface of this index is, or is a port of, with all its ports."""
        return read_bridge(inode, ifindex)

    @question("forwarding databases of bridges")
    def station(self, inode: int, bridge: int, mac: str, vid: int) -> Station | None:
        """Behind which port the bridge of that index knows the address. `vid` 0: without VLANs."""
        return read_station(inode, bridge, mac, vid)

    @question("devices below")
    def lower(self, inode: int, ifindex: int) -> Lower | None:
        """What the interface of this index lacks its carrier for, where that is another device."""
        return read_lower(inode, ifindex)

    @question("interfaces")
    def link(self, inode: int, which: int | str) -> Link | None:
        """The interface of this index or name, None where there is none."""
        return read_link(inode, which)

    @question("interfaces on top")
    def stacked(self, inode: int, parent: int) -> tuple[Stacked, ...]:
        """The macvlan and ipvlan interfaces on the one of this index, of this namespace."""
        return read_stacked(inode, parent)

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

    @lasting_question
    def last_departure(self, inode: int, address: Address, ifindex: int) -> int | None:
        """When an address or joined group, or else the interface of this number, went last, as is known now.

        0: not since the start. None where nobody knows, also in a recording that does not tell.
        """
        self.freshness.ends(time.monotonic_ns())
        both = [self.seen.last_departure(inode, what) for what in (address, ifindex)]
        known = [one for one in both if one is not None]
        self.freshness.changes(max(known, default=0))
        return max(known, default=None)

    @lasting_question
    def cgroup(self, number: int) -> str | None:
        """The path of the cgroup of this number, which no other ever has; None: it was gone when asked for first."""
        if number not in self._cgroups:
            while len(self._cgroups) >= _CGROUPS:
                self._cgroups.pop(next(iter(self._cgroups)))
            self._cgroups[number] = None
            self._cgroups[number] = read_path(number)
        return self._cgroups[number]

    @lasting_question
    def pod(self, uid: str) -> Pod | None:
        """What Kubernetes calls the pod of this uid, which no other ever has; None: it is not of this node."""
        return self._pods.find(uid)

    @lasting_question
    def container(self, which: str) -> Container | None:
        """What its runtime calls the container of this id; None: nothing on this host names it."""
        return self._containers.find(which)

    @lasting_question
    def container_of_namespace(self, inode: int) -> Workload | None:
        """Of the first process in a namespace, as is known now; None: there is none, or it is in no container."""
        return self._tenants.find(inode, self._began(inode))

    @question("routes")
    def route_back(self, inode: int, address: Address, mark: int) -> Route:
        """Where the route to the source of a packet leads. A mark of 0 is none."""
        return read_route(inode, address, mark)

    @question("routes")
    def route_on(self, inode: int, daddr: Address, saddr: Address, ifindex: int, mark: int) -> Route:
        """Where a packet from `saddr` that came in through the interface of this index is forwarded to."""
        return read_route(inode, daddr, mark, saddr, ifindex)

    @question("routes")
    def route_out(self, inode: int, daddr: Address, saddr: Address | None, mark: int) -> Route:
        """Where a packet of this host's own leaves."""
        return read_route(inode, daddr, mark, saddr)

    @question("routes")
    def route_programs(
        self, inode: int, daddr: Address, saddr: Address | None, ifindex: int, mark: int
    ) -> tuple[RouteProgram, ...]:
        """The BPF programs of the route of a packet that came in by the interface of this index, 0: an own one."""
        return read_route_programs(inode, daddr, mark, saddr, ifindex)

    @question("routes")
    def route_of_send(
        self, inode: int, daddr: Address, saddr: Address | None, ifindex: int, mark: int, uid: int
    ) -> Route:
        """Where this host sends what a program of this user sends, bound to the interface of this index (0: none)."""
        return read_route_of_send(inode, daddr, saddr, ifindex, mark, uid)

    @question("rules")
    def refusing_rules(self, inode: int, family: int) -> tuple[str, ...]:
        """The actions of those ip rules of a family (4, 6) that refuse what they match."""
        return read_refusing_rules(inode, family)

    @question("sockets of processes", sparing=10)
    def socket_holder(self, inode: int, socket: int) -> Process | None:
        """Who holds the socket of this inode."""
        return read_holders({socket}).get(socket)

    @question("options of sockets")
    def socket_options(self, inode: int, pid: int, socket: int, version: int) -> SocketOptions | None:
        """What the process has set on the socket of this inode."""
        return read_options(pid, socket, version)

    @question("control groups", sparing=10)
    def control_group(self, inode: int, pid: int) -> str:
        """In which control group a process is: its path."""
        return read_path_of(pid)

    @question("the limit of receive buffers")
    def rmem_max(self, inode: int) -> int:
        """net.core.rmem_max of the host, where whydrop's own namespace shows it."""
        return read_rmem_max()

    @question("input queues of CPUs")
    def backlog(self, inode: int) -> Backlog:
        """What waits for each CPU, whichever namespace it is of."""
        return read_backlog()

    @question("sockets")
    def sockets_at(self, inode: int, proto: str, port: int, came_in: int) -> PortSockets:
        """Which sockets have this local port, of TCP those that listen, of `raw` the protocol; for a packet of the
        interface `came_in`.
        """
        return self._sockets.read(inode, proto, port, came_in, self._began(inode))

    @question("ping sockets")
    def ping_sockets(self, inode: int) -> tuple[int, ...]:
        """The identifiers of the echo requests that sockets other than raw ones have sent."""
        return read_ping_sockets(inode)

    @question("connections")
    def connections_at(self, inode: int, port: int, peer_port: int, came_in: int) -> PortSockets:
        """Which TCP sockets are connected with these two ports, for a segment of the interface `came_in`."""
        return self._sockets.connections(inode, port, peer_port, came_in, self._began(inode))

    @cached_property
    def _pods(self) -> Pods:
        return Pods()

    @cached_property
    def _containers(self) -> Containers:
        return Containers()

    @cached_property
    def _tenants(self) -> Tenants:
        return Tenants()

    @cached_property
    def _cgroups(self) -> dict[int, str | None]:
        return {}

    def _began(self, inode: int) -> int | None:
        """When this namespace got its number, as far as anybody knows."""
        return self.seen.last_change("namespace", inode)

    @cached_property
    def _sockets(self) -> SocketReader:
        return SocketReader()
