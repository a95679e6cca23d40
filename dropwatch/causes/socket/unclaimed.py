"""A packet that no socket took: nobody has the port, or a socket has it and was not taken, which is said of each."""

from collections.abc import Iterable
from dataclasses import replace

from dropwatch.causes import kernel_word, programs
from dropwatch.causes.advice import Step, of_catalogue
from dropwatch.causes.family import Judgement, first_of
from dropwatch.causes.socket import signs
from dropwatch.causes.socket.access import STEERING
from dropwatch.causes.socket.lookup import Mismatch, accept, came_in, mismatch
from dropwatch.causes.socket.owner import owned
from dropwatch.causes.socket.words import end
from dropwatch.host.bpf.programs import Program
from dropwatch.host.host import Host
from dropwatch.host.sockets import PortSocket, PortSockets
from dropwatch.host.steering import LookupProgram
from dropwatch.model.culprits import Socket
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Drop, Evidence, Fix, Process, Verdict
from dropwatch.names import protocols

_BY_THE_KERNEL = (
    ("socket.udp-no-listener", signs.udp_no_listener),
    ("socket.tcp-no-listener", signs.tcp_no_listener),
)
# Where handlers are looked up; the last two are callers that compilers put it into (Debian's 5.10).
_LOOKUPS = frozenset(
    {"ip_protocol_deliver_rcu", "ip6_protocol_deliver_rcu", "ip_local_deliver_finish", "ip6_input"}
)
_HANDLED = frozenset({"tcp", "udp", "udplite", "icmp", "icmp6", "igmp"})
_UNHANDLED = "what no handler takes dies here, and what a policy of IPsec refuses"
_SOURCE = "netlink sock_diag"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """A socket with the port. `mismatch` None: it would take the packet. `pinned`: it was the same before the drop.

    `holder` is the process that holds it, `owner` the same with the cgroup that it was made in.
    """

    socket: PortSocket
    mismatch: Mismatch | None
    pinned: bool
    holder: Process | None = None
    owner: Process | None = None


def no_socket(drop: Drop, host: Host) -> Judgement | None:
    """What the kernel said is one lookup's answer: the sockets that have the port are compared with the packet."""
    said = first_of(_BY_THE_KERNEL, drop, host)
    proto, port = drop.packet.proto, drop.packet.dport
    if said is None or proto is None or port is None:
        return said
    found = host.sockets_at(drop.event.netns, proto, port, came_in(drop), drop.event.monotonic_ns)
    if found is None:
        unknown = "the sockets with this port were not read: the namespace is gone, or a blind spot says why"
        return _doubted(said, Evidence(_SOURCE, unknown))
    if not _asks_programs(drop):
        found = replace(found, programs=())
    all_of_them = [compared(each, drop, found) for each in found.sockets]
    fitting = [each for each in all_of_them if each.mismatch is None]
    if fitting:
        said = _one_fits(said, drop, host, fitting, found)
    elif found.gone:
        fact = (
            f"{found.gone:,} sockets with this port, seen at an earlier drop, are gone: closed before "
            "this drop or since"
        )
        said = _doubted(said, Evidence(_SOURCE, fact))
    elif all_of_them:
        said = "socket.bound-elsewhere", not_taken(said[1], drop, host, all_of_them, found)
    return _doubted(said, _asked_first(found)) if found.programs else said


def no_raw_socket(drop: Drop, host: Host) -> Judgement | None:
    """A protocol without a handler: no raw socket took it, either, which is said of those that have the protocol."""
    if not is_unhandled(drop):
        return None
    said = kernel_word.certain(drop)
    if drop.reason is None:
        said = kernel_word.likely(drop, Evidence("place", _UNHANDLED))
    kind, number = kind_and_port(drop)
    found = host.sockets_at(drop.event.netns, kind, number, came_in(drop), drop.event.monotonic_ns)
    theirs = [each for each in found.sockets if each.address.version == drop.packet.family] if found else []
    if found is None or not theirs:
        return "socket.protocol-unhandled", said
    found = replace(found, count=found.count - len(found.sockets) + len(theirs))
    all_of_them = [compared(each, drop, found) for each in theirs]
    fitting = [each for each in all_of_them if _may_be_a_member(each, drop)]
    full = next((each for each in fitting if each.socket.queued >= each.socket.limit > 0), None)
    if full is not None:
        return "socket.raw-buffer-full", _passed_over(said, with_owner(full, drop, host), drop)
    if fitting:
        fact = (
            "has the protocol: it was opened since the drop, or its multicast membership refuses this packet"
        )
        return _doubted(
            ("socket.protocol-unhandled", said), Evidence(_SOURCE, f"{name_of(fitting[0], drop)} {fact}")
        )
    title = "a raw socket has the protocol, but is bound elsewhere"
    return "socket.bound-elsewhere", replace(not_taken(said, drop, host, all_of_them, found), title=title)


