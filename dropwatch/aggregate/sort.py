"""What a person calls the same drop: by cause, object, place, direction, addresses, service port and namespace."""

from typing import NamedTuple

from dropwatch.model.culprits import Culprit
from dropwatch.model.drop import Address, Drop, Finding, Packet, Process
from dropwatch.names.symbols import base_name

# Linux gives clients ports from here on (net.ipv4.ip_local_port_range), and hardly a service has one.
_FIRST_OF_CLIENTS = 32768
_SYN, _SYN_ACK = frozenset("S"), frozenset("SA")
_UNKNOWN = "unknown"
_ONLY_NEAR = "nearest"  # the relation of an SA or a policy that did not do it

# By which keys an object is the same after a reboot, a reload, a rekeying; and what tells two of them in one run.
_LASTING: dict[str, tuple[str, ...]] = {
    "nft-rule": ("family", "table", "chain", "text"),
    "iptables-rule": ("family", "table", "chain", "text"),
    "ebtables-rule": ("family", "table", "chain", "text"),
    "chain-policy": ("family", "table", "chain"),
    "sysctl": ("name",),
    "bpf-program": ("name",),
    "hook-function": ("function", "module", "hook"),
    "queue": ("number",),
    "xfrm-state": ("saddr", "daddr", "proto", "mode", "reqid", "if_id", "mark", "connection", "child"),
    "xfrm-policy": ("dir", "action", "selector", "priority", "if_id", "mark", "default"),
    "socket": ("proto", "address", "port", "peer", "peer_port", "bound_ifindex"),
    "bond-port": ("interface", "master"),
    "qdisc": ("interface", "discipline", "handle", "parent"),
    "tc-filter": ("interface", "parent", "classifier", "pref", "protocol", "handle"),
    "neighbour": ("address", "interface"),
    "route": ("type", "destination", "table", "rule"),
    "bridge-port": ("interface", "bridge", "setting"),
    "interface": ("interface", "setting"),
    "wireguard-peer": ("interface", "public_key"),
    "ipvs-service": ("protocol", "address", "port", "fwmark"),
}
_OF_ONE_RUN: dict[str, tuple[str, ...]] = {
    "nft-rule": ("handle",),
    "iptables-rule": ("number",),
    "ebtables-rule": ("number",),
    "bpf-program": ("id",),
    "xfrm-state": ("spi",),
}

Identity = tuple[object, ...]


class Flow(NamedTuple):
    """Where from and where to, without the port that only this client had.

    `spi` and `icmp` stand for ports, `ethertype` for all of it where there is no IP header.
    """

    family: int | None
    proto: str | None
    saddr: Address | None
    daddr: Address | None
    service: tuple[str, int] | None
    spi: int | None
    icmp: tuple[int | None, int | None]
    ethertype: int | None


NO_FLOW = Flow(
    None, None, None, None, None, None, (None, None), None
)  # of a row that counts packets of any flow


class Sort(NamedTuple):
    """Equal for findings of one sort. `place` is function and module, of an unknown cause also where in it and why."""

    cause: str
    culprit: Identity | None
    place: tuple[object, ...]
    direction: str | None
    flow: Flow
    iface: str | int | None
    netns: tuple[str | None, int] | None


def sort_of(finding: Finding) -> Sort:
    """The sort of a finding, in one run."""
    drop, packet = finding.drop, finding.drop.packet
    icmp = (packet.icmp_type, packet.icmp_code)
    ethertype = drop.event.protocol if packet.family is None else None
    ends = (packet.family, packet.proto, packet.saddr, packet.daddr)
    return Sort(
        cause=finding.cause_id,
        culprit=None if finding.culprit is None else _identity(finding.culprit),
        place=_place(drop, exactly=finding.cause_id == _UNKNOWN),
        direction=drop.where.direction,
        flow=Flow(*ends, service(packet), packet.spi, icmp, ethertype),
        iface=None if drop.iface is None else drop.iface.name or drop.iface.index,
        netns=None if drop.netns is None else (drop.netns.name, drop.netns.inode),
    )


def toll_of(finding: Finding) -> Sort:
    """The broader sort of a table after a run: what one object did is one, wherever and whomever it hit.

    Where none did it (one may be `nearest`), it is one for each flow.
    """
    sort = sort_of(finding)._replace(place=(), direction=None, iface=None)
    return sort._replace(flow=NO_FLOW) if did_it(finding) else sort._replace(culprit=None)


def whose(finding: Finding) -> Process | None:
    """Who has the socket that it was for, else who sent it, else the container or pod whose namespace it died in."""
    drop = finding.drop
    return finding.owner or drop.process or (drop.netns.tenant if drop.netns is not None else None)


def did_it(finding: Finding) -> bool:
    """Whether there is an object, and it is not only the nearest to the packet."""
    return finding.culprit is not None and getattr(finding.culprit, "relation", None) != _ONLY_NEAR


def lasting_sort_of(finding: Finding, own_netns: int | None) -> Sort:
    """The same for comparing runs: without what a reload, a rekeying, a reboot or another kernel changes.

    `own_netns` is whydrop's own namespace in that run; others without a name cannot be told apart.
    """
    sort, drop, culprit = sort_of(finding), finding.drop, finding.culprit
    frame = drop.where.frame
    named = None if drop.netns is None else (drop.netns.name, int(drop.netns.inode == own_netns))
    reason = (drop.reason,) if finding.cause_id == _UNKNOWN else ()
    return sort._replace(
        culprit=None if culprit is None else lasting(culprit),
        place=(base_name(frame.function or ""), frame.module, *reason),
        flow=sort.flow._replace(spi=None),
        netns=named,
    )


def lasting(culprit: Culprit) -> Identity:
    """What an object is known by in every run: without handles, numbers and the like, which a reload changes."""
    return (culprit.kind, *(getattr(culprit, key) for key in _LASTING[culprit.kind]))


def service(packet: Packet) -> tuple[str, int] | None:
    """The port that is the service's: `sport` or `dport`, and its number; None without ports."""
    sport, dport = packet.sport, packet.dport
    if sport is None or dport is None:
        return ("dport", dport) if dport is not None else ("sport", sport) if sport is not None else None
    flags = frozenset(packet.tcp_flags or "")
    clients = sport >= _FIRST_OF_CLIENTS, dport >= _FIRST_OF_CLIENTS
    answers = clients == (False, True) or (not any(clients) and sport < dport)
    if flags == _SYN_ACK or (answers and flags != _SYN):
        return "sport", sport
    return "dport", dport


def _identity(culprit: Culprit) -> Identity:
    return (*lasting(culprit), *(getattr(culprit, key) for key in _OF_ONE_RUN.get(culprit.kind, ())))


def _place(drop: Drop, *, exactly: bool) -> tuple[object, ...]:
    frame = drop.where.frame
    if frame.function is None:
        return (frame.address,)
    name = base_name(frame.function)
    return (name, frame.module, frame.offset, drop.reason) if exactly else (name, frame.module)
