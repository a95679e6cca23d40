"""Checksums of TCP, UDP and ICMP: what stands in the packet, and what would be right."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.family import Judgement
from dropwatch.causes.malformed.catalogue import OFFLOAD
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.packet.payload import udp_checksum
from dropwatch.packet.transport_sum import TransportSum, transport_sum

# Where the checksum is looked at before anything else that refuses a packet there; kernels without reasons name it by
# nothing else.
_SUMMED = {
    "tcp": ("TCP_CSUM", frozenset({"tcp_v4_rcv", "tcp_v6_rcv", "tcp_v4_do_rcv", "tcp_v6_do_rcv"})),
    "udp": (
        "UDP_CSUM",
        frozenset({"__udp4_lib_rcv", "__udp6_lib_rcv", "udp_rcv", "udpv6_rcv"})
        | {"udp_queue_rcv_one_skb", "udpv6_queue_rcv_one_skb"},
    ),
    "icmp": ("ICMP_CSUM", frozenset({"icmp_rcv"})),
    "icmp6": ("ICMP_CSUM", frozenset({"icmpv6_rcv"})),
}
_UNFINISHED = "the sum over its addresses alone, to which a card would have added the rest"


def wrong_sum(drop: Drop, host: Host) -> Judgement | None:
    del host
    proto = drop.packet.proto or ""
    reason, places = _SUMMED.get(proto, (None, frozenset[str]()))
    # kernels that name the checksums of TCP and UDP have named it
    silent = kernel_word.gave_no_reason(drop) if proto.startswith("icmp") else drop.reason is None
    gave_none = silent and kernel_word.place(drop) in places
    if reason is None or (drop.reason != reason and not gave_none):
        return None
    found = transport_sum(drop)
    if found is None or found.stands == found.right:
        return None
    cause_id = f"malformed.{'icmp' if proto == 'icmp6' else proto}-checksum"
    if found.is_unfinished:
        return None if gave_none else (cause_id, _unfinished(drop, found))
    if found.right is None:
        return None
    said = kernel_word.likely if gave_none else kernel_word.certain
    return cause_id, said(drop, _sums(found))


def _unfinished(drop: Drop, found: TransportSum) -> Verdict:
    fact = Evidence("packet", f"its checksum is {found.stands:#06x}: {_UNFINISHED}", "proof")
    title = f"its sender left the {(drop.packet.proto or '').upper()} checksum to the hardware, and nobody finished it"
    return replace(kernel_word.certain(drop, fact), title=title, fix=of_catalogue((OFFLOAD,), drop))


def _sums(found: TransportSum) -> Evidence:
    return Evidence(
        "packet", f"its checksum is {found.stands:#06x}, and {found.right:#06x} would be right", "proof"
    )


def udp_without_checksum(drop: Drop, host: Host) -> Verdict | None:
    if drop.reason != "UDP_CSUM" or drop.packet.family != 6 or udp_checksum(drop) != 0:
        return None
    return kernel_word.certain(drop, Evidence("packet", "the UDP checksum is 0: the sender computed none"))
