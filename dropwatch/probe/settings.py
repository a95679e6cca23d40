"""The user's filter in the form that the kernel's filter reads (bpf/settings.h)."""

from collections.abc import Iterable

from dropwatch.model.expression import Expression
from dropwatch.model.filter import Filter, Network, PortRange
from dropwatch.names import protocols
from dropwatch.names.foreign import raw_name
from dropwatch.probe.kernel_numbers import KernelNumbers
from dropwatch.wire.settings import ALTERNATIVES, NAME_BYTES, ExpressionKind, Mark, Prefix, Settings
from dropwatch.wire.settings import PortRange as WirePorts


def settings(wanted: Filter, kernel: KernelNumbers, send_all: bool, *, first_of_a_sort: int = 0) -> Settings:
    """A kind with more than ALTERNATIVES values is left to user space, which repeats the whole filter. So is what is
    excluded, and whose packet it is."""
    protos = wanted.protos or frozenset(proto for proto, _ in wanted.icmp_types)
    made = Settings(
        netns_operations=kernel.netns_operations,
        blackhole_mtu=kernel.blackhole_mtu,
        per_cpu_value=kernel.per_cpu_value,
        current_kprobe=kernel.current_kprobe,
        bpf_prog_active=kernel.bpf_prog_active,
        send_all=send_all,
        first_of_a_sort=0 if _is_left_to_us(wanted) else first_of_a_sort,
        asks_flow=wanted.names_flow_by_options,
        asks_arp=protocols.ARP in wanted.protos,
        asks_expression=_kind(wanted.expression),
        families=sum({4: 1, 6: 2}[family] for family in wanted.families),
        asks_proto=bool(protos),
    )
    for proto in protos - protocols.ETHERTYPES.keys():
        made.protos[proto // 64] |= 1 << proto % 64
    _fill(made, "saddr", [_prefix(network) for network in wanted.saddr])
    _fill(made, "daddr", [_prefix(network) for network in wanted.daddr])
    _fill(made, "host", [_prefix(network) for network in wanted.host])
    _fill(made, "sport", _ranges(wanted.sport))
    _fill(made, "dport", _ranges(wanted.dport))
    _fill(made, "port", _ranges(wanted.port))
    _fill(made, "netns", list(wanted.netns), "netnses")
    _fill(made, "mark", [Mark(value & mask, mask) for value, mask in wanted.marks])
    if len(wanted.ifaces) <= ALTERNATIVES:
        made.ifaces = len(wanted.ifaces)
        for at, name in enumerate(wanted.ifaces):
            made.iface[at].value = raw_name(name)[: NAME_BYTES - 1]
    return made


def _kind(expression: Expression | None) -> ExpressionKind:
    if expression is None:
        return ExpressionKind.NONE
    return ExpressionKind.TAG if expression.asks_tag else ExpressionKind.PLAIN


def _is_left_to_us(wanted: Filter) -> bool:
    """Whether packets that the programs count as equal may fit the filter or not."""
    kinds = (wanted.saddr, wanted.daddr, wanted.host, wanted.sport, wanted.dport, wanted.port, wanted.marks)
    return any(len(values) > ALTERNATIVES for values in kinds) or bool(wanted.but or wanted.owner)


def is_whole(wanted: Filter) -> bool:
    """Whether the kernel's filter holds every value of it."""
    return not _is_left_to_us(wanted) and len(wanted.netns) <= ALTERNATIVES


def _fill(made: Settings, kind: str, values: Iterable[object], count: str | None = None) -> None:
    values = list(values)
    if len(values) > ALTERNATIVES:
        return
    setattr(made, count or f"{kind}s", len(values))
    for at, value in enumerate(values):
        getattr(made, kind)[at] = value


def _ranges(ranges: Iterable[PortRange]) -> list[WirePorts]:
    return [WirePorts(first, last) for first, last in ranges]


def _prefix(network: Network) -> Prefix:
    """IPv4 becomes ::ffff:a.b.c.d, so that one comparison serves both families."""
    address = network.network_address.packed
    mask = network.netmask.packed
    if network.version == 4:
        address = bytes(10) + b"\xff\xff" + address
        mask = b"\xff" * 12 + mask
    return Prefix.from_buffer_copy(address + mask)
