"""Headers that make no sense, and packets that are shorter than they say: which field it is, read from the bytes."""

from collections.abc import Callable, Iterator

from dropwatch.causes import kernel_word
from dropwatch.causes.family import Judgement
from dropwatch.model.drop import Drop, Evidence
from dropwatch.packet.checksum import folded
from dropwatch.packet.payload import transport

_HEADER, _SUM, _SHORT = "malformed.ip-header", "malformed.ip-checksum", "malformed.truncated"
_REASONS = {"IP_INHDR": _HEADER, "UNHANDLED_PROTO": _HEADER, "IP_CSUM": _SUM, "PKT_TOO_SMALL": _SHORT}
_IPV4, _IPV6, _UDP, _TCP = 20, 40, 8, 20  # bytes of a header without options
# The cause, and the field in words.
Fault = tuple[str, str]


def wrong_header(drop: Drop) -> Judgement | None:
    """With the kernel's reason the field is told; without one the bytes must show what the function looks at."""
    place = kernel_word.place(drop) or ""
    faults = _FAULTS.get(place)
    said = _REASONS.get(drop.reason or "")
    silent = kernel_word.gave_no_reason(drop)
    if faults is None or (said is None and not silent):
        return None
    found = next((fault for fault in faults(drop) if said in (None, fault[0])), None)
    if found is None:
        return None
    cause_id, words = found
    # routing has looked at nothing else before; UDP and TCP have
    judged = kernel_word.certain if said is not None or place in _AT_THE_ENTRANCE else kernel_word.likely
    return cause_id, judged(drop, Evidence("packet", words, "proof"))


def _ipv4(drop: Drop) -> Iterator[Fault]:
    """In the order of ip_rcv_core(), net/ipv4/ip_input.c."""
    data, arrived = drop.event.packet, drop.event.length
    if len(data) < _IPV4:
        return
    version, length = data[0] >> 4, (data[0] & 15) * 4
    if version != 4:
        yield _HEADER, f"the version in the header is {version}, not 4"
    elif length < _IPV4:
        yield _HEADER, f"the length in the header is {length} bytes, less than {_IPV4}"
    elif arrived < length:
        yield _SHORT, f"the header is {length} bytes long, and {arrived} arrived"
    elif len(data) >= length:
        yield from _ipv4_lengths(data[:length], arrived)


def _ipv4_lengths(header: bytes, arrived: int) -> Iterator[Fault]:
    total = int.from_bytes(header[2:4], "big")
    if folded(header) != 0xFFFF:
        stands = int.from_bytes(header[10:12], "big")
        right = 0xFFFF ^ folded(header[:10] + header[12:])
        yield _SUM, f"its checksum is {stands:#06x}, and {right:#06x} would be right"
    elif arrived < total:
        yield _SHORT, f"the total length is {total:,} bytes, and {arrived:,} arrived"
    elif total < len(header):
        yield _HEADER, f"the total length is {total} bytes, less than the header's {len(header)}"


def _ipv6(drop: Drop) -> Iterator[Fault]:
    """In the order of ip6_rcv_core(), net/ipv6/ip6_input.c."""
    data, arrived = drop.event.packet, drop.event.length
    if len(data) < _IPV6:
        return
    payload = int.from_bytes(data[4:6], "big")
    if data[0] >> 4 != 6:
        yield _HEADER, f"the version in the header is {data[0] >> 4}, not 6"
    elif arrived < payload + _IPV6:
        yield _SHORT, f"the payload length is {payload:,} bytes, and {arrived - _IPV6:,} arrived"


def _udp(drop: Drop) -> Iterator[Fault]:
    layer = transport(drop, "udp")
    if layer is None or layer.room < _UDP:
        return
    said, arrived = layer.number(4, 2), drop.packet.length - layer.at
    if said > arrived:
        yield _SHORT, f"the length in the UDP header is {said:,} bytes, and {arrived:,} arrived"
    elif said < _UDP and (said or drop.packet.family == 4):  # 0: a jumbogram of IPv6
        yield _SHORT, f"the length in the UDP header is {said} bytes, less than {_UDP}"


def _tcp(drop: Drop) -> Iterator[Fault]:
    layer = transport(drop, "tcp")
    if layer is None or layer.room < _TCP:
        return
    header, arrived = (layer.number(12, 1) >> 4) * 4, drop.packet.length - layer.at
    if header < _TCP:
        yield _SHORT, f"the data offset says {header} bytes, less than {_TCP}"
    elif header > arrived:
        yield _SHORT, f"the data offset says {header} bytes, and {arrived} arrived"


_AT_THE_ENTRANCE = frozenset({"ip_rcv_core", "ip6_rcv_core"})
_FAULTS: dict[str, Callable[[Drop], Iterator[Fault]]] = {
    "ip_rcv_core": _ipv4,
    "ip6_rcv_core": _ipv6,
    **dict.fromkeys(("__udp4_lib_rcv", "__udp6_lib_rcv", "udp_rcv", "udpv6_rcv"), _udp),
    **dict.fromkeys(("tcp_v4_rcv", "tcp_v6_rcv"), _tcp),
}
