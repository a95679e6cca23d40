"""What the stages hand to one another: frozen dataclasses without behaviour.

The kernel gives an Event (numbers, bytes). Names make it a Drop. Judgement makes it a Finding.
"""

from dataclasses import field
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from dropwatch.model.address import KernelAddress
from dropwatch.model.connection import ConnectionNote
from dropwatch.model.culprits import Culprit
from dropwatch.model.dataclass import dataclass
from dropwatch.model.ipsec import XfrmNote
from dropwatch.model.listener import ListenerNote
from dropwatch.model.netfilter import NetfilterNote
from dropwatch.model.past import PastNote
from dropwatch.model.resent import Resent
from dropwatch.model.send import SendNote

Address = IPv4Address | IPv6Address
Confidence = Literal["certain", "likely", "unknown"]
Match = Literal["direct", "ipsec", "fragment", "icmp-quote", "tunnel", "nat", "waiting"]
Direction = Literal["in", "out", "forward"]
Role = Literal["fact", "proof", "owner", "kernel"]


@dataclass(frozen=True, slots=True)
class SocketNote:
    """The socket of UDP that a datagram was for, as it was when the datagram died.

    `error` is the name of the errno with which the kernel refused to queue it, None where the kernel gives a reason
    instead. `queued` and `limit` are bytes, `limit_set` says that the program chose the limit (SO_RCVBUF). `inode` is
    what /proc/PID/fd calls the socket by, 0: it is the kernel's own. `peer` is None of one that is not connected.
    """

    error: str | None
    queued: int
    limit: int
    limit_set: bool
    datagrams: int
    inode: int
    address: Address
    port: int
    peer: Address | None = None
    peer_port: int | None = None
    bound_ifindex: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One hit of a probe: numbers and bytes, nothing looked up. Addresses are kernel addresses, 0 where unknown.

    `packet` starts at the network header. `protocol` is the ethertype in host order (0 when the kernel had not
    set it). `reason` is None on a kernel without drop reasons. `carrier` says that the kernel let it through
    because it can only carry the filtered flow (ESP, AH, fragment, ICMP error, tunnel). `notes` are what other
    probes noted of this very packet: `time-wait` (a time-wait socket had dealt with it), `task-stack` (the
    code ran in a system call of the current task), `probes-off` (it came in the middle of a probe, or of a
    system call that reads a map, when no probe could note anything), `probes-unknown` (nobody can tell whether it
    did), `answered` (this host has answered it), `reset-sent` (with a reset of TCP), `unreachable-sent`
    (with ICMP port unreachable), `refusal-sent` (and the limits of ICMP let that out), `copied` (a raw socket had a
    copy), `flooded` (a frame for another host that a bridge here sent out of all its ports), `looped-back` (this host's
    own, sent to many), `to-many` (its frame came to a group or to all), `to-group` (to a group), `no-carrier` (its
    device was down or had no carrier), `ended-half-open` (a half-open connection of TCP is gone because of it),
    `asleep-netfilter` and the like (with --light: the probes of that layer were not attached), `not-own` (the current
    task holds neither the socket that sent it nor the one that was to receive it), `cgroup-refused` (a BPF program of
    its socket's cgroup refused it), `cgroup-unseen` (no probe could see that), `piece-twice` (a fragment of which
    the kernel had all bytes), `piece-overlaps` (of which it had some), `no-queue` (its device's queue had the qdisc
    that drops all), `as-written` (the tun or tap device that a program wrote it to refused it, and had read all of
    it), `all-old` (a time-wait socket had received all its bytes). `row` is what a summary counts it by: opaque, equal
    for drops of one sort, empty without a summary. `journey` is the number of the packet that a trace follows, 0: none.
    `link` is the header of Ethernet before it, where there is one.
    `cgroup` is the number of the one that its socket was made in: the receiver's where that is known,
    else the sender's.
    """

    monotonic_ns: int
    source: str
    skb: KernelAddress
    location: KernelAddress
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
    stack: tuple[KernelAddress, ...]
    packet: bytes
    xfrm: XfrmNote | None = None
    notes: frozenset[str] = frozenset()
    netfilter: NetfilterNote | None = None
    row: bytes = b""
    journey: int = 0
    socket: SocketNote | None = None
    link: bytes = b""
    past: PastNote | None = None
    listener: ListenerNote | None = None
    cgroup: int = 0
    send: SendNote | None = None
    connection: ConnectionNote | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in the kernel: function (as kallsyms has it), bytes into it, module. Function None: unresolved."""

    function: str | None
    offset: int
    module: str | None
    address: KernelAddress


