"""What a packet itself says of its past when it dies: its connection as conntrack has it, and the bridge's port."""

from ipaddress import IPv4Address, IPv6Address

from dropwatch.model.dataclass import dataclass
from dropwatch.model.word import Word


@dataclass(frozen=True, slots=True)
class Ends:
    """Source and destination; the ports are None of a protocol that has none."""

    saddr: IPv4Address | IPv6Address
    daddr: IPv4Address | IPv6Address
    sport: int | None = None
    dport: int | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """The conntrack entry that the packet belongs to, read at its death.

    `original` is how the first packet came, `reply` how the answers come: without a translation the same the other way
    round. `is_reply`: this packet is one of the answers. `state` is conntrack's word: `new`, `established` or
    `related`. `source_nat` and `destination_nat` are conntrack's own words for what was set up (IPS_SRC_NAT,
    IPS_DST_NAT). `confirmed`: it is in the table. `mark` is the connection's (connmark), `zone` 0 the ordinary one.
    `by_ipvs`: there is no entry, IPVS has sent this packet to a real server; what only an entry has says nothing then.
    """

    proto: Word
    original: Ends
    reply: Ends
    is_reply: bool
    state: Word
    source_nat: bool = False
    destination_nat: bool = False
    confirmed: bool = True
    mark: int = 0
    zone: int = 0
    by_ipvs: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """A packet that waits for the answer to a question for a neighbour."""

    proto: Word
    ends: Ends


@dataclass(frozen=True, slots=True)
class PastNote:
    """`bridge_port` is the index of the port through which a bridge had the frame that met the hooks of IP, 0: none.

    `waiting`: the packet is a question for a neighbour, for whose answer this one waits, which the filter asks for.
    """

    connection: Connection | None = None
    bridge_port: int = 0
    waiting: Waiting | None = None
