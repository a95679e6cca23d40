"""What judges may ask about tunnels."""

from dropwatch.host.bpf.programs import Program
from dropwatch.host.question import Asked, question
from dropwatch.host.tunnel.ip import Tunnel, read_tunnels
from dropwatch.host.tunnel.l2tp import L2tpSession, read_l2tp_sessions
from dropwatch.host.tunnel.netkit import Netkit, read_netkit, read_netkit_programs
from dropwatch.host.tunnel.vxlan import Remote, Vxlan, read_remotes, read_vnis, read_vxlans
from dropwatch.host.tunnel.wireguard import Wireguard, read_wireguard


class TunnelQuestions(Asked):
    """A part of Host."""

    @question("VXLAN interfaces")
    def vxlans(self, inode: int) -> tuple[Vxlan, ...]:
        """Those of the namespace."""
        return read_vxlans(inode)

    @question("forwarding tables of VXLAN", sparing=10)
    def vxlan_remotes(self, inode: int, ifindex: int, mac: str) -> tuple[Remote, ...]:
        """What the VXLAN interface of this index has for the address, and for all that it does not know."""
        return read_remotes(inode, ifindex, mac)

    @question("VNIs of VXLAN interfaces")
    def vxlan_vnis(self, inode: int, ifindex: int) -> tuple[tuple[int, int], ...]:
        """The ranges that the interface of this index takes, of one with a filter."""
        return read_vnis(inode, ifindex)

    @question("tunnel interfaces")
    def tunnels(self, inode: int) -> tuple[Tunnel, ...]:
        """Those of GRE, IP in IP and GENEVE."""
        return read_tunnels(inode)

    @question("WireGuard interfaces", sparing=10)
    def wireguard(self, inode: int, ifindex: int) -> Wireguard | None:
        """The one of this index, with its peers."""
        return read_wireguard(inode, ifindex)

    @question("L2TP sessions", sparing=10)
    def l2tp_sessions(self, inode: int) -> tuple[L2tpSession, ...]:
        """Those of the namespace."""
        return read_l2tp_sessions(inode)

    @question("netkit interfaces")
    def netkit(self, inode: int, ifindex: int) -> Netkit | None:
        """The end of a pair that has this index."""
        return read_netkit(inode, ifindex)

    @question("BPF programs of netkit")
    def netkit_programs(self, inode: int, primary: int, of_peer: bool) -> tuple[Program, ...]:
        """Those for what is sent through the primary of this index, or through its peer."""
        return read_netkit_programs(inode, primary, of_peer=of_peer)
