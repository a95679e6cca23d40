"""What a finding blames in the user's configuration: one type for each kind of `object` in the JSON.

The text in an `Annotated` describes the key in the schema. A key without a default is always printed, `null` where it
is not known; one with a default is left out while it is None, but for one that stands `Beside` another.
"""

from typing import Annotated, ClassVar, Literal, NamedTuple

from dropwatch.model.dataclass import dataclass
from dropwatch.model.forwarding import BondPort, BridgePort, Device, Neighbour, Qdisc, Route, TcFilter
from dropwatch.model.tunnel import IpvsService, WireguardPeer
from dropwatch.model.word import WORD, Text


class Beside(NamedTuple):
    """Mark of a key that is printed whenever the other one is."""

    key: str


@dataclass(frozen=True, slots=True)
class Task:
    """A process."""

    pid: Annotated[int, "its process id"]
    comm: Annotated[str, "its name, at most 15 bytes"]


Table = Annotated[str, "name of the table"]
Chain = Annotated[str | None, "name of the chain"]
Number = Annotated[int | None, "place of the rule in its chain, from 1"]
Comment = Annotated[str | None, "the comment that its author gave it"]
Listing = Annotated[str | None, "the same as nft lists it, where text is of iptables-nft or its like"]
Target = Annotated[str | None, "what it does: DROP, REJECT, name of another target"]
Relation = Literal["deleted", "expired", "nearest"]
Differs = Annotated[tuple[str, ...] | None, "fields in which the packet is not what this asks for"]
Related = Annotated[
    Relation | None, "this SA was deleted or expired before the packet came, or is the nearest that is there"
]
SecondsBefore = Annotated[float | None, "how long before the packet died the SA went, in seconds"]
DeletedBy = Annotated[
    Task | None, "who deleted the SA; null where it expired or nobody is known", Beside("seconds_before")
]
Connection = Annotated[str | None, "connection of the IKE daemon that made it"]
Child = Annotated[str | None, "child of that connection"]
Spi = Annotated[str, "Security Parameters Index, as 0x00001001"]


@dataclass(frozen=True, slots=True)
class NftRule:
    """A rule of nf_tables, whoever made it: nft, iptables-nft, firewalld."""

    kind: ClassVar[Literal["nft-rule"]] = "nft-rule"
    text: Text
    family: Annotated[str, "ip, ip6, inet, arp, bridge or netdev", WORD]
    table: Table
    chain: Chain = None
    handle: Annotated[int | None, "what nft -a shows, and nft delete rule takes"] = None
    number: Number = None
    comment: Comment = None
    nft: Listing = None


@dataclass(frozen=True, slots=True)
class IptablesRule:
    """A rule of a legacy table of iptables, ip6tables or arptables."""

    kind: ClassVar[Literal["iptables-rule"]] = "iptables-rule"
    text: Text
    family: Annotated[str, "ip, ip6 or arp", WORD]
    table: Table
    chain: Chain = None
    number: Number = None
    comment: Comment = None
    target: Target = None


@dataclass(frozen=True, slots=True)
class EbtablesRule:
    """A rule of a legacy table of ebtables."""

    kind: ClassVar[Literal["ebtables-rule"]] = "ebtables-rule"
    text: Text
    family: Annotated[str, "bridge", WORD]
    table: Table
    chain: Chain = None
    number: Number = None
    comment: Comment = None
    target: Target = None


