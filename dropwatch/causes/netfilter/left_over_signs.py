"""Which function at a netfilter hook dropped a packet that no probe saw refused: one of those that are left."""

from dropwatch.causes import kernel_word
from dropwatch.causes.netfilter import words
from dropwatch.causes.netfilter.hook_signs import (
    blamed_otherwise,
    hook_fixes,
    hook_title,
    is_other,
    owner,
)
from dropwatch.host.host import Host
from dropwatch.model import culprits
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.model.netfilter import FunctionsAtHook, HookFunction
from dropwatch.names import symbols

# Between the loop over the functions and who called it, where the compiler did not inline them.
_WRAPPERS = frozenset(
    {
        "nf_hook_slow",
        "nf_hook_slow_list",
        "nf_hook",
        "NF_HOOK",
        "NF_HOOK_COND",
        "NF_HOOK_LIST",
        "nf_hook_list",
    }
)
# Callers and the number of their hook, for ip and ip6, then for arp: NF_HOOK and nf_hook in net/.
_ROUTED = {
    **dict.fromkeys(("ip_rcv", "ip_sublist_rcv", "ipv6_rcv", "ip6_sublist_rcv"), 0),
    **dict.fromkeys(("xfrm4_transport_finish", "xfrm6_transport_finish"), 0),
    **dict.fromkeys(("br_nf_pre_routing", "br_nf_pre_routing_ipv6"), 0),
    **dict.fromkeys(("ip_local_deliver", "ip6_input"), 1),
    **dict.fromkeys(
        (
            "ip_forward",
            "ip6_forward",
            "br_nf_forward",
            "br_nf_forward_ip",
            "ipmr_queue_xmit",
            "ip6mr_forward2",
        ),
        2,
    ),
    **dict.fromkeys(
        ("__ip_local_out", "raw_send_hdrinc", "__ip6_local_out", "ip6_xmit", "rawv6_send_hdrinc"), 3
    ),
    **dict.fromkeys(("ndisc_send_skb", "mld_sendpack", "igmp6_send"), 3),
    **dict.fromkeys(("ip_output", "ip_mc_output", "ip6_output", "br_nf_post_routing"), 4),
    **dict.fromkeys(("xfrm4_output", "xfrm6_output", "__xfrm4_output", "__xfrm6_output"), 4),
}
_ARP = {"arp_rcv": 0, "arp_xmit": 1, "br_nf_forward_arp": 2}
# Of the bridge's own family. None: at several of its hooks.
_BRIDGED = {
    **dict.fromkeys(("br_pass_frame_up", "br_handle_frame"), 1),
    **dict.fromkeys(("__br_forward", "br_nf_hook_thresh", "br_multicast_send_query"), None),
    "br_forward_finish": 4,
    "br_send_bpdu": 3,
}
# Hooks of an interface (netdev): their functions are not among those that were read.
_OF_AN_INTERFACE = frozenset(
    {"__netif_receive_skb_core", "__dev_queue_xmit", "nf_hook_direct_egress", "nf_hook_egress", "nf_ingress"}
)
# They rewrite, put together or hand on, and are not worth a probe: they hardly ever answer drop.
_HARMLESS = (
    "ipv4_conntrack_defrag",
    "ipv6_defrag",
    "nf_nat_",
    "ipv4_helper",
    "ipv6_helper",
    "ip_sabotage_in",
)
# At their hooks on every machine, whether any packet is labelled or not.
_SECURITY_MODULES = ("selinux_", "smack_", "apparmor_")


def left_over(drop: Drop, host: Host) -> Verdict | None:
    """Nobody is known to have refused the packet, which died in the loop over the functions at its hook."""
    at_hooks = _at_hooks(drop)
    candidates = _candidates(at_hooks) if at_hooks else None
    if not candidates or not at_hooks or not all(is_other(function.name or "") for function in candidates):
        return None
    where = _where(at_hooks)
    evidence = [Evidence("functions at the hook", _said(candidates, where))]
    others = [one for one in _names(at_hooks) if one not in map(_shown, candidates)]
    if others and all((function.name or "").startswith(_SECURITY_MODULES) for function in candidates):
        return None  # a probe that missed one answer is more likely than a labelled packet
    if others:
        text = f"also at the hook: {', '.join(others)}; a probe sees their verdicts, or they hardly ever drop"
        evidence.append(Evidence("functions at the hook", text))
    fixes = hook_fixes(candidates[0].name or "")
    if len(candidates) > 1:
        title = "one of several functions at a netfilter hook drops it"
        return Verdict("likely", None, tuple(evidence), fixes[-1:], title)
    name = candidates[0].name or ""
    known = owner(name)
    if known is not None:
        evidence.append(Evidence("name of the function", f"it belongs to {known[0]}"))
    culprit = culprits.HookFunction(_shown(candidates[0]), name, candidates[0].module, where)
    return Verdict("likely", culprit, tuple(evidence), fixes, hook_title(name))


def _at_hooks(drop: Drop) -> tuple[FunctionsAtHook, ...]:
    """The hooks that it can have died at: one, where the caller of the loop tells which; none that are known."""
    note = drop.event.netfilter
    if note is None or note.at_hooks is None or note.hook is not None or blamed_otherwise(drop):
        return ()
    if kernel_word.place(drop) != "nf_hook_slow":
        return ()
    if not (kernel_word.gave_no_reason(drop) or drop.reason == "NETFILTER_DROP"):
        return ()
    names = (symbols.base_name(frame.function or "") for frame in drop.stack)
    caller = next((name for name in names if name not in _WRAPPERS), "")
    if caller in _OF_AN_INTERFACE:
        return ()
    bridged = caller in _BRIDGED
    hook = _BRIDGED[caller] if bridged else {**_ROUTED, **_ARP}.get(caller)
    return tuple(
        at for at in note.at_hooks if (at.family == "bridge") == bridged and (hook is None or at.hook == hook)
    )


def _candidates(at_hooks: tuple[FunctionsAtHook, ...]) -> list[HookFunction] | None:
    """None where not all functions are known."""
    functions = dict.fromkeys(function for at in at_hooks for function in at.functions)
    if not all(at.complete for at in at_hooks) or any(function.name is None for function in functions):
        return None
    return [one for one in functions if not one.watched and not (one.name or "").startswith(_HARMLESS)]


def _where(at_hooks: tuple[FunctionsAtHook, ...]) -> str:
    """`ip input`; `ip` where the hook is not known."""
    if len(at_hooks) > 1:
        return at_hooks[0].family
    return f"{at_hooks[0].family} {words.hook(at_hooks[0].family, at_hooks[0].hook)}"


def _said(candidates: list[HookFunction], where: str) -> str:
    names = ", ".join(map(_shown, candidates))
    if len(candidates) == 1:
        return f"{names} is the only function at hook {where} that can have returned drop unseen"
    return f"one of these at hook {where} returned drop, and no probe sees their verdicts: {names}"


def _names(at_hooks: tuple[FunctionsAtHook, ...]) -> list[str]:
    return list(dict.fromkeys(_shown(function) for at in at_hooks for function in at.functions))


def _shown(function: HookFunction) -> str:
    return f"{function.name} [{function.module}]" if function.module is not None else str(function.name)
