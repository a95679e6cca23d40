"""What judges may ask about MPLS, multicast routing and segment routing."""

from dropwatch.host.ipv4 import Setting
from dropwatch.host.question import Asked, question
from dropwatch.host.routers.mpls import Mpls, read_mpls
from dropwatch.host.routers.multicast import MulticastRoutes, read_multicast_routes
from dropwatch.host.routers.segments import read_seg6_enabled
from dropwatch.model.drop import Address


class RouterQuestions(Asked):
    """A part of Host."""

    @question("MPLS")
    def mpls(self, inode: int, ifindex: int, label: int) -> Mpls | None:
        """What the interface of this index takes, and whether the label has a route."""
        return read_mpls(inode, ifindex, label)

    @question("multicast routes")
    def multicast_routes(self, inode: int, group: Address) -> MulticastRoutes | None:
        """Those of the group, and which interfaces take part."""
        return read_multicast_routes(inode, group)

    @question("settings of SRv6")
    def seg6_enabled(self, inode: int, interface: str) -> Setting | None:
        """Whether segment routing is accepted on the interface, and on all."""
        return read_seg6_enabled(inode, interface)
