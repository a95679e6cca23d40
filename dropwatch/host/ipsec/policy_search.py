"""Finds the policy that the kernel takes for a flow, as xfrm_policy_lookup_bytype does (net/xfrm/xfrm_policy.c)."""

from collections.abc import Iterator
from typing import NamedTuple

from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Packet
from dropwatch.model.ipsec import Selector, XfrmPolicy
from dropwatch.names import protocols

_ICMP = frozenset({protocols.ICMP, protocols.ICMP6})
# Besides ports, the kernel compares halves of GRE's key and a mobility header's type, which Packet does not have.
_COMPARED_UNKNOWN = frozenset({47, 135})


@dataclass(frozen=True, slots=True)
class Flow:
    """What the kernel compares with selectors, marks and if_ids; None is what whydrop does not know.

    The ports are type and code of ICMP, and 0 for fragments and for protocols without ports (_decode_session4).
    """

    family: int
    saddr: Address
    daddr: Address
    proto: int
    sport: int | None
    dport: int | None
    mark: int | None = 0
    if_id: int | None = 0


class Fit(NamedTuple):
    """The fields in which something does not fit a flow, and those where that is not known."""

    differs: tuple[str, ...]
    unknown: tuple[str, ...]


def flow_of(packet: Packet, mark: int | None, if_id: int | None) -> Flow | None:
    """None for a packet whose addresses or protocol are not known."""
    proto = protocols.number(packet.proto) if packet.proto is not None else None
    if packet.family is None or packet.saddr is None or packet.daddr is None or proto is None:
        return None
    sport, dport = _ports(packet, proto)
    return Flow(packet.family, packet.saddr, packet.daddr, proto, sport, dport, mark, if_id)


def taken(config: XfrmConfig, direction: str, flow: Flow, at: float) -> tuple[XfrmPolicy, ...]:
    """The policies of which the kernel takes one for this flow. One: it is that; none: it finds none.

    Policies that were added after `at` (seconds since 1970) are passed over.
    Several where something of the flow is not known, or where priorities are equal: then age and hash table decide.
    """
    found: list[XfrmPolicy] = []
    certain: int | None = None
    for policy in _there_at(config, direction, at):
        if certain is not None and policy.priority > certain:
            break
        fit = policy_fit(policy, flow)
        if fit.differs:
            continue
        found.append(policy)
        if not fit.unknown:
            certain = policy.priority
    return tuple(found)


def nearly(config: XfrmConfig, direction: str, flow: Flow, at: float) -> tuple[tuple[XfrmPolicy, Fit], ...]:
    """Policies of the flow's family that do not fit, those with the fewest differences first."""
    fits = [(policy, policy_fit(policy, flow)) for policy in _there_at(config, direction, at)]
    near = (one for one in fits if one[1].differs and "family" not in one[1].differs)
    return tuple(sorted(near, key=lambda one: len(one[1].differs)))


def policy_fit(policy: XfrmPolicy, flow: Flow) -> Fit:
    """xfrm_policy_match: family, if_id, mark under the policy's mask, selector."""
    found = _Fitting()
    if policy.selector.family and policy.selector.family != flow.family:
        return Fit(("family",), ())
    found.add("if_id", None if flow.if_id is None else flow.if_id == policy.if_id)
    if policy.mark_mask or policy.mark:
        found.add("mark", None if flow.mark is None else flow.mark & policy.mark_mask == policy.mark)
    own, of_selector = found.result(), selector_fit(policy.selector, flow)
    return Fit((*own.differs, *of_selector.differs), (*own.unknown, *of_selector.unknown))


def selector_fit(selector: Selector, flow: Flow) -> Fit:
    """xfrm_selector_match. An interface in a selector is compared with the route's, which is not known."""
    if selector.family and selector.family != flow.family:
        return Fit(("family",), ())
    found = _Fitting()
    found.add("src", _inside(flow.saddr, selector.saddr, selector.prefixlen_s))
    found.add("dst", _inside(flow.daddr, selector.daddr, selector.prefixlen_d))
    found.add("proto", selector.proto in (0, flow.proto))
    names = port_names(flow.proto)
    for name, port, wanted, mask in (
        (names[0], flow.sport, selector.sport, selector.sport_mask),
        (names[1], flow.dport, selector.dport, selector.dport_mask),
    ):
        if mask:
            found.add(name, None if port is None else not (port ^ wanted) & mask)
    if selector.ifindex:
        found.add("dev", None)
    return found.result()


def port_names(proto: int) -> tuple[str, str]:
    """What `ip xfrm` calls the two numbers of this protocol that a selector has."""
    return ("type", "code") if proto in _ICMP else ("sport", "dport")


def _there_at(config: XfrmConfig, direction: str, at: float) -> Iterator[XfrmPolicy]:
    return (policy for policy in config.policies_by_dir.get(direction, ()) if policy.add_time <= at)


class _Fitting:
    """Collects differences: True fits, False differs, None is not known."""

    def __init__(self) -> None:
        self._differs: list[str] = []
        self._unknown: list[str] = []

    def add(self, name: str, fits: bool | None) -> None:
        if fits is None:
            self._unknown.append(name)
        elif not fits:
            self._differs.append(name)

    def result(self) -> Fit:
        return Fit(tuple(self._differs), tuple(self._unknown))


def _inside(address: Address, network: Address | None, length: int) -> bool:
    if network is None or not length:
        return True
    shift = address.max_prefixlen - length
    return address.version == network.version and int(address) >> shift == int(network) >> shift


def _ports(packet: Packet, proto: int) -> tuple[int | None, int | None]:
    if packet.fragment_offset or packet.more_fragments:
        return 0, 0
    if proto in _ICMP:
        return packet.icmp_type, packet.icmp_code
    if proto in protocols.WITH_PORTS:
        return packet.sport, packet.dport
    return (None, None) if proto in _COMPARED_UNKNOWN else (0, 0)
