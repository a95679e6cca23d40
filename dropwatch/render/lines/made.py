"""The parts of a line, made of the model."""

from functools import lru_cache

from dropwatch.model import drop as model
from dropwatch.names.cause_address import cause_url
from dropwatch.render.clock import time_words
from dropwatch.render.lines.parts import Cause, Frame, Interface, Netns, Packet, Process, Tenant


def time_text(seconds: float) -> str:
    """Seconds since 1970 as the JSON has them: UTC, to the microsecond."""
    return time_words(seconds, "utc")


@lru_cache(maxsize=1024)
def address_text(address: model.Address | None) -> str | None:
    return None if address is None else str(address)


def packet(known: model.Packet) -> Packet:
    return Packet(
        family=known.family,
        proto=known.proto,
        saddr=address_text(known.saddr),
        daddr=address_text(known.daddr),
        sport=known.sport,
        dport=known.dport,
        length=known.length or None,
        mark=known.mark,
        spi=None if known.spi is None else f"0x{known.spi:08x}",
        seq=known.seq,
        ttl=known.ttl,
        tcp_flags=known.tcp_flags,
        icmp_type=known.icmp_type,
        icmp_code=known.icmp_code,
        fragment_id=known.fragment_id,
        fragment_offset=known.fragment_offset,
        more_fragments=known.more_fragments,
        header_error=known.header_error,
    )


def frame(place: model.Frame) -> Frame:
    """A place without a name keeps its address, the only thing that is known of it."""
    if place.function is None:
        return Frame(function=None, offset=None, module=place.module, address=f"0x{place.address:x}")
    return Frame(function=place.function, offset=place.offset, module=place.module)


def iface(known: model.Interface | None) -> Interface | None:
    return None if known is None else Interface(index=known.index, name=known.name)


def netns(known: model.Netns | None) -> Netns | None:
    return None if known is None else Netns(inode=known.inode, name=known.name, tenant=_tenant(known.tenant))


def cause(cause_id: str, title: str, confidence: model.Confidence) -> Cause:
    return Cause(id=cause_id, title=title, confidence=confidence, url=cause_url(cause_id))


def process(known: model.Process | None) -> Process | None:
    if known is None:
        return None
    return Process(
        pid=known.pid,
        comm=known.comm,
        unit=known.unit,
        container=known.container,
        pod=known.pod,
        pod_name=known.pod_name,
        pod_namespace=known.pod_namespace,
        container_name=known.container_name,
    )


def _tenant(known: model.Process | None) -> Tenant | None:
    if known is None:
        return None
    return Tenant(
        container=known.container,
        container_name=known.container_name,
        pod=known.pod,
        pod_name=known.pod_name,
        pod_namespace=known.pod_namespace,
    )
