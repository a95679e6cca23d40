"""A packet's bytes become its headers, one after the other, with the tunnels and ICMP errors in it opened."""

from dropwatch.model.drop import Event
from dropwatch.model.header import Header
from dropwatch.packet import header_ip, header_link, header_transport, header_tunnels
from dropwatch.packet.header_view import Decoder, Step, View

_MOST_HEADERS = 48  # 256 bytes hold no more that make sense
_DEEPEST = 6


def _inside(decoder: Decoder) -> Decoder:
    """The same header, as another packet carried by the one before."""
    return lambda view: decoder(view.inside(0))


_DECODERS: dict[str, Decoder] = {
    "ethernet": header_link.ethernet,
    "vlan": header_link.vlan,
    "mpls": header_link.mpls,
    "arp": header_link.arp,
    "ipv4": header_ip.ipv4,
    "ipv6": header_ip.ipv6,
    "ipv4-inside": _inside(header_ip.ipv4),
    "ipv6-inside": _inside(header_ip.ipv6),
    "ethernet-inside": _inside(header_link.ethernet),
    "hop-by-hop": header_ip.hop_by_hop,
    "destination": header_ip.destination,
    "routing": header_ip.routing,
    "fragment": header_ip.fragment,
    "tcp": header_transport.tcp,
    "udp": header_transport.udp,
    "ports": header_transport.ports,
    "sctp": header_transport.sctp,
    "icmp": header_transport.icmp,
    "icmp6": header_transport.icmp6,
    "igmp": header_transport.igmp,
    "esp": header_tunnels.esp,
    "ah": header_tunnels.ah,
    "ipcomp": header_tunnels.ipcomp,
    "gre": header_tunnels.gre,
    "vxlan": header_tunnels.vxlan,
    "geneve": header_tunnels.geneve,
}


def headers(event: Event) -> tuple[Header, ...]:
    """Every header in the record, in the order of the bytes, then the data; together they cover every byte once.

    Bytes behind the length that the headers give (Ethernet pads short packets) come last, as `padding`.
    """
    data = event.packet
    step = Step(Header("", 0, 0), View(data, 0, len(data)), _first_kind(event))
    found: list[Header] = []
    while step.kind is not None and step.rest.room and len(found) < _MOST_HEADERS:
        if step.rest.depth > _DEEPEST:
            break
        step = _DECODERS[step.kind](step.rest)
        found.append(step.header)
    rest = step.rest
    if rest.room:
        found.append(
            Header(step.data_name, rest.at, rest.room, depth=rest.depth, quoted=rest.quoted, is_data=True)
        )
    if len(data) > rest.end:
        found.append(Header("padding", rest.end, len(data) - rest.end, is_data=True))
    return tuple(found)


def _first_kind(event: Event) -> str | None:
    """By the ethertype; the kernel may not have set it yet on the way out: then the first four bits tell."""
    if event.protocol:
        return header_link.kind_of(event.protocol)
    return {4: "ipv4", 6: "ipv6"}.get(event.packet[0] >> 4) if event.packet else None
