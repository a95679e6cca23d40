"""What names an object that was read after the drop: certain only as long as nothing of its kind has changed since."""

from dataclasses import replace
from typing import NamedTuple

from dropwatch.host.host import Host
from dropwatch.model.change import Change
from dropwatch.model.drop import Address, Drop, Evidence, Verdict

_PROBES: dict[Change, str] = {
    "namespace": "loopback_net_init",
    "links": "nlmsg_notify",
    "routes": "nlmsg_notify",
    "policies": "km_policy_notify",
    "SAs": "km_state_notify",
    "sysctls": "proc_sys_write",
    "tc": "rtnetlink_rcv_msg",
    "SA updates": "km_state_notify",
    "programs": "cgroup_bpf_prog_attach",
    "departures": "nlmsg_notify",
}
_WORDS: dict[Change, str] = {
    "namespace": "another namespace got the inode of this one",
    "links": "the interfaces of this namespace changed",
    "routes": "the routes, rules or addresses of this namespace changed",
    "policies": "the policies of this namespace changed",
    "SAs": "the SAs of this namespace changed",
    "sysctls": "a sysctl was written",
    "tc": "traffic control of this namespace changed",
    "SA updates": "an SA of this namespace was updated",
    "programs": "BPF programs of cgroups or interfaces changed",
    "departures": "an address, a group or an interface of this namespace went",
}


class Source(NamedTuple):
    """A kind of thing that was read, and the monotonic time just before; None: not known, it has been read by now."""

    kind: Change
    read_at_ns: int | None


def doubts(drop: Drop, host: Host, *read: Source) -> tuple[Evidence, ...]:
    """Why what was read may not be what the packet met; nothing where it is."""
    last = [(one.kind, host.last_change(drop.event.netns, one.kind, one.read_at_ns)) for one in read]
    return tuple(
        Evidence(f"probe {_PROBES[kind]}", _doubt(kind, changed))
        for kind, changed in last
        if changed is None or changed > drop.event.monotonic_ns
    )


def changed_since(drop: Drop, host: Host, *kinds: Change) -> bool:
    """Whether a change of one of these was seen after the drop, until now. Where no probe could see one, no."""
    times = (host.last_change(drop.event.netns, kind, None) for kind in kinds)
    return any(time is not None and time > drop.event.monotonic_ns for time in times)


def went_since(drop: Drop, host: Host, address: Address, ifindex: int = 0) -> bool:
    """Whether this address or group, or the interface with its groups, went from here after the drop. Likewise."""
    if not changed_since(drop, host, "departures"):
        return False
    time = host.last_departure(drop.event.netns, address, ifindex)
    return (
        time is None or time > drop.event.monotonic_ns
    )  # None: an older recording does not tell which it was


def doubted(verdict: Verdict, why: tuple[Evidence, ...]) -> Verdict:
    """The verdict with these doubts about the object that it names, where there are any: likely then, not certain."""
    if not why:
        return verdict
    sure = verdict.culprit is None or verdict.confidence != "certain"
    confidence = verdict.confidence if sure else "likely"
    return replace(verdict, confidence=confidence, evidence=(*verdict.evidence, *why))


def _doubt(kind: Change, changed: int | None) -> str:
    words = f"{_WORDS[kind]} between the drop and the reading"
    return words if changed is not None else f"it is unknown whether {words}"