def _passed_over(said: Verdict, one: Compared, drop: Drop) -> Verdict:
    """raw_v4_input gives a raw socket whose buffer is full no copy, and then there is nobody who takes the protocol."""
    queued = f"{one.socket.queued:,} of {one.socket.limit:,} bytes are queued in it"
    fact = (
        f"after the drop: {name_of(one, drop)} has the protocol, and {queued}: it gets none while it is full"
    )
    evidence = (Evidence(_SOURCE, fact), *said.evidence)
    return replace(
        said, confidence="likely", evidence=evidence, culprit=culprit_of(one, drop), owner=one.owner
    )


def _may_be_a_member(one: Compared, drop: Drop) -> bool:
    """In IPv6 a raw socket that is bound to an address may also have joined a group (raw_v6_match)."""
    if one.mismatch is None:
        return True
    daddr = drop.packet.daddr
    return one.mismatch.kind == "address" and daddr is not None and daddr.version == 6 and daddr.is_multicast


def _asks_programs(drop: Drop) -> bool:
    """Not for UDP-Lite (__udp4_lib_lookup), nor where all sockets that fit get a copy (__udp4_lib_mcast_deliver)."""
    return drop.packet.proto in ("tcp", "udp") and not signs.to_many(drop)


def _asked_first(found: PortSockets) -> Evidence:
    """It may choose a socket of any port, or say drop; only sockets that are connected to the sender come before it."""
    names = " and ".join(programs.called(_program(each)) for each in found.programs)
    fact = (
        f"after the drop: the BPF program {names} is attached, which decides first, and may have refused "
        "the packet"
    )
    return Evidence("bpf sk_lookup of the namespace", fact)


def _program(one: LookupProgram) -> Program:
    return Program(one.id, one.name, one.tag)


def compared(one: PortSocket, drop: Drop, found: PortSockets) -> Compared:
    return Compared(one, mismatch(one, drop, found), one.since_ns < drop.event.monotonic_ns)


def _one_fits(
    said: Judgement, drop: Drop, host: Host, fitting: list[Compared], found: PortSockets
) -> Judgement:
    """As a rule it was opened after the drop. One that was there before it did not get what its lookup gives it."""
    there = next((each for each in fitting if each.pinned), None)
    one = with_owner(there or fitting[0], drop, host)
    name = name_of(one, drop)
    if drop.packet.daddr is not None and drop.packet.daddr.is_multicast:
        fact = f"{name} receives multicast, unless its membership refuses this group or it was opened after the drop"
    elif there is None:
        fact = f"after the drop: {name} matches the packet: it was opened or bound since"
    elif signs.to_many(drop):
        fact = f"before and after the drop: {name} matches the packet"
    else:
        fact = f"before and after the drop: {name} matches the packet: a BPF program may have refused it"
        verdict = kernel_word.likely(drop, Evidence(_SOURCE, fact))
        if len(found.programs) == 1:
            return "socket.steered-away", _steered(replace(verdict, owner=one.owner), drop, host, found)
        return "socket.steered-away", replace(verdict, culprit=culprit_of(one, drop), owner=one.owner)
    return _doubted(said, Evidence(_SOURCE, fact))


def _steered(said: Verdict, drop: Drop, host: Host, found: PortSockets) -> Verdict:
    """By the one program at the hook."""
    program = _program(found.programs[0])
    keepers = programs.keepers_of(drop, host, program.id)
    return replace(
        said,
        culprit=programs.blamed(program, "the namespace's sk_lookup", keepers),
        evidence=(*said.evidence, *programs.kept_by(program, keepers)),
        fix=(programs.show(program.id), *of_catalogue(STEERING, drop)),
    )


def _doubted(said: Judgement, fact: Evidence) -> Judgement:
    cause, verdict = said
    return cause, replace(verdict, confidence="likely", evidence=(fact, *verdict.evidence))


def not_taken(said: Verdict, drop: Drop, host: Host, those: list[Compared], found: PortSockets) -> Verdict:
    """The nearest is blamed. Certain only where it was there before the drop, and all of them are known."""
    nearest = sorted(those, key=lambda each: (_distance(each), not each.pinned))
    shown = [with_owner(each, drop, host) for each in nearest[:_SHOWN]]
    blamed, why = shown[0], shown[0].mismatch
    assert why is not None
    known = found.count == len(those) and all(each.mismatch and each.mismatch.sure for each in those)
    facts = [Evidence(_SOURCE, _sentence(each, drop)) for each in shown]
    if found.count > len(shown):
        facts.append(Evidence(_SOURCE, f"and {found.count - len(shown):,} more sockets with this port"))
    return replace(
        said,
        confidence=said.confidence if blamed.pinned and known else "likely",
        culprit=culprit_of(blamed, drop),
        evidence=(*facts, kernel_word.evidence(drop)),
        fix=tuple(_fixes(why, blamed, drop)),
        owner=blamed.owner,
    )


