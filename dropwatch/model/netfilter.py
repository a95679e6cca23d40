"""What the netfilter probes learned about one packet before it died: numbers and names, nothing looked up.

Hooks are numbers of their family: 0 PRE_ROUTING, 1 LOCAL_IN, 2 FORWARD, 3 LOCAL_OUT, 4 POST_ROUTING, 5 INGRESS for
ip, ip6, inet and bridge (bridge 5: BROUTING); 0 IN, 1 OUT, 2 FORWARD for arp; 0 INGRESS, 1 EGRESS for netdev.
"""

from typing import Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.model.word import Word

# NFPROTO_* of include/uapi/linux/netfilter.h: nothing in BTF is called by these words.
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

_INET_HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
_HOOKS = {
    "bridge": (*_INET_HOOKS[:5], "brouting"),
    "arp": ("input", "output", "forward"),
    "netdev": ("ingress", "egress"),
}

XtFamily = Literal["ip", "ip6", "arp"]


def hook_word(family: str | None, number: int) -> str | None:
    """nft's word for a hook; legacy tables call the same hook by it in capitals. None for a number without one."""
    names = _HOOKS.get(family or "", _INET_HOOKS)
    return names[number] if number < len(names) else None


@dataclass(frozen=True, slots=True)
class NftChain:
    """A chain on the packet's way. `name` may be cut at 63 bytes; the handle is never reused in its table."""

    handle: int
    name: str


@dataclass(frozen=True, slots=True)
class NftNote:
    """The nf_tables verdict that killed the packet, read at its death.

    `family` is the table's word (`inet`, `ip`, `ip6`, `arp`, `bridge`, `netdev`). `rule` is the handle of
    the rule, None for the policy of the base chain, and also where the rule could not be found (`verdict`
    is then `unplaced`). `chain` is the chain that holds the rule, None where this kernel's layout does not
    tell: then the listing does, by the handle, which is unique in its table. `expression` is the kernel
    function that gave the verdict (`nft_immediate_eval`, `nft_lookup_eval`, `nft_reject_inet_eval`,
    `nft_target_eval_xt`, ...), None for the policy. `visited` are the targets of the jumps and gotos that
    were taken, in order, also those that returned; the oldest are missing when there were more than the
    record holds. `policy` is `drop` or `accept`.
    """

    verdict: Literal["rule", "policy", "unplaced"]
    family: Word
    table: str
    table_handle: int
    base_chain: NftChain
    hook: int
    priority: int
    policy: str
    chain: NftChain | None
    rule: int | None
    expression: str | None
    visited: tuple[NftChain, ...] = ()


@dataclass(frozen=True, slots=True)
class XtNote:
    """What a legacy table (ip_tables, ip6_tables, arp_tables) did with the packet that died in its hook.

    Offsets are bytes from the start of the table's entries, as IPT_SO_GET_ENTRIES gives them. `candidates`
    are the entries with the target DROP, and the policy entry of the hook, whose counter on this CPU rose
    since the last packet that was looked at: one means that this entry did it. `exact` is True when a
    target's own function was called for this packet (REJECT, SYNPROXY): then there is one candidate, and
    `target` is that function. `accounted` is True when these counters rose by exactly the packets that died
    since: then no other death can have moved a lone candidate. `policy` is the offset of the hook's policy
    entry (underflow). `jumps` are the entries on the jump stack, oldest first; what lies above the packet's
    own depth is left over from others. `entries` and `size` are the number of entries and bytes of the
    table, `generation` counts changes of the family's tables that were seen since the start (see
    `Seen.table_changes`). `rule` are the first bytes of the entry of a lone candidate, as the kernel has
    it: counters and pointers differ from what user space gets, struct ipt_ip (84 bytes), ip6t_ip6 (136),
    arpt_arp do not.
    """

    family: XtFamily
    table: str
    hook: int
    entries: int
    size: int
    policy: int
    candidates: tuple[int, ...]
    exact: bool
    target: str | None
    jumps: tuple[int, ...]
    generation: int
    rule: bytes = b""
    accounted: bool = True


@dataclass(frozen=True, slots=True)
class EbtNote:
    """What a legacy ebtables table did with the frame that died in its hook.

    `counted` are the indexes of all rules whose counter rose for this frame, in the order of the table's
    entries over all chains, as EBT_SO_GET_ENTRIES numbers them. None when the table is too large to be
    watched. `entries` is the number of rules of the table.
    """

    table: str
    hook: int
    entries: int
    counted: tuple[int, ...] | None
    generation: int


ICMP_TRANSLATION = frozenset({"nf_nat_icmp_reply_translation", "nf_nat_icmpv6_reply_translation"})


@dataclass(frozen=True, slots=True)
class ConntrackNote:
    """What connection tracking said of the packet.

    `refused` is the function whose answer was NF_DROP: `nf_conntrack_in`, `__nf_conntrack_confirm`,
    `nf_nat_inet_fn`, or of a message of ICMP `nf_nat_icmp_reply_translation` or `nf_nat_icmpv6_reply_translation`;
    None when it let the packet pass. `table_full` when no entry could be allocated.
    `words` are the kernel's own reason why the packet is INVALID (`invalid packet ignored in state ...`,
    `bad checksum`), None when it gave none. `invalid` when the packet left nf_conntrack_in without a
    connection and not untracked; None when not seen. `nat` when the connection's addresses or ports were to
    be translated, also where its packet was INVALID and so was not.
    """

    refused: str | None = None
    table_full: bool = False
    words: str | None = None
    invalid: bool | None = None
    nat: bool = False


@dataclass(frozen=True, slots=True)
class QueueNote:
    """NFQUEUE. `errno` is what the queue answered (ESRCH: nobody listens, ENOSPC: full), None when not seen."""

    queue: int
    errno: int | None


@dataclass(frozen=True, slots=True)
class HookNote:
    """Another hook function whose answer was NF_DROP. `bpf_id`/`bpf_name` for nf_hook_run_bpf, else None."""

    function: str
    bpf_id: int | None = None
    bpf_name: str | None = None


@dataclass(frozen=True, slots=True)
class HookFunction:
    """A function registered at a hook; `name` is None where no symbol covers it.

    `watched` is True when a probe sees its answers, or those of the table or engine that it calls.
    """

    name: str | None
    module: str | None = None
    watched: bool = False


@dataclass(frozen=True, slots=True)
class FunctionsAtHook:
    """What was registered at one hook of the packet's namespace, in the order of the calls, at its death.

    `family` is `ip`, `ip6`, `arp` or `bridge`. `complete` is False when there were more than the record holds.
    """

    family: Word
    hook: int
    functions: tuple[HookFunction, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class NetfilterNote:
    """All that is known. At most one of `nft`, `xt`, `ebt`, `at_hooks` is there.

    `at_hooks` are the hooks that had functions; None where it was not looked, because something else is known.
    """

    nft: NftNote | None = None
    xt: XtNote | None = None
    ebt: EbtNote | None = None
    conntrack: ConntrackNote | None = None
    queue: QueueNote | None = None
    hook: HookNote | None = None
    at_hooks: tuple[FunctionsAtHook, ...] | None = None
