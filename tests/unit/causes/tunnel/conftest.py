"""Drops at the ends of tunnels: bytes, place and interface, parsed as a run does it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.model.drop import Drop, Frame, Interface, Where
from dropwatch.packet.parse import parse_event

Died = Callable[..., Drop]


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., object]) -> Died:
    """At `place`, the first of `way`, outwards."""

    def build(
        place: str,
        packet: bytes,
        *way: str,
        reason: str | None = "NOT_SPECIFIED",
        ifindex: int = 2,
        link: bytes = b"",
        protocol: int = 0x0800,
    ) -> Drop:
        event = make_event(packet=packet, length=len(packet), ifindex=ifindex, link=link, protocol=protocol)
        frames = tuple(Frame(name, 1, None, 0) for name in (place, *way))
        drop = make_drop(event=event, reason=reason, iface=Interface(ifindex, "eth0"))
        return replace(
            drop, packet=parse_event(drop.event), where=Where(frames[0], "tunnel", "in"), stack=frames
        )

    return build
