"""What judges and matchers may ask of the host: answers read after a drop, remembered for its whole batch."""

import time
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

from dropwatch.host import tools
from dropwatch.host.conntrack import ConntrackTable, read_table
from dropwatch.host.interfaces import read_mtu
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.host.ipsec.interfaces import read_interfaces as read_xfrm_interfaces
from dropwatch.host.ipsec.vici import Connection, Daemon, find_daemons, read_connections
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.nfqueue import Queue, read_queues
from dropwatch.host.route import Route, read_route
from dropwatch.model.drop import Address
from dropwatch.model.ipsec import GoneState
from dropwatch.model.netfilter import EbtNote, NftNote, XtNote

_REMEMBERED = 64
_SPARING = 20  # a daemon is asked for a twentieth of the time at most
_IKE_TOOLS = ("swanctl", "ipsec")  # of strongSwan, and of its older starter or Libreswan

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class Firewalls(NamedTuple):
    """The tables of a namespace, by implementation, each as `FAMILY TABLE` (`inet filter`)."""

    nft: tuple[str, ...]
    legacy: tuple[str, ...]


class NftReader(Protocol):
    """Finds nf_tables rules and chains (nft_listing.py)."""

    def rule(self, inode: int, note: NftNote, not_before_ns: int) -> ListedRule: ...

    def nft_tables(self, inode: int) -> tuple[str, ...]: ...


class XtReader(Protocol):
    """Finds the entries of legacy tables (xt_listing.py): an answer for each candidate, in their order."""

    def rule(
        self, inode: int, note: XtNote, not_before_ns: int, generation: int
    ) -> tuple[ListedRule, ...]: ...

    def legacy_tables(self, inode: int) -> tuple[str, ...]: ...


class EbtReader(Protocol):
    """Finds the rule of a legacy ebtables table that decided (ebt_listing.py)."""

    def rule(self, inode: int, note: EbtNote, not_before_ns: int, generation: int) -> ListedRule | None: ...


class _Memory(Generic[Key, Answer]):
    """The last answer for each key, given again only to those for whom it is young enough.

    With `sparing` it may be older by so many times what it took: who answers slowly is asked seldom.
    """

    def __init__(self, sparing: int = 0) -> None:
        self._sparing = sparing
        self._known: dict[Key, tuple[int, Answer | None]] = {}

    def get(self, key: Key, not_before_ns: int, read: Callable[[], Answer | None]) -> Answer | None:
        fresh_until, answer = self._known.get(key, (-1, None))
        if fresh_until < not_before_ns:
            read_at = time.monotonic_ns()
            answer = read()
            if key not in self._known and len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = (read_at + self._sparing * (time.monotonic_ns() - read_at), answer)
        return answer

    def __len__(self) -> int:
        return len(self._known)


