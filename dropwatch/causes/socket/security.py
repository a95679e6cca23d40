"""Signs of a security module that refuses what a socket is to receive: which BPF programs are at its hook."""

from dataclasses import replace

from dropwatch.causes import kernel_word, programs
from dropwatch.causes.socket import filtered
from dropwatch.causes.socket.unclaimed import with_owner
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Verdict

HOOK = "socket_sock_rcv_skb"
_ENTERING = frozenset({"udp_queue_rcv_one_skb", "udpv6_queue_rcv_one_skb", "tcp_v4_rcv", "tcp_v6_rcv"})
_SHOWN = 3


def refused(drop: Drop, host: Host) -> Verdict | None:
    """Kernels without a reason of its own give that of the socket's filter: likely, where there is such a program."""
    told = drop.reason == "SECURITY_HOOK"
    if not (told or drop.reason == "SOCKET_FILTER") or kernel_word.place(drop) not in _ENTERING:
        return None
    found = host.lsm_programs(drop.event.netns, HOOK, drop.event.monotonic_ns) or ()
    if not found:
        return kernel_word.certain(drop) if told else None
    facts = tuple(
        Evidence(
            "bpf, after the drop", f"{programs.in_words(one, f'the LSM hook {HOOK}')} is loaded", "proof"
        )
        for one in found[:_SHOWN]
    )
    said = kernel_word.certain(drop, *facts) if told else kernel_word.likely(drop, *facts)
    receiver = filtered.receiver(drop, host)
    owner = with_owner(receiver, drop, host).owner if receiver is not None else None
    said = replace(said, owner=owner, fix=tuple(programs.show(one.id) for one in found[:_SHOWN]))
    if told or len(found) > 1:  # it may have been another, or SELinux
        return said
    (one,) = found
    keepers = programs.keepers_of(drop, host, one.id)
    return replace(
        said,
        culprit=programs.blamed(one, f"the LSM hook {HOOK}", keepers),
        evidence=(*said.evidence, *programs.kept_by(one, keepers)),
    )
