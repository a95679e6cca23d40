"""Which SAs come closest to a packet that none fits, and what they have other than it."""

from collections.abc import Callable, Iterable
from itertools import islice

from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.text import spi_text
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.model.ipsec import XfrmState

_LOOKED_AT = 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the packet would have needed: the kernel looks an SA up by daddr, SPI, protocol and mark."""

    saddr: Address
    daddr: Address
    proto: str
    spi: int
    mark: int


@dataclass(frozen=True, slots=True)
class Near:
    """An SA and how it differs, as words by what differs: `spi`, `dst`, `proto`, `mark`, `dir`, `src`.

    Without any difference it is the SA that was needed.
    """

    state: XfrmState
    differences: dict[str, str]


def nearest(
    wanted: Wanted,
    states: Iterable[XfrmState],
    count: int = 3,
    is_doubtful: Callable[[XfrmState], bool] = lambda _: False,
) -> tuple[Near, ...]:
    """The SAs that come closest, the closest first; one that may not have been there yet comes behind its equals."""
    found = [Near(state, _differences(wanted, state)) for state in dict.fromkeys(states)]
    return tuple(
        sorted(
            found, key=lambda one: (*_distance(one), is_doubtful(one.state), -one.state.lifetime.add_time)
        )[:count]
    )


def candidates(wanted: Wanted, config: XfrmConfig) -> Iterable[XfrmState]:
    """A few of each sort: a gateway has ten thousand SAs, and nearly all of them have nothing to do with this."""
    yield from islice(config.states_by_spi.get(wanted.spi, ()), _LOOKED_AT)
    yield from config.states_by_hosts.get((wanted.saddr, wanted.daddr), ())
    yield from islice(config.states_by_daddr.get(wanted.daddr, ()), _LOOKED_AT)
    yield from config.states_by_hosts.get((wanted.daddr, wanted.saddr), ())
    yield from islice(config.states, _LOOKED_AT)


def _differences(wanted: Wanted, state: XfrmState) -> dict[str, str]:
    found = {}
    if state.spi != wanted.spi:
        found["spi"] = f"SPI {spi_text(state.spi)}, not {spi_text(wanted.spi)}"
    if state.daddr != wanted.daddr:
        found["dst"] = f"dst {state.daddr}, not {wanted.daddr}"
    if state.proto != wanted.proto:
        found["proto"] = f"proto {state.proto}, not {wanted.proto}"
    if wanted.mark & state.mark_mask != state.mark:
        found["mark"] = f"requires mark {state.mark:#x}/{state.mark_mask:#x}, the packet has {wanted.mark:#x}"
    if state.direction == "out":
        found["dir"] = "outbound only (dir out)"
    if state.saddr != wanted.saddr:
        found["src"] = f"src {state.saddr}, not {wanted.saddr}"
    return found


def _distance(near: Near) -> tuple[bool, int, int]:
    """Smaller is nearer: what the kernel would find but for the mark, then the same SPI, then the same peers."""
    differs = near.differences.keys()
    if not differs & {"spi", "dst", "proto"}:
        kind = 0
    elif "spi" not in differs and len(differs & {"dst", "proto", "src"}) == 1:
        kind = 1  # 32 bits do not agree by chance
    elif not differs & {"dst", "proto", "src"}:
        kind = 2
    elif "spi" not in differs:
        kind = 3
    elif not differs & {"dst", "src"}:
        kind = 4
    elif "dst" not in differs:
        kind = 5
    else:
        kind = 6
    return ("dir" in differs, kind, len(differs))
