"""What decides where a packet goes, as objects: routes, neighbours, qdiscs, filters of tc, ports of bridges."""

from typing import Annotated, ClassVar, Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.model.word import Text

Interface = Annotated[str | None, "name of its interface; null where that is not known"]


@dataclass(frozen=True, slots=True)
class Qdisc:
    """A queueing discipline of an interface, as it was after the drop."""

    kind: ClassVar[Literal["qdisc"]] = "qdisc"
    text: Text
    interface: Interface
    discipline: Annotated[str, "pfifo, tbf, htb, fq_codel, ..."]
    handle: Annotated[str, "as tc takes it, as 7: ; 0: of one that came by itself"]
    parent: Annotated[str, "root, or the class that it is the queue of, as 1:10"]
    limit: Annotated[int | None, "how much it holds; null where it has no single limit"]
    unit: Annotated[str | None, "of limit: packets or bytes; null without one"]
    packets: Annotated[int, "that it held"]
    bytes: Annotated[int, "that it held"]
    drops: Annotated[int, "that it had counted"]


@dataclass(frozen=True, slots=True)
class TcFilter:
    """A filter of traffic control."""

    kind: ClassVar[Literal["tc-filter"]] = "tc-filter"
    text: Text
    interface: Interface
    parent: Annotated[str, "ingress, egress, or the qdisc that it is of, as 1:"]
    classifier: Annotated[str, "flower, u32, matchall, bpf, ..."]
    pref: Annotated[int, "its priority: what tc filter del takes as pref"]
    protocol: Annotated[str, "ip, ipv6, all, ..."]
    handle: Annotated[str, "as tc takes it"]
    action: Annotated[str | None, "the action that drops: drop, police, bpf, ...; null where it is not known"]
    program: Annotated[int | None, "number of its BPF program, as bpftool prog show id takes it"] = None
    name: Annotated[str | None, "name of that program, as tc has it"] = None
    tag: Annotated[str | None, "sum of its instructions"] = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of the neighbour table, as it was after the drop."""

    kind: ClassVar[Literal["neighbour"]] = "neighbour"
    text: Text
    address: Annotated[str, "of the next hop"]
    interface: Interface
    state: Annotated[str, "as ip neigh shows it: FAILED, INCOMPLETE, STALE, ..."]
    lladdr: Annotated[str | None, "its hardware address"] = None
    confirmed: Annotated[int | None, "seconds since it was last known to be there"] = None


@dataclass(frozen=True, slots=True)
class Route:
    """A route that says what happens to a packet, or the rule of `ip rule` that says so."""

    kind: ClassVar[Literal["route"]] = "route"
    text: Text
    type: Annotated[str, "unreachable, prohibit, blackhole, unicast, ..."]
    destination: Annotated[str | None, "the prefix that it is for; null of a rule"] = None
    table: Annotated[int | None, "of the route"] = None
    rule: Annotated[int | None, "priority of the rule, where that is what decides"] = None


@dataclass(frozen=True, slots=True)
class Device:
    """A network interface, as it was after the drop."""

    kind: ClassVar[Literal["interface"]] = "interface"
    text: Text
    interface: Annotated[str, "its name"]
    type: Annotated[str | None, "as ip link has it: vxlan, gre, macvlan, ..."] = None
    setting: Annotated[str | None, "what the packet does not fit, as ip shows it: `id 77`, `ikey 5`"] = None
    mtu: Annotated[int | None, "bytes"] = None
    state: Annotated[str | None, "as ip link shows it: UP, DOWN, LOWERLAYERDOWN, ..."] = None


@dataclass(frozen=True, slots=True)
class BondPort:
    """An interface that is a port of a bond or team, as it was after the drop."""

    kind: ClassVar[Literal["bond-port"]] = "bond-port"
    text: Text
    interface: Annotated[str, "its name"]
    master: Annotated[str, "name of the bond or team"]
    mode: Annotated[str | None, "of the bond, as ip shows it"]
    active: Annotated[str | None, "name of the bond's active port"]


@dataclass(frozen=True, slots=True)
class BridgePort:
    """A port of a bridge, or the bridge interface itself, as it was after the drop."""

    kind: ClassVar[Literal["bridge-port"]] = "bridge-port"
    text: Text
    interface: Annotated[str, "its name"]
    bridge: Annotated[str, "name of the bridge"]
    setting: Annotated[str, "what refuses the frame, as bridge shows it: `state blocking`, `hairpin off`"]
