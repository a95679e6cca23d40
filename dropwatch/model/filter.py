"""What the user asked to see: the filter options as one frozen value, shared by the kernel's filter and ours."""

from ipaddress import IPv4Network, IPv6Network

from dropwatch.model.dataclass import dataclass

Network = IPv4Network | IPv6Network
PortRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Filter:
    """Values of one kind are OR-ed, kinds are AND-ed; an empty kind is not asked for.

    `families` holds 4 and 6; `protos` IANA protocol numbers; port ranges are inclusive; `netns` are inode
    numbers; a mark matches when `mark & mask == value & mask`. `reasons` and `causes` are names as the user
    wrote them without the leading `!`.
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

    @property
    def names_flow(self) -> bool:
        """True when it asks for properties of the flow itself, which an outer header may hide."""
        return bool(
            self.families
            or self.protos
            or self.saddr
            or self.daddr
            or self.host
            or self.sport
            or self.dport
            or self.port
        )
