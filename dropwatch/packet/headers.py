"""Every header of a packet as it is shown, one after the other, with the tunnels and ICMP errors in it opened."""

from dropwatch.model.drop import Event
from dropwatch.model.header import Header
from dropwatch.packet import fields_ip, fields_link, fields_transport, fields_tunnel
from dropwatch.packet.field import REST, Field, Shown
from dropwatch.packet.ip import VERSIONS
from dropwatch.packet.layer import Layer, Place
from dropwatch.packet.link import WHOLE_ARP
from dropwatch.packet.walk import KINDS, walk_event

_SHOWN = {**fields_link.SHOWN, **fields_ip.SHOWN, **fields_transport.SHOWN, **fields_tunnel.SHOWN}
_IS_DATA = frozenset({"ike", "keepalive"})
# What stands behind a header, where that has another name than data.
_DATA_NAMES = {
    "esp": "ESP payload",
    "comp": "compressed data",
    "sctp": "chunks",
    "ike": "IKE",
}
_NEIGHBOUR_DISCOVERY = range(133, 138)


def headers(event: Event) -> tuple[Header, ...]:
    """Every header in the record, in the order of the bytes, then the data; together they cover every byte once.

    Bytes behind the length that the headers give (Ethernet pads short packets) come last, as `padding`.
    """
    walked = walk_event(event)
    found: list[Header] = []
    name = "data"
    rest: Layer | Place = walked.rest
    for layer in walked.layers:
        if layer.problem == "version":
            found.append(_wrong_version(layer))
            name, rest = "data", layer
            break
        name = _data_name(layer)
        if layer.kind in _IS_DATA:
            rest = layer
            break
        if layer.room:
            found.append(_header(layer))
    if rest.room:
        found.append(Header(name, rest.at, rest.room, (), rest.depth, rest.quoted, is_data=True))
    if len(walked.data) > rest.limit:
        found.append(Header("padding", rest.limit, len(walked.data) - rest.limit, is_data=True))
    return tuple(found)


def _header(layer: Layer) -> Header:
    name, fields = _SHOWN[layer.kind]
    values = ((field.name, _value(layer, field)) for field in fields)
    shown = {field: value for field, value in values if value is not None}
    length = layer.end - layer.at
    error = _error(layer, shown.get("header"))
    return Header(name, layer.at, length, tuple(shown.items()), layer.depth, layer.quoted, error=error)


def _value(layer: Layer, field: Field) -> Shown:
    """None also where the record does not have all of it."""
    length = layer.end - layer.at
    if field.size == REST:
        there, size = length >= KINDS[layer.kind].least, max(length - field.at, 0)
    else:
        there, size = field.at + field.size <= layer.room, field.size
    return field.show(layer.bytes(field.at, size)) if there else None


def _error(layer: Layer, stated: Shown) -> str | None:
    """Why reading stopped here."""
    if layer.problem == "cut":
        return f"only {layer.room} of its {layer.needed} bytes are in the record"
    if layer.problem == "length":
        length = f" {stated}" if stated is not None else ""
        return f"its header length{length} is less than {layer.needed} bytes"
    return None


def _wrong_version(layer: Layer) -> Header:
    version = layer.number(0, 1) >> 4
    announced = layer.kind if version != VERSIONS[layer.kind] else "ipv6" if version == 4 else "ipv4"
    error = f"its first byte says IP version {version}"
    return Header(_SHOWN[announced][0], layer.at, 0, (), layer.depth, layer.quoted, error=error)


def _data_name(last: Layer) -> str:
    offset = {"ipv4": last.number(6, 2) & 0x1FFF, "fragment": last.number(2, 2) & 0xFFF8}.get(last.kind)
    if offset:
        return "fragment data"
    if last.kind == "icmp6" and last.number(0, 1) in _NEIGHBOUR_DISCOVERY:
        return "options"
    if last.kind == "arp" and last.needed == WHOLE_ARP:
        return "padding"
    return _DATA_NAMES.get(last.kind, "data")
