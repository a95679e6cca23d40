"""Signs of a neighbour that does not answer, is not asked, or whose entry was taken away."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.neighbour import entry
from dropwatch.causes.neighbour.catalogue import FREEING, UNANSWERED
from dropwatch.causes.when import NONE_GIVEN, when
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Verdict

_ASKING = "__neigh_event_send"
# What asks for a neighbour, and the tables that may keep it, by the family of the packet that waits.
_FILTERED = {
    4: ("ARP", ("arp ", "bridge ", "netdev ")),
    6: ("neighbour discovery", ("ip6 ", "inet ", "bridge ", "netdev ")),
}
_SHOWN = 4
# The callers of both in net/core/neighbour.c, the first that fits: a deletion marks the entry as failed, too.
_TAKEN_BY = {
    "neigh_timer_handler": None,
    "neigh_carrier_down": "the interface lost its carrier",
    "neigh_ifdown": "the interface went down",
    "neigh_changeaddr": "the MAC address of the interface changed",
    "neigh_delete": "the entry was deleted",
    "arp_invalidate": "the entry was deleted",
    "__neigh_update": "the entry was set to failed",
    "neigh_flush_dev": "the entries of the interface were flushed",
    "neigh_destroy": "the entry was taken out of the table",
}


def deleted(drop: Drop, host: Host) -> Verdict | None:
    """Not the timer, which ends the wait for an answer, has freed it."""
    freed = kernel_word.gave_no_reason(drop) or drop.reason in {"QUEUE_PURGE", "NEIGH_FAILED"}
    if not freed or kernel_word.place(drop) not in (*UNANSWERED, *FREEING):
        return None
    way = kernel_word.way(drop)
    what = next((words for caller, words in _TAKEN_BY.items() if caller in way), None)
    if what is None:
        return None
    who = f", by {drop.task.comm} (pid {drop.task.pid})" if drop.task is not None else ""
    return kernel_word.certain(drop, Evidence("stack", f"{what} while the packet waited for a reply{who}"))


_silent = when(
    reasons=(NONE_GIVEN, "QUEUE_PURGE"),
    at=UNANSWERED,
    fact="this function runs only when the next hop has not replied",
)


def unresolved(drop: Drop, host: Host) -> Verdict | None:
    """Nobody has answered; whether the question has left is another question."""
    told = drop.reason == "NEIGH_FAILED" and kernel_word.place(drop) in UNANSWERED
    verdict = kernel_word.certain(drop) if told else _silent(drop, host)
    if verdict is None:
        return None
    verdict = entry.named(drop, host, verdict)
    filtered = _FILTERED.get(drop.packet.family or 0)
    if filtered is None:
        return verdict
    what, families = filtered
    firewalls = host.firewalls(drop.event.netns, drop.event.monotonic_ns)
    tables = (
        [table for table in (*firewalls.nft, *firewalls.legacy) if table.startswith(families)]
        if firewalls
        else []
    )
    if not tables:
        return verdict
    shown = ", ".join(tables[:_SHOWN]) + (", ..." if len(tables) > _SHOWN else "")
    fact = f"this namespace filters {what} ({shown}): its own rules may have dropped the request or the reply"
    return replace(verdict, confidence="likely", evidence=(*verdict.evidence, Evidence("netlink", fact)))


_may_not_ask = when(
    reasons=("NEIGH_FAILED",),
    at=(_ASKING,),
    fact="this function starts to ask; it gives up at once only where it may not ask at all",
)


def not_asked(drop: Drop, host: Host) -> Verdict | None:
    """With what the interface is set to."""
    verdict = _may_not_ask(drop, host)
    if verdict is None:
        return None
    found = entry.table(drop, host)
    if found is None or found.multicast is None:
        return verdict
    fact = f"mcast_solicit is {found.multicast}, app_solicit {found.app}"
    return replace(verdict, evidence=(Evidence("netlink, after the drop", fact), *verdict.evidence))


def queue_full(drop: Drop, host: Host) -> Verdict | None:
    """Kernels without reasons free there also for an entry that is dead, or that may not be asked."""
    if kernel_word.place(drop) != _ASKING or drop.reason not in (None, "NEIGH_QUEUEFULL"):
        return None
    said = kernel_word.certain(drop) if drop.reason is not None else kernel_word.likely(drop)
    verdict = entry.named(drop, host, said)
    found = entry.table(drop, host)
    if found is None or found.queue_bytes is None:
        return verdict if drop.reason is not None else None
    if drop.reason is None and not (found.multicast or found.app):
        return None
    fact = (
        f"the entry holds {found.queue_bytes:,} bytes of packets that wait (unres_qlen_bytes), their "
        "buffers counted"
    )
    return replace(verdict, evidence=(Evidence("netlink, after the drop", fact), *verdict.evidence))
