"""IPsec as the kernel has it: SAs, policies, and what the probes noted of a packet. Never any key material."""

import re
from dataclasses import field
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from dropwatch.model.dataclass import dataclass
from dropwatch.model.word import WORD, Word

Address = IPv4Address | IPv6Address
PolicyDirection = Annotated[str, re.compile(rf"(?:socket )?{WORD.pattern}")]  # those of single sockets, too


@dataclass(frozen=True, slots=True)
class Encap:
    """UDP (or TCP) encapsulation of an SA: `type` is `espinudp`, `espinudp-nonike`, `espintcp` or the number."""

    type: Word
    sport: int
    dport: int


@dataclass(frozen=True, slots=True)
class Selector:
    """Which traffic an SA or a policy is for. A port is matched as `packet & mask == port & mask`; mask 0 is any.

    `saddr`/`daddr` are None together with a prefix length of 0 when any address of any family fits.
    `proto` 0 is any protocol (IANA number otherwise); `ifindex` 0 is any interface; `family` is 4, 6 or 0 (any).
    """

    family: int = 0
    saddr: Address | None = None
    prefixlen_s: int = 0
    daddr: Address | None = None
    prefixlen_d: int = 0
    proto: int = 0
    sport: int = 0
    sport_mask: int = 0
    dport: int = 0
    dport_mask: int = 0
    ifindex: int = 0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Limits and use of an SA: bytes, packets, seconds. A limit of None is infinite; times are seconds since 1970."""

    soft_bytes: int | None = None
    hard_bytes: int | None = None
    soft_packets: int | None = None
    hard_packets: int | None = None
    hard_add_seconds: int | None = None
    hard_use_seconds: int | None = None
    bytes: int = 0
    packets: int = 0
    add_time: int = 0
    use_time: int = 0


@dataclass(frozen=True, slots=True)
class XfrmState:
    """One IPsec SA, as the kernel had it. Never holds key material.

    `proto` is `esp`, `ah`, `comp` or a number as text; `mode` `transport`, `tunnel`, `beet`, ...; `state` the
    kernel's word in lower case (`valid`, `acq`, `expired`, `dead`, ...) or None when read from netlink, which
    does not tell. `algorithms` maps the words of `ip xfrm` (`aead`, `enc`, `auth`, `comp`) to kernel names
    such as `rfc4106(gcm(aes))`, with the key length in bits and, where there is one, the ICV length in bits.
    """

    family: int
    saddr: Address
    daddr: Address
    proto: Word
    spi: int
    mode: Word
    reqid: int = 0
    if_id: int = 0
    mark: int = 0
    mark_mask: int = 0
    state: str | None = None
    replay_window: int = 0
    esn: bool = False
    seq: int = 0
    oseq: int = 0
    algorithms: tuple[tuple[str, str, int, int], ...] = ()
    encap: Encap | None = None
    selector: Selector | None = None
    lifetime: Lifetime = field(default_factory=Lifetime)
    stat_replay_window: int = 0
    stat_replay: int = 0
    stat_integrity_failed: int = 0
    direction: str | None = None


@dataclass(frozen=True, slots=True)
class XfrmTemplate:
    """What a policy asks of an SA. Addresses are None where the template leaves them open (transport mode)."""

    proto: Word
    mode: Word
    saddr: Address | None = None
    daddr: Address | None = None
    spi: int = 0
    reqid: int = 0
    optional: bool = False


@dataclass(frozen=True, slots=True)
class XfrmPolicy:
    """One IPsec policy. `dir` is `in`, `out` or `fwd`; `action` is `allow` or `block`; `add_time` is in seconds since
    1970, 0 where it is not known.
    """

    selector: Selector
    dir: PolicyDirection
    action: Word
    priority: int
    index: int
    if_id: int = 0
    mark: int = 0
    mark_mask: int = 0
    templates: tuple[XfrmTemplate, ...] = ()
    add_time: int = 0


@dataclass(frozen=True, slots=True)
class GoneState:
    """An SA at the moment of its deletion, in the namespace with this inode; `pid` and `comm` are the current task."""

    monotonic_ns: int
    netns: int
    state: XfrmState
    pid: int
    comm: str


@dataclass(frozen=True, slots=True)
class XfrmCheck:
    """__xfrm_policy_check refused the packet: `dir` is `in`, `fwd` or `out`, `counters` are those that rose in it.

    `mark` is what the packet had meanwhile, None where that is not known.
    """

    dir: Word
    counters: tuple[str, ...] = ()
    mark: int | None = None


@dataclass(frozen=True, slots=True)
class XfrmLookup:
    """The search for an outbound policy and SA failed with this errno; `if_id` is that of the xfrm interface."""

    errno: int
    if_id: int = 0


@dataclass(frozen=True, slots=True)
class XfrmSearch:
    """The kernel searched the policy for a packet that it then refused: which one it found, as it was then.

    None: it found none.
    """

    policy: XfrmPolicy | None = None


@dataclass(frozen=True, slots=True)
class XfrmNote:
    """What the probes of IPsec learned about one packet before it died.

    `audit` holds the kernel's own audit calls for this packet: `icvfail`, `notfound`, `replay`, and on the way out
    `overflow`. `counters` are the namespace's counters (names of /proc/net/xfrm_stat) that rose while xfrm_input
    had it. `spi`/`seq` are what the kernel parsed from the packet, None where no probe saw them.
    `state` is the SA that the packet was for, at the moment of the failure; with `outbound` the one that it was to
    leave through, and `mtu` is what its route takes before protection, in bytes. `blackholed`: its route is the one
    that the kernel puts in place of a route whose SA does not exist yet. `search` is that of `check` or `lookup`, None
    where it was not seen.
    """

    audit: frozenset[str] = frozenset()
    counters: tuple[str, ...] = ()
    spi: int | None = None
    seq: int | None = None
    state: XfrmState | None = None
    outbound: bool = False
    mtu: int | None = None
    check: XfrmCheck | None = None
    lookup: XfrmLookup | None = None
    blackholed: bool = False
    search: XfrmSearch | None = None

    @property
    def searched_spi(self) -> int | None:
        """The SPI for which the kernel searched an SA when the packet came in."""
        if self.outbound:
            return None
        if self.spi is not None:
            return self.spi
        return self.state.spi if self.state is not None else None
