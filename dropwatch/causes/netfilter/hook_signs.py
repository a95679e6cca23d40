"""Signs of the other functions at a netfilter hook: SYNPROXY, IPVS, security modules, BPF programs."""

from typing import NamedTuple

from dropwatch.causes import kernel_word, programs
from dropwatch.causes.netfilter.responsible_rule import died_in_a_hook
from dropwatch.host.bpf.programs import Program
from dropwatch.host.host import Host
from dropwatch.model.drop import Confidence, Drop, Evidence, Fix, Verdict
from dropwatch.model.netfilter import HookNote
from dropwatch.names import symbols

# The hooks of conntrack and NAT; tables of rules have their own probes. A name here is no other hook function.
TABLE_HOOKS: tuple[str, ...] = (
    *("nft_do_chain", "ipt_do_table", "ip6t_do_table", "arpt_do_table", "ebt_", "iptable_", "ip6table_"),
    *("arptable_", "ipv4_conntrack_", "ipv6_conntrack_", "nf_conntrack_", "nf_confirm", "ipv4_confirm"),
    *("ipv6_confirm", "nf_nat_", "ipv4_helper", "ipv6_helper"),
)
_OWNERS = {
    "ip_vs_": ("IPVS, the kernel's load balancer", "ipvsadm -Ln --stats"),
    "selinux_": ("SELinux", "ausearch -m avc -ts recent | grep packet"),
    "smack_": ("the security module Smack", "dmesg | grep -i smack"),
    "apparmor_": ("AppArmor", "dmesg | grep -i apparmor"),
    "nf_hook_run_bpf": ("a BPF program", "bpftool link show"),
    "br_nf_": ("br_netfilter, which passes bridged frames to the IP rules", "sysctl -a --pattern net.bridge"),
    "nf_flow_offload": ("a flowtable", "nft list flowtables"),
}
_SYNPROXY_HOOKS = frozenset({"ipv4_synproxy_hook", "ipv6_synproxy_hook"})


def synproxy_hook(drop: Drop, host: Host) -> Verdict | None:
    """The hook with which SYNPROXY watches connections that it let through."""
    found = refusal(drop)
    if found is None or found.confidence != "certain" or found.function not in _SYNPROXY_HOOKS:
        return None
    return Verdict("certain", evidence=(found.evidence,))


def hook_other(drop: Drop, host: Host) -> Verdict | None:
    """Another function at the hook answered drop, or freed the packet itself."""
    hook = _hook(drop)
    if hook is not None and hook.function == "nf_hook_run_bpf":
        return _bpf(hook, drop, host)
    found = refusal(drop)
    if found is None or (hook is not None and not is_other(found.function)):
        return None
    return _other(found)


class Refusal(NamedTuple):
    """Which function at the hook did it, and how that is known."""

    function: str
    confidence: Confidence
    evidence: Evidence


def refusal(drop: Drop) -> Refusal | None:
    """It answered drop, or freed the packet itself."""
    hook = _hook(drop)
    if hook is not None:
        said = Evidence(f"probe {hook.function}", "it returned drop for this packet")
        return Refusal(hook.function, "certain", said)
    function = _freed_by(drop)
    if function is None:
        return None
    said = Evidence("stack", f"{function} freed the packet, as a function at a netfilter hook")
    return Refusal(function, "likely", said)


def _hook(drop: Drop) -> HookNote | None:
    note = drop.event.netfilter
    if note is None or note.hook is None or not died_in_a_hook(drop) or blamed_otherwise(drop):
        return None
    return note.hook


def blamed_otherwise(drop: Drop) -> bool:
    """A rule or conntrack is known to have done it."""
    note = drop.event.netfilter
    return note is not None and (
        note.nft is not None
        or note.ebt is not None
        or (note.xt is not None and bool(note.xt.candidates))
        or (note.conntrack is not None and note.conntrack.refused is not None)
    )


def _bpf(hook: HookNote, drop: Drop, host: Host) -> Verdict:
    fact = Evidence(
        "probe nf_hook_run_bpf", "a BPF program at this netfilter hook returned drop for this packet"
    )
    title = "a BPF program at a netfilter hook drops it"
    if hook.bpf_id is None:
        return Verdict("certain", evidence=(fact,), title=title, fix=(_links(),))
    program = Program(hook.bpf_id, hook.bpf_name)
    keepers = programs.keepers_of(drop, host, program.id)
    culprit = programs.blamed(program, _place(program, drop, host), keepers)
    evidence = (fact, *programs.kept_by(program, keepers))
    return Verdict("certain", culprit, evidence, (programs.show(program.id), _links()), title)


def _place(program: Program, drop: Drop, host: Host) -> str:
    """The hook, where it is linked to one only."""
    links = host.netfilter_links(drop.event.netns, program.id, drop.event.monotonic_ns) or ()
    if len(links) != 1:
        return "a netfilter hook"
    return f"netfilter hook {links[0].family} {links[0].hook}, priority {links[0].priority}"


def _links() -> Fix:
    return Fix(
        "see at which hook and priority it is attached (a link of type netfilter)",
        "nft list hooks; bpftool link show",
    )


def _other(found: Refusal) -> Verdict:
    function, evidence = found.function, [found.evidence]
    known = owner(function)
    if known is not None:
        evidence.append(Evidence("name of the function", f"it belongs to {known[0]}"))
    fixes = hook_fixes(function)
    return Verdict(found.confidence, evidence=tuple(evidence), fix=fixes, title=hook_title(function))


def is_other(function: str) -> bool:
    """A function at a hook for which there is no cause but netfilter.hook-other."""
    return not function.startswith(TABLE_HOOKS) and function not in _SYNPROXY_HOOKS


def owner(function: str) -> tuple[str, str] | None:
    """Words for what a function at a hook belongs to, and the command that asks it."""
    return next((known for start, known in _OWNERS.items() if function.startswith(start)), None)


def hook_title(function: str) -> str:
    known = owner(function)
    return f"{known[0].partition(',')[0] if known is not None else function} drops it at a netfilter hook"


def hook_fixes(function: str) -> tuple[Fix, ...]:
    """Ask its owner, where it is known; then what is to be done for any of them."""
    known = owner(function)
    see = Fix("list the functions at the hook", "nft list hooks")
    ask = (
        ()
        if known is None
        else (
            Fix(
                f"see what {known[0]}, reports" if "," in known[0] else f"see what {known[0]} reports",
                known[1],
            ),
        )
    )
    return (*ask, see)


def _freed_by(drop: Drop) -> str | None:
    """The function at the hook that the loop called, when the packet died in it and no table or conntrack is it."""
    names = [symbols.base_name(frame.function) if frame.function is not None else "" for frame in drop.stack]
    place = kernel_word.place(drop)
    if place is None or not (kernel_word.gave_no_reason(drop) or drop.reason == "NETFILTER_DROP"):
        return None
    if "nf_hook_slow" not in names[1:] or place.startswith((*TABLE_HOOKS, "nf_", "nfqnl_")):
        return None
    called = names[names.index("nf_hook_slow") - 1]
    return called if place == called or (place.startswith("ip_vs_") and called.startswith("ip_vs_")) else None
