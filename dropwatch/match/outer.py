"""What a dropped IPsec packet still shows, and which SA it is for."""

from dataclasses import replace

from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Drop, Packet
from dropwatch.model.ipsec import Lifetime, XfrmState

_PROTOS = frozenset({"esp", "ah", "comp"})


@dataclass(frozen=True, slots=True)
class Outer:
    """What the packet still shows, and the SA that it is for where that is known, without what it has counted."""

    proto: str
    saddr: Address
    daddr: Address
    state: XfrmState | None


def outer_of(drop: Drop, config: XfrmConfig | None) -> Outer | None:
    """None for a packet that is not ESP (also in UDP or TCP), AH or IPComp, or has no addresses."""
    packet = drop.packet
    proto = "esp" if packet.proto in ("udp", "tcp") and packet.spi is not None else packet.proto
    if proto not in _PROTOS or packet.saddr is None or packet.daddr is None:
        return None
    note = drop.event.xfrm
    spi = packet.spi if packet.spi is not None or note is None else note.spi
    state = note.state if note is not None else None
    if state is None or state.proto != proto or spi not in (None, state.spi):
        state = _configured(config, packet, proto, spi) if config is not None and spi is not None else None
    if state is not None:
        state = replace(
            state,
            lifetime=Lifetime(),
            seq=0,
            oseq=0,
            stat_replay_window=0,
            stat_replay=0,
            stat_integrity_failed=0,
        )
    return Outer(proto, packet.saddr, packet.daddr, state)


def _configured(config: XfrmConfig, packet: Packet, proto: str, spi: int | None) -> XfrmState | None:
    """The SA that the kernel looks up by destination, SPI and protocol: one whose mark fits before any other."""
    found = [
        state
        for state in config.states_by_spi.get(spi or 0, ())
        if state.daddr == packet.daddr and state.proto == proto
    ]
    fitting = [state for state in found if packet.mark & state.mark_mask == state.mark]
    return next(iter(fitting or found), None)