@dataclass(frozen=True, slots=True)
class ChainPolicy:
    """The policy of a chain: what happens to a packet that no rule of it decides about."""

    kind: ClassVar[Literal["chain-policy"]] = "chain-policy"
    text: Text
    family: Annotated[str, "ip, ip6, inet, arp, bridge or netdev", WORD]
    table: Table
    chain: Chain = None
    policy: Annotated[str | None, "of nf_tables: drop"] = None
    nft: Listing = None
    target: Annotated[str | None, "of a legacy table: DROP"] = None


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A setting of the kernel."""

    kind: ClassVar[Literal["sysctl"]] = "sysctl"
    text: Text
    name: Annotated[str, "as sysctl(8) takes it"]
    value: Annotated[int, "what it was set to when whydrop looked"]
    count: Annotated[int | None, "how much of what it limits was in use then; null where it is no limit"] = (
        None
    )


@dataclass(frozen=True, slots=True)
class BpfProgram:
    """A BPF program that is attached to a hook."""

    kind: ClassVar[Literal["bpf-program"]] = "bpf-program"
    text: Text
    id: Annotated[int, "what bpftool prog show id takes"]
    name: Annotated[str | None, "its name"]
    tag: Annotated[str | None, "sum of its instructions"] = None
    attached_to: Annotated[str | None, "where it runs: `cgroup PATH egress`, `interface NAME xdpgeneric`"] = (
        None
    )
    pinned: Annotated[str | None, "a file that keeps it, read after the drop"] = None
    keeper: Annotated[Task | None, "a process that has it open, read after the drop"] = None
    unit: Annotated[str | None, "the systemd unit for whose settings it was made"] = None


@dataclass(frozen=True, slots=True)
class HookFunction:
    """A function of the kernel or of a module that is registered at a netfilter hook."""

    kind: ClassVar[Literal["hook-function"]] = "hook-function"
    text: Text
    function: Annotated[str, "its name"]
    module: Annotated[str | None, "its module; null: the kernel itself"]
    hook: Annotated[str, "family and hook, as ip input; the family alone where the hook is not known"]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of NFQUEUE."""

    kind: ClassVar[Literal["queue"]] = "queue"
    text: Text
    number: Annotated[int, "its number"]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What an SA encrypts with, or checks integrity with."""

    kind: Annotated[str, "aead, enc, auth or comp, the words of ip xfrm"]
    name: Annotated[str, "the kernel's name, as rfc4106(gcm(aes))"]
    key_bits: Annotated[int, "length of the key"]
    icv_bits: Annotated[int, "length of the integrity check value, 0: none"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The hard limits of an SA; only those that it has."""

    bytes: Annotated[int | None, "that may go through it"] = None
    packets: Annotated[int | None, "that may go through it"] = None
    seconds: Annotated[int | None, "since it was added"] = None
    seconds_used: Annotated[int | None, "since its first use"] = None


@dataclass(frozen=True, slots=True)
class XfrmState:
    """An SA (security association) of IPsec."""

    kind: ClassVar[Literal["xfrm-state"]] = "xfrm-state"
    text: Text
    spi: Spi
    saddr: Annotated[str, "source of its packets"]
    daddr: Annotated[str, "destination of its packets"]
    proto: Annotated[str, "esp, ah, comp"]
    mode: Annotated[str, "transport, tunnel, beet"]
    reqid: Annotated[int, "what ties it to a policy"]
    if_id: Annotated[int, "of the xfrm interface that it belongs to, 0: none"]
    mark: Annotated[int, "what a packet's mark must be"]
    mark_mask: Annotated[int, "in these bits"]
    state: Annotated[str | None, "valid, acq, expired, dead; null: read later, which does not tell"]
    algorithms: Annotated[tuple[Algorithm, ...] | None, "what it protects with"] = None
    packets: Annotated[int | None, "how many had gone through it"] = None
    integrity_failed: Annotated[int | None, "how many of its packets failed their integrity check"] = None
    differs: Differs = None
    relation: Related = None
    seconds_before: SecondsBefore = None
    deleted_by: Annotated[
        Task | None, "who deleted it; null where it expired or nobody is known", Beside("seconds_before")
    ] = None
    packet_mark: Annotated[int | None, "mark of the packet, where that is what differs"] = None
    policy_if_id: Annotated[int | None, "if_id of the policy, where that is what differs"] = None
    policy_mark: Annotated[int | None, "mark of the policy, where that is what differs"] = None
    mtu: Annotated[
        int | None,
        "bytes that its route takes before protection; null: less, by how much is not known",
        Beside("length"),
    ] = None
    length: Annotated[int | None, "bytes of the packet, where it was too long"] = None
    oseq: Annotated[int | None, "the last sequence number that it sent"] = None
    limits: Annotated[Limits | None, "its hard limits"] = None
    dir: Annotated[str | None, "in, out or fwd: there no policy is for what came out of it"] = None
    connection: Connection = None
    child: Child = None


