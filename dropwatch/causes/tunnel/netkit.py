"""Pairs of netkit: the peer is down, the policy is blackhole, or a BPF program drops the packet."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned, programs
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.cause import Cause
from dropwatch.causes.tunnel.facts import died_silent_at, doubts_of, proof
from dropwatch.host.bpf.programs import Program
from dropwatch.host.host import Host
from dropwatch.host.tunnel.netkit import Netkit
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.model.forwarding import Device

_XMIT = "netkit_xmit"
_SHOWN = 3
_BRING_UP = (
    Fix(
        "bring the other end up in its own namespace: `@if` shows its index there",
        "ip -d link show DEV; ip -all netns exec ip link show type netkit",
    ),
)
_POLICY = (
    Fix("attach the program that this pair is made for: start the agent of the container network"),
    Fix("see which programs are attached", "bpftool net show dev DEV; bpftool link show"),
)
_PROGRAMS = (_POLICY[1],)

NETKIT = (
    Cause(
        id="tunnel.netkit",
        title="the netkit pair does not pass the packet on",
        why="""
A netkit pair is a cable between two network namespaces with a BPF program in it: what is sent into one end goes through
the programs of that end, which pass, redirect or drop it. Where none is attached, the policy of that end decides:
forward, or blackhole, which is set so that nothing passes before the program is there. And the other end must be up.
""",
        confirm="""
Policies, as "policy" and "peer policy" (iproute2 6.7 or newer):
$ ip -d link show DEV
Programs, as netkit:
$ bpftool net show
$ bpftool link show
"dropped" under TX rises at the end that sends:
$ ip -s link show DEV
""",
        fix=(*_POLICY, *_BRING_UP),
        seen_as=("NOT_SPECIFIED",),
        seen_at=(_XMIT,),
    ),
)


def not_passed_on(drop: Drop, host: Host) -> Verdict | None:
    """The packet is at the end that sends while that asks whether its peer is up, then at the peer (netkit_xmit)."""
    if not died_silent_at(drop, _XMIT):
        return None
    one = host.netkit(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)
    if one is None:
        return None
    if "no-carrier" in drop.event.notes:
        return _peer_down(drop, host, one) if one.up else None
    return _refused(drop, host, one)


def _peer_down(drop: Drop, host: Host, one: Netkit) -> Verdict:
    """An end that goes down takes the carrier from both first (netkit_close); the other one sends on for a moment."""
    fact = f"it had no carrier: the peer of {one.name} is down"
    said = kernel_word.certain(drop, Evidence("interface at the drop", fact, "proof"))
    culprit = Device(f"{one.name} netkit policy {one.policy}, peer down", one.name, "netkit", "peer down")
    fix = of_catalogue(_BRING_UP, drop, {"DEV": one.name})
    return pinned.doubted(replace(said, culprit=culprit, fix=fix), doubts_of(drop, host, "links"))


def _refused(drop: Drop, host: Host, receiver: Netkit) -> Verdict | None:
    """No probe sees programs of netkit come and go."""
    sender = _sender(drop, host, receiver)
    there = _programs(drop, host, receiver)
    if there:
        return _by_program(drop, host, sender, there)
    if receiver.peer_policy != "forward":
        return _by_policy(drop, host, receiver, sender, there)
    if there is not None:
        return None
    fact = f"{_pair(receiver, sender)}: its policy is forward, so that only a BPF program of it can drop this"
    said = kernel_word.likely(drop, proof(fact))
    culprit = Device(f"{receiver.name} netkit peer policy forward", receiver.name, "netkit")
    return replace(said, culprit=culprit, fix=of_catalogue(_PROGRAMS, drop, {"DEV": receiver.name}))


def _by_policy(
    drop: Drop, host: Host, receiver: Netkit, sender: str | None, there: tuple[Program, ...] | None
) -> Verdict:
    why = (
        "and no BPF program is attached"
        if there is not None
        else "which decides where no BPF program is attached"
    )
    fact = f"{_pair(receiver, sender)}: its policy is {receiver.peer_policy}, {why}; the peer is up"
    said = kernel_word.likely(drop, proof(fact), *doubts_of(drop, host, "links"))
    if sender is not None:
        setting = f"policy {receiver.peer_policy}"
        culprit = Device(f"{sender} netkit {setting}", sender, "netkit", setting)
    else:
        setting = f"peer policy {receiver.peer_policy}"
        culprit = Device(f"{receiver.name} netkit {setting}", receiver.name, "netkit", setting)
    fix = of_catalogue(_POLICY, drop, {"DEV": culprit.interface})
    return replace(said, culprit=culprit, fix=fix)


def _by_program(drop: Drop, host: Host, sender: str | None, there: tuple[Program, ...]) -> Verdict:
    where = f"{sender or 'the other end'} netkit"
    if len(there) > 1:
        listed = (
            proof(f"one of {len(there)} that may drop: {programs.in_words(one, where)}", "bpf")
            for one in there[:_SHOWN]
        )
        return kernel_word.likely(drop, *listed)
    (one,) = there
    keepers = programs.keepers_of(drop, host, one.id)
    fact = f"the only program here: {programs.in_words(one, where)}"
    said = kernel_word.likely(drop, proof(fact, "bpf"), *programs.kept_by(one, keepers))
    return replace(said, culprit=programs.blamed(one, where, keepers), fix=(programs.show(one.id),))


def _programs(drop: Drop, host: Host, receiver: Netkit) -> tuple[Program, ...] | None:
    """Of the end that sends. None: they are those of an interface elsewhere, or could not be read."""
    if receiver.elsewhere and not receiver.primary:
        return None
    primary = receiver.ifindex if receiver.primary else receiver.peer
    return host.netkit_programs(drop.event.netns, primary, receiver.primary, drop.event.monotonic_ns)


def _sender(drop: Drop, host: Host, receiver: Netkit) -> str | None:
    """Its name; None where it is in another namespace."""
    if receiver.elsewhere:
        return None
    return host.interface_name(drop.event.netns, receiver.peer, drop.event.monotonic_ns) or None


def _pair(receiver: Netkit, sender: str | None) -> str:
    return f"{sender} sends to {receiver.name}" if sender else f"the peer of {receiver.name} sends to it"
