"""The counters of the kernel that tell of lost packets, by every name by which people know them."""

from collections.abc import Mapping
from functools import cache

from dropwatch.explain import catalogue
from dropwatch.model.dataclass import dataclass
from dropwatch.names import symbols

# The part of a protocol's counter in front of its own name in /proc/net, the longer first.
_PROTOCOLS = (
    *("UdpLite6", "UdpLite", "IcmpMsg", "IpExt", "TcpExt", "Icmp6", "Udp6", "Ip6", "MPTcpExt"),
    *("Icmp", "Tcp", "Udp", "Ip"),
)
_KINDS = {
    "protocol": "nstat -az",
    "nic": "ip -s -s link",
    "qdisc": "tc -s qdisc show",
    "softnet": "cat /proc/net/softnet_stat",
}


@dataclass(frozen=True, slots=True)
class KnownCounter:
    """`kind` as in symbols/counters.toml; `words` is None for one that only pages of causes look at."""

    name: str
    kind: str
    words: symbols.CounterWords | None
    raised_by: tuple[str, ...]
    shown_by: str


@cache
def counters() -> Mapping[str, KnownCounter]:
    """All, by name: `TcpExtListenDrops`, `rx_dropped`, `softnet.dropped`."""
    found: dict[str, KnownCounter] = {}
    for kind in symbols.COUNTER_KINDS:
        for name, words in symbols.counters(kind).items():
            full = name if kind in ("protocol", "nic") else f"{kind}.{name}"
            found[full] = KnownCounter(full, kind, words, words.causes, _shown_by(kind, name))
    lookers: dict[str, list[str]] = {}
    for cause in catalogue.causes().values():
        for name in cause.counters:
            if name not in found and f"qdisc.{name}" not in found and f"softnet.{name}" not in found:
                lookers.setdefault(name, []).append(cause.id)
    for name, causes in sorted(lookers.items()):
        found[name] = KnownCounter(name, "protocol", None, tuple(causes), _shown_by("protocol", name))
    return found


def names_of(counter: KnownCounter) -> tuple[str, ...]:
    """`TcpExtListenDrops` and `ListenDrops`; `softnet.time_squeeze` and `time_squeeze`; `dropped` is no name."""
    if counter.kind in ("qdisc", "softnet"):
        own = counter.name.partition(".")[2]
        return (counter.name, own) if "_" in own else (counter.name,)
    prefix = next((one for one in _PROTOCOLS if counter.name.startswith(one)), "")
    return (
        (counter.name, counter.name.removeprefix(prefix))
        if counter.kind == "protocol" and prefix
        else (counter.name,)
    )


def _shown_by(kind: str, name: str) -> str:
    if name.startswith("Xfrm"):
        return f"grep {name} /proc/net/xfrm_stat"
    return f"{_KINDS[kind]} {name}" if kind == "protocol" else _KINDS[kind]
