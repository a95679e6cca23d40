"""Signs of the BPF programs of a cgroup: which of them look at the packets of its sockets, and whose they are."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned, programs
from dropwatch.causes.advice import Step, of_catalogue
from dropwatch.causes.bpf import systemd
from dropwatch.causes.family import Judgement
from dropwatch.causes.socket import filtered
from dropwatch.host.bpf.cgroups import CgroupProgram
from dropwatch.host.bpf.programs import (
    BIND4,
    BIND6,
    CONNECT4,
    CONNECT6,
    EGRESS,
    INGRESS,
    SENDMSG4,
    SENDMSG6,
)
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.names.foreign import quoted

REFUSED = "cgroup-refused"
"""The note of a packet that a probe saw a cgroup's programs refuse."""
UNSEEN = "cgroup-unseen"
"""The note that there was no such probe."""
ENTERING = (
    *("udp_queue_rcv_one_skb", "udpv6_queue_rcv_one_skb", "tcp_v4_rcv", "tcp_v6_rcv"),
    *("raw_rcv", "raw_rcv_skb", "rawv6_rcv", "rawv6_rcv_skb"),
)
LEAVING = ("ip_finish_output", "ip6_finish_output", "ip_mc_finish_output")
_IDS = {INGRESS: "bpf.cgroup-ingress", EGRESS: "bpf.cgroup-egress"}
# As bpftool calls them.
_CALLS = {
    BIND4: "bind4",
    BIND6: "bind6",
    CONNECT4: "connect4",
    CONNECT6: "connect6",
    SENDMSG4: "sendmsg4",
    SENDMSG6: "sendmsg6",
}
_WAYS = {INGRESS: "ingress", EGRESS: "egress", **_CALLS}
_LOOKED_AT = {
    INGRESS: "incoming packets",
    EGRESS: "outgoing packets",
    **dict.fromkeys((BIND4, BIND6), "bind()"),
    **dict.fromkeys((CONNECT4, CONNECT6), "connect()"),
    **dict.fromkeys((SENDMSG4, SENDMSG6), "datagrams that are sent"),
}
_READ = "bpf query of the cgroup, after the drop"
_SHOWN = 3


def refused(drop: Drop, host: Host) -> Judgement | None:
    """A probe saw it; or the kernel gives the reason, which it has for nothing else."""
    noted = REFUSED in drop.event.notes
    told = drop.reason == "BPF_CGROUP_EGRESS"
    if not noted and not told:
        return None
    hook = EGRESS if told or kernel_word.place(drop) in LEAVING else INGRESS
    whose = "sending" if hook == EGRESS else "receiving"
    fact = f"a BPF program of the {whose} socket's cgroup refused this packet"
    seen = (Evidence("probe __cgroup_bpf_run_filter_skb", fact),) if noted else ()
    return _IDS[hook], _named(drop, host, hook, kernel_word.certain(drop, *seen), _programs(drop, host, hook))


def refused_call(drop: Drop, host: Host) -> Judgement | None:
    """The function that refuses runs nothing but these programs."""
    send = drop.event.send
    if send is None or send.hook not in _CALLS:
        return None
    fact = f"the BPF programs of the socket's cgroup for {_LOOKED_AT[send.hook]} refused it"
    said = kernel_word.certain(drop, Evidence("place", fact))
    return "bpf.cgroup-call", _named(drop, host, send.hook, said, _programs(drop, host, send.hook))


def perhaps(drop: Drop, host: Host) -> Judgement | None:
    """No probe could see it, and the kernel says the same of other things: only where there is a program."""
    if drop.reason != "SOCKET_FILTER" or UNSEEN not in drop.event.notes:
        return None
    found = _programs(drop, host, INGRESS)
    if not found or filtered.refused_by_filter(drop, host) is not None:
        return None
    fact = "a security module or a filter of the socket may have refused it as well"
    said = kernel_word.likely(drop, Evidence("place", fact))
    return _IDS[INGRESS], _named(drop, host, INGRESS, said, found)


def _programs(drop: Drop, host: Host, hook: int) -> tuple[CgroupProgram, ...]:
    event = drop.event
    cgroup = event.cgroup
    if not cgroup and hook == INGRESS:
        one = filtered.receiver(drop, host)
        cgroup = one.socket.cgroup if one is not None else 0
    if not cgroup:
        return ()
    return host.cgroup_programs(event.netns, cgroup, hook, event.monotonic_ns) or ()


def _named(drop: Drop, host: Host, hook: int, said: Verdict, found: tuple[CgroupProgram, ...]) -> Verdict:
    """With the program as its object, where it can be only one."""
    if not found:
        return said
    if len(found) > 1:
        listed = tuple(
            Evidence(_READ, f"one of {len(found)} that may have refused it: {_in_words(one, hook)}", "proof")
            for one in found[:_SHOWN]
        )
        fixes = tuple(fix for one in found[:_SHOWN] for fix in _fixes(drop, one, hook))
        return replace(said, confidence="likely", evidence=(*listed, *said.evidence), fix=fixes)
    (one,) = found
    keepers = programs.keepers_of(drop, host, one.program.id)
    owner = systemd.setting_of(one)
    culprit = programs.blamed(one.program, _place(one, hook), keepers, owner.unit if owner else None)
    fact = Evidence(_READ, f"the only program for {_LOOKED_AT[hook]}: {_in_words(one, hook)}", "proof")
    evidence = (fact, *said.evidence, *systemd.evidence(owner), *programs.kept_by(one.program, keepers))
    verdict = replace(said, culprit=culprit, evidence=evidence, fix=_fixes(drop, one, hook))
    return pinned.doubted(verdict, pinned.doubts(drop, host, pinned.Source("programs", None)))


def _place(one: CgroupProgram, hook: int) -> str:
    return f"cgroup {one.path} {_WAYS[hook]}" if one.path is not None else f"a cgroup above, {_WAYS[hook]}"


def _in_words(one: CgroupProgram, hook: int) -> str:
    return programs.in_words(one.program, _place(one, hook))


def _fixes(drop: Drop, one: CgroupProgram, hook: int) -> tuple[Fix, ...]:
    owner = systemd.setting_of(one)
    see = programs.show(one.program.id)
    if owner is not None:
        return (*of_catalogue(owner.fixes("SADDR" if hook == INGRESS else "DADDR"), drop), see)
    if one.directory is None:
        return (see, Fix("see which cgroups have programs", "bpftool cgroup tree"))
    where = quoted(one.directory)
    return (
        see,
        Fix("see what is attached to that cgroup", f"bpftool cgroup show {where}"),
        Step(
            "detach it, for a test",
            f"bpftool cgroup detach {where} {_WAYS[hook]} id {one.program.id}",
            weakens="whatever it blocks can pass",
        ),
    )
