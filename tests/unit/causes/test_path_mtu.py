"""Smaller packets: where TCP is told of it."""

from collections.abc import Callable
from dataclasses import replace

from dropwatch.causes.path_mtu import smaller_segments
from dropwatch.model.drop import Drop, Event, Packet


def test_a_packet_of_our_own_never_passes_the_chain_of_forwarded_ones(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> None:
    drop = make_drop(make_packet(proto="tcp"), make_event(skb_iif=0))
    own = replace(drop, where=replace(drop.where, direction="out"))
    (fix,) = smaller_segments(own)
    assert fix.command is not None
    assert " -A OUTPUT " in fix.command
    forwarded = replace(own, event=make_event(skb_iif=3))
    (fix,) = smaller_segments(forwarded)
    assert fix.command is not None
    assert " -A FORWARD " in fix.command
