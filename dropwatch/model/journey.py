"""What a trace is made of: the steps of a packet, and the journey that they make."""

from typing import Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding, Frame, Interface, Netns, Packet, Process

Kind = Literal[
    "call",  # a kernel function began
    "return",  # ... and ended
    "receive",  # netif_receive_skb: sniffers of the device see the packet next
    "queue",  # net_dev_queue: given to the device's queue
    "transmit",  # net_dev_start_xmit: sniffers of the device have just seen it
    "consumed",  # freed, and not as a drop
    "copied",  # the packet, or a part of it, goes on in another buffer as well
    "verdict",  # a chain or a table of netfilter answered
]
End = Literal["dropped", "delivered", "sent", "consumed", "open"]


@dataclass(frozen=True, slots=True)
class RawStep:
    """One record of bpf/trace_step.c: numbers and bytes. Addresses are the kernel's, 0 where unknown.

    `journey` is the number that the kernel gave it, `buffer` the address of the struct sk_buff, `function` that of the
    function, `sp` the stack pointer of the call. `value` is what it returned, the address of the copy, or the verdict.
    `pid` and `comm` are the current task's, which is somebody else's unless `is_task`. `route_ifname` is the device
    that the route chose. `packet` starts at the network header. `fields` are eight bytes each.
    """

    monotonic_ns: int
    journey: int
    kind: Kind
    buffer: int
    fits: bool
    function: int
    sp: int
    value: int
    cpu: int
    pid: int
    comm: str
    is_task: bool
    netns: int
    ifindex: int
    ifname: str
    route_ifindex: int
    route_ifname: str
    length: int
    mark: int
    protocol: int
    hook: int
    family: int
    table: str
    chain: str
    callers: tuple[int, ...]
    fields: tuple[int, ...]
    packet: bytes

    @property
    def may_be_gone(self) -> bool:
        """Of a call that has returned: nothing is known of the packet at that moment."""
        return self.kind == "return" or (self.kind == "verdict" and not self.packet)


@dataclass(frozen=True, slots=True)
class NetfilterAnswer:
    """What a table (legacy) or a base chain (nf_tables) said: `verdict` is `accept`, `drop`, `queue`, `stolen`, ...

    `family` is `ip`, `ip6`, `inet`, `arp`, `bridge`, `netdev`; `hook` is `prerouting`, `input`, ...; None: not known.
    """

    engine: Literal["nftables", "iptables"]
    family: str | None
    table: str
    chain: str | None
    hook: str | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the packet met. `seconds` since the journey began, `since` since the step before.

    `text` says it in words; `changed` says in words what is another than at the step before (addresses, ports,
    protocol). `copy` is 0 for the first buffer, else the number of the copy. `depth` is how many watched calls this
    one is inside of; `duration` in seconds, of a call whose return was seen, and `returned` its value as a signed
    32-bit number. `tap`: sniffers such as tcpdump see the packet here, on this interface. `fields` are those that the
    user asked for, in that order, None where one could not be read.
    """

    seconds: float
    since: float
    kind: Kind
    frame: Frame
    text: str
    layer: str | None
    packet: Packet
    netns: Netns | None
    iface: Interface | None
    route: Interface | None
    cpu: int
    process: Process | None
    copy: int = 0
    depth: int = 0
    duration: float | None = None
    returned: int | None = None
    tap: bool = False
    changed: str | None = None
    answer: NetfilterAnswer | None = None
    fields: tuple[tuple[str, int | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Journey:
    """One packet's way. `number` counts from 1; `time` is its first step's, in seconds since 1970 (UTC).

    `end` is how it ended: `dropped` (then `finding` says why, unless whydrop could not see it), `delivered` (a socket's
    reader has it; `process` if that is known), `sent` (a device has it), `consumed` (freed by what had used it, for
    instance the answer to a ping), `open` (nothing seen since). `end_text` says so in words.
    """

    number: int
    time: float
    packet: Packet
    steps: tuple[Step, ...]
    end: End
    end_text: str
    finding: Finding | None = None
    process: Process | None = None