class Host:
    """Reads on demand: a run that meets no IPsec packet never asks for the IPsec configuration.

    An answer is given again only for drops that are older than its reading, so none is ever older than the drop,
    and a burst of drops costs one reading. None is the answer for a namespace that is unknown (0) or gone, and
    for what could not be read: that is a blind spot then.

    `xt_generation` tells how many changes of legacy tables the probes have seen since the start, `gone_states`
    which SAs they have seen deleted, in all namespaces, the last one last.
    """

    def __init__(
        self,
        read_xfrm: Callable[[int], XfrmConfig] | None = None,
        *,
        nft: NftReader | None = None,
        xt: XtReader | None = None,
        ebt: EbtReader | None = None,
        read_conntrack: Callable[[int], ConntrackTable | None] = read_table,
        read_queues: Callable[[int], tuple[Queue, ...]] = read_queues,
        read_route: Callable[[int, Address, int], Route] = read_route,
        read_xfrm_interfaces: Callable[[int], dict[int, IpsecInterface]] = read_xfrm_interfaces,
        find_daemons: Callable[[int], tuple[Daemon, ...]] = find_daemons,
        read_connections: Callable[[Daemon], tuple[Connection, ...]] = read_connections,
        read_mtu: Callable[[int, str], int] = read_mtu,
        find_tool: Callable[[str], str | None] = tools.find,
    ) -> None:
        self.xt_generation: Callable[[], int] = lambda: 0
        self.gone_states: Callable[[], Iterable[GoneState]] = tuple
        self._read_xfrm = read_xfrm
        self._nft, self._xt, self._ebt = nft, xt, ebt
        self._read_conntrack, self._read_queues, self._read_route = read_conntrack, read_queues, read_route
        self._find_daemons, self._read_connections, self._read_mtu = find_daemons, read_connections, read_mtu
        self._read_xfrm_interfaces, self._find_tool = read_xfrm_interfaces, find_tool
        self._xfrm: _Memory[int, XfrmConfig] = _Memory()
        self._xfrm_interfaces: _Memory[int, dict[int, IpsecInterface]] = _Memory()
        self._firewalls: _Memory[int, Firewalls] = _Memory()
        self._daemons: _Memory[int, tuple[Daemon, ...]] = _Memory()
        self._connections: _Memory[Daemon, tuple[Connection, ...]] = _Memory(_SPARING)
        self._mtus: _Memory[tuple[int, str], int] = _Memory()
        self._conntrack: _Memory[int, ConntrackTable] = _Memory()
        self._queues: _Memory[int, tuple[Queue, ...]] = _Memory()
        self._routes: _Memory[tuple[int, Address, int], Route] = _Memory()
        self._failures: dict[str, None] = {}

    def prepare(self) -> None:
        """Imports what reading needs, so that the first answer comes right after the first drop."""
        self._xfrm_reader()
        self._nft_reader()
        self._xt_reader()
        self._ebt_reader()

    def xfrm(self, inode: int, not_before_ns: int) -> XfrmConfig | None:
        """SAs and policies of a namespace, read at a monotonic time of `not_before_ns` or later."""
        return self._xfrm.get(
            inode,
            not_before_ns,
            lambda: self._try("SAs and policies", inode, lambda: self._xfrm_reader()(inode)),
        )

    def xfrm_interfaces(self, inode: int, not_before_ns: int) -> dict[int, IpsecInterface] | None:
        """The xfrm and VTI interfaces, by index."""
        return self._xfrm_interfaces.get(
            inode,
            not_before_ns,
            lambda: self._try("xfrm interfaces", inode, lambda: self._read_xfrm_interfaces(inode)),
        )

    def connections(self, inode: int, not_before_ns: int) -> tuple[Connection, ...]:
        """What the IKE daemons of a namespace say of their SAs; none where there is none that answers at once.

        The answer of a daemon that takes its time may be older than `not_before_ns`.
        """
        daemons = self._daemons.get(
            inode, not_before_ns, lambda: self._try("IKE daemons", inode, lambda: self._find_daemons(inode))
        )
        found: dict[Connection, None] = {}
        for daemon in daemons or ():
            answer = self._connections.get(daemon, not_before_ns, partial(self._read_connections, daemon))
            found |= dict.fromkeys(answer or ())
        return tuple(found)

    def mtu(self, inode: int, interface: str, not_before_ns: int) -> int | None:
        """The MTU of an interface."""
        return self._mtus.get(
            (inode, interface),
            not_before_ns,
            lambda: self._try("MTUs", inode, lambda: self._read_mtu(inode, interface)),
        )

    def ike_tools(self) -> tuple[str, ...]:
        """The tools of IKE daemons that are installed here: `swanctl`, `ipsec`."""
        return tuple(name for name in _IKE_TOOLS if self._find_tool(name) is not None)

    def nft_rule(self, inode: int, note: NftNote, not_before_ns: int) -> ListedRule | None:
        """The rule or chain policy that an nf_tables verdict came from."""
        read = self._nft_reader
        return self._try("nftables rules", inode, lambda: read().rule(inode, note, not_before_ns))

    def xt_rules(self, inode: int, note: XtNote, not_before_ns: int) -> tuple[ListedRule, ...]:
        """Each candidate of a legacy table, in their order; none where they could not be read."""
        read, generation = self._xt_reader, self.xt_generation()
        found = self._try(
            "legacy iptables rules", inode, lambda: read().rule(inode, note, not_before_ns, generation)
        )
        return found or ()

    def ebt_rule(self, inode: int, note: EbtNote, not_before_ns: int) -> ListedRule | None:
        """The rule or chain policy of a legacy ebtables table that decided; None also where that is not sure."""
        read, generation = self._ebt_reader, self.xt_generation()
        return self._try(
            "legacy ebtables rules", inode, lambda: read().rule(inode, note, not_before_ns, generation)
        )

    def firewalls(self, inode: int, not_before_ns: int) -> Firewalls | None:
        """Which tables there are, of nf_tables and of the legacy implementation."""

        def read() -> Firewalls:
            return Firewalls(self._nft_reader().nft_tables(inode), self._xt_reader().legacy_tables(inode))

        return self._firewalls.get(
            inode, not_before_ns, lambda: self._try("tables of the firewalls", inode, read)
        )

    def conntrack(self, inode: int, not_before_ns: int) -> ConntrackTable | None:
        """How full the connection tracking table is."""
        return self._conntrack.get(
            inode,
            not_before_ns,
            lambda: self._try("limits of conntrack", inode, lambda: self._read_conntrack(inode)),
        )

    def queues(self, inode: int, not_before_ns: int) -> tuple[Queue, ...] | None:
        """The packet queues that programs listen to."""
        return self._queues.get(
            inode,
            not_before_ns,
            lambda: self._try("packet queues", inode, lambda: self._read_queues(inode)),
        )

    def route_back(self, inode: int, address: Address, mark: int, not_before_ns: int) -> Route | None:
        """Where the route to the source of a packet leads. A mark of 0 is none."""
        return self._routes.get(
            (inode, address, mark),
            not_before_ns,
            lambda: self._try("routes", inode, lambda: self._read_route(inode, address, mark)),
        )

    @property
    def blind_spots(self) -> tuple[str, ...]:
        """What could not be read, for the closing statement. A namespace that is gone is no blind spot."""
        return tuple(self._failures)

    def _try(self, what: str, inode: int, read: Callable[[], Answer | None]) -> Answer | None:
        if not inode:
            return None
        try:
            return read()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._failures[f"{what} of namespace {inode}: {error.strerror or error}"] = None
            return None

    # pyroute2 takes 0.1 s to import, two seconds on an emulated CPU, the others less: only who needs them waits.

    def _xfrm_reader(self) -> Callable[[int], XfrmConfig]:
        if self._read_xfrm is None:
            from dropwatch.host.ipsec.read import read_config

            self._read_xfrm = read_config
        return self._read_xfrm

    def _nft_reader(self) -> NftReader:
        if self._nft is None:
            from dropwatch.host.nft.listing import NftListings

            self._nft = NftListings()
        return self._nft

    def _xt_reader(self) -> XtReader:
        if self._xt is None:
            from dropwatch.host.xt.listing import XtListings

            self._xt = XtListings(lambda: self.xt_generation())
        return self._xt

    def _ebt_reader(self) -> EbtReader:
        if self._ebt is None:
            from dropwatch.host.xt.ebt_listing import EbtListings

            self._ebt = EbtListings(lambda: self.xt_generation())
        return self._ebt
