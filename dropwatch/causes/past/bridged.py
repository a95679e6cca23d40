"""A frame that a bridge only passes on met the rules of IP: somebody has turned that on."""

from collections.abc import Iterator

from dropwatch.causes import kernel_word, pinned
from dropwatch.host.host import Host
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Decision, Drop, Verdict

_TABLES = {4: "iptables", 6: "ip6tables"}


def decisions(drop: Drop, host: Host, cause_id: str | None, verdict: Verdict) -> Iterator[Decision]:
    """What the frame carries of br_netfilter, read at the drop, and that it died in its hooks."""
    past, family = drop.event.past, drop.packet.family
    if past is None or not past.bridge_port or family not in _TABLES:
        return
    if not any(name.startswith("br_nf_") for name in kernel_word.way(drop)):
        return
    event = drop.event
    name = host.interface_name(event.netns, past.bridge_port, event.monotonic_ns)
    frame = f"bridged frame of port {name}" if name else "bridged frame"
    sysctl = f"net.bridge.bridge-nf-call-{_TABLES[family]}"
    seen = ("extension SKB_EXT_BRIDGE_NF of the packet, at the drop",)
    value = host.sysctl(event.netns, sysctl, event.monotonic_ns)
    if value is None:
        yield Decision(f"{frame}, passed to the IP rules by br_netfilter", "certain", None, seen)
        return
    if not value.value:
        text = f"{frame}, passed to the IP rules by the bridge's own nf_call_{_TABLES[family]}"
        yield Decision(text, "likely", None, (*seen, f"sysctl {sysctl} is 0"))
        return
    doubts = pinned.doubts(drop, host, pinned.Source("sysctls", value.read_at_ns))
    yield Decision(
        f"{frame}, passed to {_TABLES[family]} because {sysctl} is {value.value}",
        "likely" if doubts else "certain",
        Sysctl(f"{sysctl} = {value.value}", sysctl, value.value),
        (*seen, f"sysctl {sysctl} is {value.value}", *(doubt.text for doubt in doubts)),
    )