@dataclass(frozen=True, slots=True)
class Packet:
    """What the bytes say. `proto` is the name (`udp`, `esp`, `icmp6`, ...) or the number as text.

    For ESP in UDP or TCP `proto` is `udp` or `tcp`, the ports are theirs, and `spi`/`seq` are set. `fragment_offset` is
    in bytes, `length` 0 where there was no packet yet. `quoted` is the packet inside an ICMP error, `inner` the packet
    inside a tunnel header. `header_error` says in words why parsing stopped early.
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
    """`tenant` is the container or pod that a process in it is of, None of one of the host's."""

    inode: int
    name: str | None
    tenant: "Process | None" = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Where:
    """Where it died: the frame, the layer of the stack (`ipsec`, `routing`, `netfilter`, `socket`, ...), the way."""

    frame: Frame
    layer: str | None
    direction: Direction | None


@dataclass(frozen=True, slots=True)
class Process:
    """`unit` is systemd's, `container` an id or a name, `pod` the uid of Kubernetes: those of the cgroup in which its
    socket was made, None where that is not one. Of a packet's socket that may be all that is known. `pod_name` and
    `pod_namespace` are what Kubernetes calls that pod, `container_name` what its runtime calls that container.
    """

    pid: int | None
    comm: str | None
    unit: str | None = None
    container: str | None = None
    pod: str | None = None
    pod_name: str | None = None
    pod_namespace: str | None = None
    container_name: str | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """An Event with names: still no judgement. `time` is seconds since 1970 (UTC).

    `task` is who made the system call in which it died, `process` the same where the packet is its own: a sender may
    throw away what others have in a queue, and a firewall's program judges what it never sent.
    """

    event: Event
    time: float
    packet: Packet
    iface: Interface | None
    netns: Netns | None
    where: Where
    reason: str | None
    stack: tuple[Frame, ...]
    process: Process | None
    task: Process | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observed fact and where it was read: `probe xfrm_audit_state_icvfail`, `netlink xfrm`, `packet`, ...

    `role` is what it is for: `proof` settles the cause, `owner` says whose the object is, `kernel` is the kernel's own
    word, which every finding has.
    """

    source: str
    text: str
    role: Role = field(default="fact", compare=False)


@dataclass(frozen=True, slots=True)
class Difference(Evidence):
    """A field, `name`, in which what came is not what is wanted; `sides` have the one and want the other."""

    sides: tuple[str, str] = ("packet", "object")
    name: str = ""
    came: str = ""
    wanted: str = ""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A fix whose command cannot be run as it stands, in two parts: what it is for and what is missing; the command."""

    text: str
    command: str


@dataclass(frozen=True, slots=True)
class Fix:
    """One thing to do. `command` is for the user to run; whydrop never runs it.

    `weakens` are words for what it gives up of a protection: such advice comes last. Where a word in the command or the
    namespace is missing, `text` has the command in it, and `sketch` the same as two parts.
    """

    text: str
    command: str | None = None
    weakens: str | None = field(default=None, compare=False, kw_only=True)
    sketch: Sketch | None = field(default=None, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Decision:
    """An earlier decision about the packet, without which it would not have died: a translation, a mark, a route.

    `text` is one line (`was 10.96.0.10:53 until DNAT by this rule`), `culprit` who decided, where that is known. `fix`
    has it decided anew.
    """

    text: str
    confidence: Confidence
    culprit: Culprit | None = None
    evidence: tuple[str, ...] = ()
    fix: Fix | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of one drop. `owner` holds the socket that the packet was for, where that is known.

    `led_by` is oldest first.
    """

    confidence: Confidence
    culprit: Culprit | None = None
    evidence: tuple[Evidence, ...] = ()
    fix: tuple[Fix, ...] = ()
    title: str | None = None
    owner: Process | None = None
    led_by: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True)
class MatchResult:
    """How a drop fits the filter, and why in words when it is not direct."""

    how: Match
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A Drop with its diagnosis. `layer` is the drop's; `cause_id` is `unknown` when nothing is sure enough.

    `owner` holds the socket that the packet was for; None also where nobody asked. `count` is how many equal drops it
    stands for.
    """

    drop: Drop
    match: MatchResult
    cause_id: str
    title: str
    confidence: Confidence
    culprit: Culprit | None
    evidence: tuple[Evidence, ...]
    fix: tuple[Fix, ...]
    owner: Process | None = None
    count: int = 1
    led_by: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True)
class Totals:
    """The closing statement of a run. `seen_by` counts every hit of each source exactly; `lost` is per cause.

    Both are None where nobody knows: in a recording whose end is missing. `journeys` are how many packets a trace
    followed, by their end; None without one. `seconds` is how long the run watched, None where that is not known.
    `resent` is None where nobody looked for what TCP sends again.
    """

    seen_by: dict[str, int] | None
    matched: int
    reported: int
    lost: dict[str, int] | None
    suppressed: dict[str, int]
    blind_spots: tuple[str, ...]
    journeys: dict[str, int] | None = None
    seconds: float | None = None
    resent: Resent | None = None
