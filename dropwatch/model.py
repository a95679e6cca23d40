"""What the stages hand to one another: frozen dataclasses without behaviour.

The kernel gives an Event (numbers, bytes). Names make it a Drop. Judgement makes it a Finding.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

from dropwatch.netfilter_notes import NetfilterNote

Address = IPv4Address | IPv6Address
Confidence = Literal["certain", "likely", "unknown"]
Match = Literal["direct", "ipsec", "fragment", "icmp-quote", "tunnel"]
Direction = Literal["in", "out", "forward"]


@dataclass(frozen=True, slots=True)
class Encap:
    """UDP (or TCP) encapsulation of an SA: `type` is `espinudp`, `espinudp-nonike`, `espintcp` or the number."""

    type: str
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
    proto: str
    spi: int
    mode: str
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

    proto: str
    mode: str
    saddr: Address | None = None
    daddr: Address | None = None
    spi: int = 0
    reqid: int = 0
    optional: bool = False


@dataclass(frozen=True, slots=True)
class XfrmPolicy:
    """One IPsec policy. `dir` is `in`, `out` or `fwd`; `action` is `allow` or `block`."""

    selector: Selector
    dir: str
    action: str
    priority: int
    index: int
    if_id: int = 0
    mark: int = 0
    mark_mask: int = 0
    templates: tuple[XfrmTemplate, ...] = ()


@dataclass(frozen=True, slots=True)
class XfrmNote:
    """What the probes of the IPsec input path learned about one packet before it died.

    `audit` holds the kernel's own audit calls for this packet: `icvfail`, `notfound`, `replay`.
    `counters` are the namespace's counters (names of /proc/net/xfrm_stat) that rose while xfrm_input had it.
    `spi`/`seq` are what the kernel parsed from the packet, None where no probe saw them.
    `state` is the SA that the packet was for, at the moment of the failure.
    """

    audit: frozenset[str] = frozenset()
    counters: tuple[str, ...] = ()
    spi: int | None = None
    seq: int | None = None
    state: XfrmState | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One hit of a probe: numbers and bytes, nothing looked up. Addresses are kernel addresses, 0 where unknown.

    `packet` starts at the network header. `protocol` is the ethertype in host order (0 when the kernel had not
    set it). `reason` is None on a kernel without drop reasons. `carrier` says that the kernel let it through
    because it can only carry the filtered flow (ESP, AH, fragment, ICMP error, tunnel). `notes` are what other
    probes noted of this very packet: `time-wait` (a time-wait socket had dealt with it).
    """

    monotonic_ns: int
    source: str
    skb: int
    location: int
    reason: int | None
    protocol: int
    length: int
    mark: int
    ifindex: int
    ifname: str
    skb_iif: int
    netns: int
    pid: int
    comm: str
    cpu: int
    carrier: bool
    stack: tuple[int, ...]
    packet: bytes
    xfrm: XfrmNote | None = None
    notes: frozenset[str] = frozenset()
    netfilter: NetfilterNote | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in the kernel: function (as kallsyms has it), bytes into it, module. Function None: unresolved."""

    function: str | None
    offset: int
    module: str | None
    address: int


@dataclass(frozen=True, slots=True)
class Packet:
    """What the bytes say. `proto` is the name (`udp`, `esp`, `icmp6`, ...) or the number as text.

    For ESP in UDP `proto` is `udp`, the ports are the UDP ports, and `spi`/`seq` are set. `fragment_offset` is in
    bytes. `quoted` is the packet inside an ICMP error, `inner` the packet inside a tunnel header.
    `header_error` says in words why parsing stopped early.
    """

    family: int | None
    proto: str | None
    saddr: Address | None
    daddr: Address | None
    sport: int | None
    dport: int | None
    length: int
    mark: int
    spi: int | None = None
    seq: int | None = None
    ttl: int | None = None
    tcp_flags: str | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    fragment_id: int | None = None
    fragment_offset: int = 0
    more_fragments: bool = False
    quoted: "Packet | None" = None
    inner: "Packet | None" = None
    header_error: str | None = None


@dataclass(frozen=True, slots=True)
class Interface:
    index: int
    name: str | None


@dataclass(frozen=True, slots=True)
class Netns:
    inode: int
    name: str | None


@dataclass(frozen=True, slots=True)
class Where:
    """Where it died: the frame, the layer of the stack (`ipsec`, `routing`, `netfilter`, `socket`, ...), the way."""

    frame: Frame
    layer: str | None
    direction: Direction | None


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    comm: str


@dataclass(frozen=True, slots=True)
class Drop:
    """An Event with names: still no judgement. `time` is seconds since 1970 (UTC)."""

    event: Event
    time: float
    packet: Packet
    iface: Interface | None
    netns: Netns | None
    where: Where
    reason: str | None
    stack: tuple[Frame, ...]
    process: Process | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observed fact and where it was read: `probe xfrm_audit_state_icvfail`, `netlink xfrm`, `packet`, ..."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """One thing to do. `command` is for the user to run; whydrop never runs it."""

    text: str
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Culprit:
    """The thing in the user's configuration that killed the packet: `object` in the JSON.

    `text` is what the standard tool prints for it; `details` are the keys of its kind (`spi`, `handle`, ...).
    """

    kind: str
    text: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of one drop."""

    confidence: Confidence
    culprit: Culprit | None = None
    evidence: tuple[Evidence, ...] = ()
    fix: tuple[Fix, ...] = ()
    title: str | None = None


@dataclass(frozen=True, slots=True)
class MatchResult:
    """How a drop fits the filter, and why in words when it is not direct."""

    how: Match
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A Drop with its diagnosis. `layer` is the drop's; `cause_id` is `unknown` when nothing is sure enough."""

    drop: Drop
    match: MatchResult
    cause_id: str
    title: str
    confidence: Confidence
    culprit: Culprit | None
    evidence: tuple[Evidence, ...]
    fix: tuple[Fix, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """The closing statement of a run. `seen_by` counts every hit of each source exactly; `lost` is per cause."""

    seen_by: dict[str, int]
    matched: int
    reported: int
    lost: dict[str, int]
    suppressed: dict[str, int]
    blind_spots: tuple[str, ...]
