"""What the user asked to see: the filter options as one frozen value, shared by the kernel's filter and ours."""

from ipaddress import IPv4Network, IPv6Network

from dropwatch.model.dataclass import dataclass
from dropwatch.model.expression import Expression

Network = IPv4Network | IPv6Network
PortRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose packet it is: whose socket sends it or is to receive it. Each kind that is not empty has to fit."""

    pids: frozenset[int] = frozenset()
    comms: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    containers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Filter:
    """Values of one kind are OR-ed, kinds are AND-ed; an empty kind is not asked for.

    `families` holds 4 and 6; `protos` IANA protocol numbers, and the ethertype of ARP; port ranges are inclusive;
    `icmp_types` are a protocol and a type; `netns` are inode numbers; a mark matches when `mark & mask == value &
    mask`. `reasons` and `causes` are names as the user wrote them without the leading `!`. `owner` is about whose
    packet it is. `but` has what is excluded: no value of any kind in it may fit. `expression` is of pcap-filter(7).
    """

    families: frozenset[int] = frozenset()
    protos: frozenset[int] = frozenset()
    saddr: tuple[Network, ...] = ()
    daddr: tuple[Network, ...] = ()
    host: tuple[Network, ...] = ()
    sport: tuple[PortRange, ...] = ()
    dport: tuple[PortRange, ...] = ()
    port: tuple[PortRange, ...] = ()
    ifaces: tuple[str, ...] = ()
    netns: tuple[int, ...] = ()
    marks: tuple[tuple[int, int], ...] = ()
    causes: frozenset[str] = frozenset()
    not_causes: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    not_reasons: frozenset[str] = frozenset()
    icmp_types: frozenset[tuple[int, int]] = frozenset()
    owner: "Owner | None" = None
    expression: Expression | None = None
    but: "Filter | None" = None

    @property
    def names_flow(self) -> bool:
        """True when it asks for properties of the flow itself, which an outer header may hide."""
        return self.expression is not None or self.names_flow_by_options

    @property
    def names_flow_by_options(self) -> bool:
        """Likewise, but for the expression."""
        return bool(
            self.families
            or self.protos
            or self.saddr
            or self.daddr
            or self.host
            or self.sport
            or self.dport
            or self.port
            or self.icmp_types
        )