@dataclass(frozen=True, slots=True)
class Template:
    """What a policy asks of an SA."""

    proto: Annotated[str, "esp, ah, comp"]
    mode: Annotated[str, "transport, tunnel, beet"]
    saddr: Annotated[str | None, "its source; null: that of the packet"]
    daddr: Annotated[str | None, "its destination; null: that of the packet"]
    spi: Annotated[str | None, "null: any"]
    reqid: Annotated[int, "0: any"]


@dataclass(frozen=True, slots=True)
class XfrmPolicy:
    """A policy of IPsec; with `default` it is what holds where there is none, and has only `dir` and `action`."""

    kind: ClassVar[Literal["xfrm-policy"]] = "xfrm-policy"
    text: Text
    dir: Annotated[str, "in, out or fwd: for packets that come in, leave, or are forwarded"]
    action: Annotated[str, "allow or block"]
    priority: Annotated[int | None, "the lowest number comes first"] = None
    index: Annotated[int | None, "what ip xfrm policy get index takes"] = None
    selector: Annotated[str | None, "which packets it is for"] = None
    if_id: Annotated[int | None, "of the xfrm interface that it is for, 0: none"] = None
    mark: Annotated[int | None, "what a packet's mark must be"] = None
    mark_mask: Annotated[int | None, "in these bits"] = None
    templates: Annotated[tuple[Template, ...] | None, "the SAs that it asks for"] = None
    default: Annotated[Literal[True] | None, "what ip xfrm policy setdefault has set"] = None
    differs: Differs = None
    relation: Related = None
    seconds_before: SecondsBefore = None
    deleted_by: Annotated[
        Task | None, "who deleted the SA; null where it expired or nobody is known", Beside("seconds_before")
    ] = None
    spi: Annotated[str | None, "of the SA that it had"] = None
    connection: Connection = None
    child: Child = None


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that has the packet's port; who holds it, read after the drop, is the finding's `process`.

    Of one that took no more there is also what was queued at the drop.
    """

    kind: ClassVar[Literal["socket"]] = "socket"
    text: Text
    proto: Annotated[str, "udp, udplite, tcp or raw"]
    address: Annotated[str, "its own; 0.0.0.0 or :: for any"]
    port: Annotated[int, "its own; of raw the protocol's number"]
    peer: Annotated[str | None, "whom it is connected to; null: it takes datagrams of anybody"]
    peer_port: Annotated[int | None, "port of the peer"]
    bound_ifindex: Annotated[int | None, "index of the interface or VRF that it is bound to"]
    inode: Annotated[int | None, "what /proc/PID/fd calls it by; null: it is the kernel's own"]
    queued: Annotated[int | None, "bytes that the datagrams in its queue occupied at the drop"] = None
    limit: Annotated[int | None, "how many they may"] = None
    limit_set: Annotated[
        bool | None, "the program chose the limit (SO_RCVBUF), else it is net.core.rmem_default"
    ] = None
    datagrams: Annotated[int | None, "in its queue at the drop"] = None
    accept_queue: Annotated[
        int | None, "of one that listens: connections that waited for accept() at the drop"
    ] = None
    accept_limit: Annotated[int | None, "with more of them than this it takes no more"] = None
    syn_queue: Annotated[int | None, "of one that listens: half-open connections at the drop"] = None


Rule = NftRule | IptablesRule | EbtablesRule | ChainPolicy
Forwarding = Qdisc | TcFilter | Neighbour | Route
Culprit = (
    Rule
    | Sysctl
    | BpfProgram
    | HookFunction
    | Queue
    | XfrmState
    | XfrmPolicy
    | Socket
    | BondPort
    | Forwarding
    | BridgePort
    | Device
    | WireguardPeer
    | IpvsService
)
