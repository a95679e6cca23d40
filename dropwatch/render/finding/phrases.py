"""Parts of a finding as short phrases: flow, place, interface."""

from dropwatch.model.drop import Address, Drop, Frame, Packet, Process

OBJECT_WORDS = {
    "xfrm-state": "SA",
    "xfrm-policy": "IPsec policy",
    "iptables-rule": "iptables rule",
    "ebtables-rule": "ebtables rule",
    "nft-rule": "nftables rule",
    "bpf-program": "BPF program",
    "tc-filter": "tc filter",
}
_FAMILIES = {4: "ip", 6: "ip6"}
_ID, _BRIEF = 64, 12  # characters of a container's id, and those that its runtime shows


def object_words(kind: str) -> str:
    """`SA` for `xfrm-state`, `chain policy` for `chain-policy`."""
    return OBJECT_WORDS.get(kind, kind.replace("-", " "))


def flow(packet: Packet) -> str:
    """`udp 10.9.0.1:40000 > 10.9.0.2:5000`, `esp 10.9.0.1 > 10.9.0.2 spi 0x00001001`, `arp`."""
    words = [ends(packet)]
    if packet.spi is not None:
        words.append(f"spi 0x{packet.spi:08x}")
    if packet.icmp_type is not None:
        words.append(f"type {packet.icmp_type} code {packet.icmp_code}")
    return " ".join(words)


def ends(packet: Packet) -> str:
    """`udp 10.9.0.1:40000 > 10.9.0.2:5000`, `esp 10.9.0.1 > 10.9.0.2`, `arp`."""
    proto = packet.proto or _FAMILIES.get(packet.family or 0, "packet")
    if packet.saddr is None or packet.daddr is None:
        return proto
    return f"{proto} {end(packet.saddr, packet.sport)} > {end(packet.daddr, packet.dport)}"


def end(address: Address, port: int | None) -> str:
    """`10.9.0.1:5000`, `[fd09::1]:5000`, or the address alone."""
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def particulars(packet: Packet) -> str:
    """`seq 7 len 48 mark 0x10`: what tells this packet from the others of its flow."""
    words = []
    if packet.tcp_flags:
        words.append(f"[{packet.tcp_flags}]")
    if packet.seq is not None:
        words.append(f"seq {packet.seq}")
    if packet.fragment_offset or packet.more_fragments:
        words.append(f"fragment {packet.fragment_id} at {packet.fragment_offset}")
    if packet.length:
        words.append(f"len {packet.length}")
    if packet.mark:
        words.append(f"mark 0x{packet.mark:x}")
    if packet.header_error:
        words.append(f"({packet.header_error})")
    return " ".join(words)


def interface(drop: Drop, own_netns: int | None) -> str:
    """`in vb, netns b`."""
    name = (drop.iface.name or f"interface {drop.iface.index}") if drop.iface is not None else ""
    parts = (f"{drop.where.direction or ''} {name}".strip(), netns(drop, own_netns))
    return ", ".join(part for part in parts if part)


def netns(drop: Drop, own_netns: int | None) -> str:
    """`netns b`, or nothing when it is whydrop's own."""
    if drop.netns is None or (drop.netns.name is None and drop.netns.inode == own_netns):
        return ""
    name = drop.netns.name or str(drop.netns.inode)
    if drop.netns.tenant is None:
        return f"netns {name}"
    if drop.netns.name is None or name.startswith("pid "):  # nobody has named it
        return f"netns of {tenant(drop.netns.tenant)}"
    return f"netns {name} of {tenant(drop.netns.tenant)}"


def tenant(known: Process) -> str:
    """`pod shop/cart-0`, `container web`: by their names, or the beginning of an id."""
    if known.pod_name is not None:
        return f"pod {known.pod_namespace}/{known.pod_name}"
    if known.pod is not None:
        return f"pod {known.pod}"
    return f"container {known.container_name or _brief(known.container or '')}"


def process(known: Process) -> str:
    """`nginx (pid 812), unit nginx.service`; `container 3f...` where only the cgroup of its socket is known."""
    words = [f"{known.comm} (pid {known.pid})"] if known.pid is not None else []
    named = None if known.pod_name is None else f"{known.pod_namespace}/{known.pod_name}"
    called = known.container_name and f"{known.container_name} {_brief(known.container or '')}"
    for name, value in (
        ("unit", known.unit),
        ("container", called or known.container),
        ("pod", named or known.pod),
    ):
        if value is not None:
            words.append(f"{name} {value}")
    return ", ".join(words)


def _brief(container: str) -> str:
    """The beginning of an id; a name as it is."""
    return container[:_BRIEF] if len(container) == _ID else container


def place(frame: Frame) -> str:
    """`xfrm_input+0x1df`, `esp_input+0x1c [esp4]`, or the bare address where there are no names."""
    if frame.function is None:
        return f"0x{frame.address:x}"
    return f"{frame.function}+0x{frame.offset:x}" + (f" [{frame.module}]" if frame.module else "")
