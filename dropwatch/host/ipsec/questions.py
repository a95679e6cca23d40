"""What the host is asked about IPsec: SAs, policies, interfaces, and the daemons that negotiate."""

import time
from functools import cached_property

from dropwatch.host import tools
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface, read_interfaces
from dropwatch.host.ipsec.read import read_config
from dropwatch.host.ipsec.vici import Connection, Daemon, find_daemons, read_connections
from dropwatch.host.question import Asked, Memory, plain_question, question
from dropwatch.model.ipsec import GoneState

_SPARING = 20  # a daemon is asked for a twentieth of the time at most
_IKE_TOOLS = ("swanctl", "ipsec")  # of strongSwan, and of its older starter or Libreswan
_TOOLS_NS = 1_000_000_000  # how long they are taken to be what they were


class IpsecQuestions(Asked):
    @question("SAs and policies")
    def xfrm(self, inode: int) -> XfrmConfig:
        """SAs and policies of a namespace."""
        return read_config(inode)

    @question("xfrm interfaces")
    def xfrm_interfaces(self, inode: int) -> dict[int, IpsecInterface]:
        """The xfrm and VTI interfaces, by index."""
        return read_interfaces(inode)

    @plain_question
    def connections(self, inode: int, not_before_ns: int) -> tuple[Connection, ...]:
        """What the IKE daemons of a namespace say of their SAs; none where there is none that answers at once.

        The answer of a daemon that takes its time may be older than `not_before_ns`.
        """
        found: dict[Connection, None] = {}
        for daemon in self._daemons(inode, not_before_ns) or ():
            found |= dict.fromkeys(self._connections_of(inode, daemon, not_before_ns) or ())
        return tuple(found)

    @question("IKE daemons")
    def _daemons(self, inode: int) -> tuple[Daemon, ...]:
        return tuple(self._all_daemons.get(None, time.monotonic_ns(), find_daemons).get(inode, ()))

    @cached_property
    def _all_daemons(self) -> Memory:
        """Of all namespaces: finding those of one takes as long, and no less where there is none."""
        return Memory(_SPARING, spares_nothing=True)

    @question("IKE connections", sparing=_SPARING)
    def _connections_of(self, inode: int, daemon: Daemon) -> tuple[Connection, ...]:
        return read_connections(daemon)

    @plain_question
    def ike_tools(self) -> tuple[str, ...]:
        """The tools of IKE daemons that are installed here: `swanctl`, `ipsec`."""
        return tuple(self._tools_here.get(None, time.monotonic_ns() - _TOOLS_NS, _installed))

    @cached_property
    def _tools_here(self) -> Memory:
        return Memory(spares_nothing=True)

    @plain_question
    def gone_states(self) -> tuple[GoneState, ...]:
        """The SAs that the probes have seen deleted, in all namespaces, the last one last."""
        return tuple(self.seen.gone_states())


def _installed() -> tuple[str, ...]:
    return tuple(name for name in _IKE_TOOLS if tools.find(name) is not None)