def _distance(one: Compared) -> int:
    return one.mismatch.distance if one.mismatch is not None else -1


def with_owner(one: Compared, drop: Drop, host: Host) -> Compared:
    inode = one.socket.inode
    holder = host.socket_holder(drop.event.netns, inode, drop.event.monotonic_ns) if inode else None
    return replace(one, holder=holder, owner=owned(holder, one.socket.cgroup, host))


def _sentence(one: Compared, drop: Drop) -> str:
    when = "before and after the drop" if one.pinned else "after the drop"
    words = one.mismatch.words if one.mismatch is not None else ""
    return f"{when}: {name_of(one, drop)} {words}"


def is_unhandled(drop: Drop) -> bool:
    """No handler has its protocol. On a kernel without reasons: it died where they are looked up, and is none of those
    that are always there.
    """
    if drop.reason is not None:
        return drop.reason == "IP_NOPROTO"
    proto = drop.packet.proto
    return kernel_word.place(drop) in _LOOKUPS and proto is not None and proto not in _HANDLED


def kind_and_port(drop: Drop) -> tuple[str, int]:
    """As ss(8) has them: of a raw socket the protocol stands where others have the port."""
    proto, port = drop.packet.proto or "", drop.packet.dport or 0
    if not is_unhandled(drop):
        return proto, port
    number = protocols.number(proto)
    return ("raw", number) if number is not None else (proto, port)


def name_of(one: Compared, drop: Drop) -> str:
    """`udp 127.0.0.1:53 of systemd-resolve (pid 812)`."""
    owner = f" of {one.holder.comm} (pid {one.holder.pid})" if one.holder is not None else ""
    kind, port = kind_and_port(drop)
    return f"{kind} {end(one.socket.address, port)}{owner}"


def culprit_of(one: Compared, drop: Drop) -> Socket:
    it, (proto, port) = one.socket, kind_and_port(drop)
    peer_port = it.peer_port if it.peer is not None else None
    users = f' users:(("{one.holder.comm}",pid={one.holder.pid}))' if one.holder is not None else ""
    return Socket(
        text=f"{proto} {end(it.address, port)} {end(it.peer, peer_port)}{users}",
        proto=proto,
        address=str(it.address),
        port=port,
        peer=str(it.peer) if it.peer is not None else None,
        peer_port=peer_port,
        bound_ifindex=it.bound_ifindex or None,
        inode=it.inode or None,
    )


def _fixes(why: Mismatch, blamed: Compared, drop: Drop) -> Iterable[Fix]:
    who = f"{blamed.holder.comm} (pid {blamed.holder.pid})" if blamed.holder is not None else "its program"
    kind, port = kind_and_port(drop)
    options = {"tcp": "-lntp", "raw": "-anwp"}.get(kind, "-anup")
    yield Fix("see what the sockets are bound to", f"ss {options} 'sport = :{port}'")
    helps = _LINK_LOCAL if _is_of_link(why, blamed, drop) else _WHAT_HELPS[why.kind]
    yield Fix(helps.format(who=who, daddr=drop.packet.daddr, family=drop.packet.family, dev=_device(drop)))
    if why.kind == "vrf":
        gives_up = "services outside VRFs can be reached from every VRF"
        yield Step(
            "or have sockets outside VRFs accept traffic of VRFs",
            f"sysctl -w {accept(drop)}=1",
            weakens=gives_up,
        )


def _is_of_link(why: Mismatch, blamed: Compared, drop: Drop) -> bool:
    """A link-local address of IPv6 is bound together with its interface (sin6_scope_id)."""
    if why.kind == "address":
        return drop.packet.family == 6 and drop.packet.daddr is not None and drop.packet.daddr.is_link_local
    return why.kind == "device" and blamed.socket.address.version == 6 and blamed.socket.address.is_link_local


def _device(drop: Drop) -> str:
    return drop.iface.name if drop.iface is not None and drop.iface.name is not None else "DEV"


_LINK_LOCAL = "have {who} bind to {daddr}%{dev} as well, or to all addresses"
_WHAT_HELPS = {
    "device": "have {who} bind also to the interface that the packets come in through, or to none",
    "vrf": "run {who} in the VRF (ip vrf exec), or have it bind a socket to the VRF",
    "v6-only": "have {who} not set IPV6_V6ONLY, or open an IPv4 socket as well",
    "address": "have {who} bind to {daddr} as well, or to all addresses",
    "peer": "have {who} use an unconnected socket, or the sender use the address that the socket is connected to",
    "family": "have {who} open an IPv{family} socket as well",
}
