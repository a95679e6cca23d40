"""What the steps and the end of a journey are called."""

from collections.abc import Sequence

from dropwatch.model.drop import Packet, Process
from dropwatch.model.journey import End, Kind, NetfilterAnswer, RawStep, Step
from dropwatch.model.netfilter import FAMILIES, hook_word
from dropwatch.names import symbols

STEP_WORDS: dict[Kind, str] = {
    "call": "",
    "return": "",
    "receive": "arrives",
    "queue": "handed to the device's queue",
    "transmit": "handed to the driver",
    "consumed": "freed, its work is done",
    "copied": "copied to another buffer",
    "verdict": "",
}
# Where a packet is put into the receive queue of a socket, or into the state of its connection (net/ipv4/udp.c,
# net/core/sock.c, net/ipv4/tcp_input.c).
DELIVERING = frozenset(
    {
        *("__udp_enqueue_schedule_skb", "skb_consume_udp"),
        *("sock_queue_rcv_skb", "__sock_queue_rcv_skb", "sock_queue_rcv_skb_reason"),
        *("tcp_rcv_established", "tcp_rcv_state_process", "tcp_data_queue"),
    }
)
# What may put the data of a packet into another one (net/core/gro.c, net/ipv4/tcp_ipv4.c). GRO frees nothing: the
# earlier packet has the buffer then, or its data; if it refuses, steps follow.
GRO = frozenset({"skb_gro_receive", "skb_gro_receive_list"})
_JOINING = GRO | {"tcp_add_backlog"}
# Where the route has just been chosen.
ROUTED = frozenset({"ip_forward", "ip6_forward", "__ip_local_out", "__ip6_local_out"})
_VERDICTS = {0: "drop", 1: "accept", 2: "stolen", 3: "queue", 4: "repeat", 5: "stop"}  # linux/netfilter.h
_PROTECTED = frozenset({"esp", "ah", "comp"})


def answer(raw: RawStep, function: str | None) -> NetfilterAnswer:
    """What a verdict step says. The chain of a legacy table is that of its hook."""
    family = FAMILIES.get(raw.family)
    hook = hook_word(family, raw.hook)
    legacy = symbols.base_name(function or "").endswith("t_do_table")
    verdict = raw.value & 0xFF
    return NetfilterAnswer(
        engine="iptables" if legacy else "nftables",
        family=family,
        table=raw.table,
        chain=(hook.upper() if hook else None) if legacy else raw.chain,
        hook=hook,
        verdict=_VERDICTS.get(verdict, str(verdict)),
    )


def change(before: Packet, now: Packet) -> str | None:
    """What is another than before, in words; None when the flow is the same."""
    if _flow(before) == _flow(now):
        return None
    if now.proto in _PROTECTED and before.proto not in _PROTECTED:
        return f"IPsec applied: now {endpoints(now)}"
    if before.proto in _PROTECTED and now.proto not in _PROTECTED:
        return f"IPsec removed: now {endpoints(now)}"
    if before.proto == now.proto and before.family == now.family:
        if now.fragment_offset or before.fragment_offset:
            return None
        return f"rewritten: now {endpoints(now)}"
    return f"now {endpoints(now)}"


def endpoints(packet: Packet) -> str:
    """`10.9.0.1:41000 > 10.9.0.2:5000 udp`."""
    spi = f" SPI {packet.spi:#010x}" if packet.spi is not None else ""
    return f"{_end_of(packet.saddr, packet.sport)} > {_end_of(packet.daddr, packet.dport)} {packet.proto or '?'}{spi}"


def end_words(end: End, steps: Sequence[Step], process: Process | None, left_out: int) -> str:
    """How it ended, in one sentence without a full stop."""
    last = next((step for step in reversed(steps) if step.kind != "return"), None)
    more = f"; {left_out} more steps not shown" if left_out else ""
    if end == "dropped":
        return f"the kernel dropped it{more}"
    if end == "delivered":
        if process:
            return f"{process.comm}[{process.pid}] read it{more}"
        waits = last is not None and last.kind == "call"
        return f"in a socket's queue{', not yet read' if waits else ''}{more}"
    if end == "sent":
        iface = next((step.iface for step in reversed(steps) if step.kind == "transmit" and step.iface), None)
        return f"sent via {iface.name if iface and iface.name else 'a device'}{more}"
    if end == "consumed":
        function = last.frame.function if last else None
        if (joining := joined_by(steps)) is not None:
            return f"merged into an earlier packet of its flow by {joining}(){more}"
        return f"{function}() consumed it{more}" if function else f"the kernel consumed it{more}"
    where = f", last in {last.frame.function or STEP_WORDS[last.kind]}" if last else ""
    return f"no further steps: it still waits somewhere, or a probe missed it{where}{more}"


def joined_by(steps: Sequence[Step]) -> str | None:
    """The function that has put its data into another packet, if that was the last it met."""
    last = next((step.frame.function for step in reversed(steps) if step.kind == "call"), None)
    return last if symbols.base_name(last or "") in _JOINING else None


def _flow(packet: Packet) -> tuple[object, ...]:
    spi = packet.spi
    return packet.family, packet.proto, packet.saddr, packet.daddr, packet.sport, packet.dport, spi


def _end_of(address: object, port: int | None) -> str:
    if address is None:
        return "?"
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"
