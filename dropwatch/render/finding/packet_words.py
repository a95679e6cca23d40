"""A packet as one would say it: who sends what to whom, with the words of ICMP, TCP, ARP and the ethertypes."""

from dataclasses import replace

from dropwatch.aggregate.sort import service
from dropwatch.model.drop import Drop, Event, Match, Packet
from dropwatch.packet import fields_link, fields_transport
from dropwatch.render.finding import phrases

# How a packet belongs to the flow that was asked for.
_CARRIES = {
    "ipsec": "may carry the flow by IPsec",
    "fragment": "a later fragment of the flow",
    "icmp-quote": "an ICMP error about the flow",
    "tunnel": "carries the flow in a tunnel",
    "nat": "the flow, translated",
    "waiting": "waited together with the flow",
}


def said(drop: Drop) -> str:
    """`udp 10.9.0.1:40000 > 10.9.0.2:5000`, `icmp 10.9.0.1 > 10.9.0.2 echo request`, `arp who has 10.9.0.2, ...`."""
    packet = drop.packet
    if packet.proto == "arp":
        return _arp(drop.event)
    if packet.family is None and drop.event.protocol:
        return fields_link.ethertype_words(drop.event.protocol)
    return packet_said(packet)


def packet_said(packet: Packet) -> str:
    """The same of a packet of IP, whose bytes are not needed."""
    words = _with_icmp(packet)
    return f"protocol {words}" if (packet.proto or "").isdigit() else words


def flow_words(drop: Drop) -> str:
    """The same without what differs between the packets of one client: `udp 10.9.0.1 > 10.9.0.2:5000`."""
    packet = drop.packet
    if packet.saddr is None or packet.daddr is None or packet.sport is None:
        return said(drop)
    side, port = service(packet) or (None, None)
    left = phrases.end(packet.saddr, port if side == "sport" else None)
    right = phrases.end(packet.daddr, port if side == "dport" else None)
    spi = "" if packet.spi is None else f" spi 0x{packet.spi:08x}"
    return f"{packet.proto} {left} > {right}{spi}"


def particulars(packet: Packet, *, everything: bool) -> str:
    """As phrases.particulars(), with the flags of TCP in words; `everything`: with length and sequence number."""
    words = phrases.particulars(packet if everything else replace(packet, length=0, seq=None))
    flags = packet.tcp_flags
    return words.replace(f"[{flags}]", f"[{fields_transport.tcp_flag_words(flags)}]", 1) if flags else words


def carries(how: Match) -> str:
    """How it belongs to the flow that was asked for, where it is not a packet of it."""
    return _CARRIES.get(how, "")


def _with_icmp(packet: Packet) -> str:
    if packet.icmp_type is None or packet.icmp_code is None:
        return phrases.flow(packet)
    kind = fields_transport.icmp_words(packet.proto or "", packet.icmp_type, packet.icmp_code)
    about = f" about {_with_icmp(packet.quoted)}" if packet.quoted is not None else ""
    return f"{phrases.ends(packet)} {kind}{about}"


def _arp(event: Event) -> str:
    """As tcpdump has it; a request that is cut short is only `arp`."""
    from dropwatch.packet.headers import headers

    first = next(iter(headers(event)), None)
    fields = dict(first.fields) if first is not None and first.name == "ARP" else {}
    sender, target = str(fields.get("sender") or ""), str(fields.get("target") or "")
    if not sender or not target:
        return "arp"
    own, _, mac = sender.partition(" at ")
    wanted = target.partition(" at ")[0]
    if fields.get("operation") == "reply":
        return f"arp {own} is at {mac}, to {wanted}"
    return f"arp who has {wanted}, tell {own}" if fields.get("operation") == "request" else "arp"
