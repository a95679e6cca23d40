"""Signs of NFQUEUE: nobody listens, the queue is full, the listener went away, the listener said drop."""

import errno
from collections.abc import Iterable

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import Step
from dropwatch.causes.delay import delay
from dropwatch.causes.netfilter.responsible_rule import nft_culprit
from dropwatch.host.host import Host
from dropwatch.host.nfqueue import Queue
from dropwatch.model import culprits
from dropwatch.model.culprits import Culprit
from dropwatch.model.drop import Drop, Evidence, Fix, Process, Verdict
from dropwatch.model.netfilter import NftNote, QueueNote

# They free a packet only when a queue did not take it (net/netfilter/nf_queue.c, nfnetlink_queue.c).
_BEFORE_THE_QUEUE = frozenset({"nf_queue", "nfqnl_enqueue_packet", "__nfqnl_enqueue_packet"})
# Queued packets go on, or end, in these; which functions there are differs from kernel to kernel.
_AFTER_THE_QUEUE = ("nf_reinject", "nfqnl_", "__nfqnl_")
_VERDICTS = frozenset({"nfqnl_recv_verdict", "nfqnl_recv_verdict_batch"})
# The queue is taken down: its listener unbound it or closed its socket.
_LISTENER_GONE = frozenset({"instance_destroy_rcu", "__instance_destroy", "instance_destroy"})
_QUEUE_RULES = ("nft_queue_",)


def queue_unheard(drop: Drop, host: Host) -> Verdict | None:
    """The queue did not take the packet, or gave it up because its listener went away."""
    note = drop.event.netfilter
    queue = note.queue if note is not None else None
    if kernel_word.place(drop) in _BEFORE_THE_QUEUE:
        return _not_taken(drop, host, queue)
    if _after_the_queue(drop) and not kernel_word.way(drop).isdisjoint(_LISTENER_GONE):
        fact = Evidence(
            "stack", "the queue was destroyed with packets in it: its program unbound it or ended"
        )
        culprit = _culprit(drop, host, queue.queue) if queue is not None else None
        title = "NFQUEUE: the program ended or unbound its queue"
        return Verdict("certain", culprit, (fact,), title=title)
    return None


def _not_taken(drop: Drop, host: Host, queue: QueueNote | None) -> Verdict:
    if queue is None:
        fact = Evidence("place", "this function frees a packet only when its queue refused it")
        return Verdict("likely", evidence=(fact,), title="NFQUEUE: a queue refused it")
    error = abs(queue.errno) if queue.errno else None
    evidence = [Evidence("probe nf_queue", _answer(queue.queue, error))]
    listeners = host.queues(drop.event.netns, drop.event.monotonic_ns)
    if listeners is not None:
        bound = next((one for one in listeners if one.number == queue.queue), None)
        evidence.append(Evidence("/proc/net/netfilter/nfnetlink_queue", _state(drop, queue.queue, bound)))
    title = {
        errno.ESRCH: f"NFQUEUE: no program is bound to queue {queue.queue}",
        errno.ENOSPC: f"NFQUEUE: queue {queue.queue} is full",
    }.get(error or 0, f"NFQUEUE: queue {queue.queue} refused it")
    return Verdict("certain", _culprit(drop, host, queue.queue), tuple(evidence), title=title)


def _answer(number: int, error: int | None) -> str:
    match error:
        case errno.ESRCH:
            return f"no program is bound to queue {number}, and the rule has no bypass"
        case errno.ENOSPC:
            return f"queue {number} is full: its program does not keep up"
        case None:
            return f"queue {number} refused the packet"
    return f"queue {number} refused the packet: {errno.errorcode.get(error, error)}"


def _state(drop: Drop, number: int, bound: Queue | None) -> str:
    if bound is None:
        return f"after the drop: no program is bound to queue {number}"
    return (
        f"{delay(drop, bound.read_at_ns)}: queue {number} belongs to {_listener(bound)}: "
        f"{bound.waiting} packets wait; {bound.dropped_full} were dropped because it was full, "
        f"{bound.dropped_unsent} because the program's socket was full"
    )


def _listener(queue: Queue) -> str:
    if queue.process is None:
        return f"port id {queue.portid}, usually the process id"
    return f"{queue.process.comm} (pid {queue.process.pid})"


def queue_verdict(drop: Drop, host: Host) -> Verdict | None:
    """A program took the packet from its queue and told the kernel to drop it.

    What it let pass goes on to the next hook function in the same call: that one has its own signs.
    """
    if not _after_the_queue(drop) or _dropped_later(drop):
        return None
    note = drop.event.netfilter
    queue = note.queue if note is not None else None
    by_its_program = not kernel_word.way(drop).isdisjoint(_VERDICTS)
    if not by_its_program and not kernel_word.way(drop).isdisjoint(
        _LISTENER_GONE
        | {"nfqnl_dev_drop", "nfqnl_rcv_dev_event", "nfqnl_nf_hook_drop", "nf_queue_nf_hook_drop"}
    ):
        return None
    evidence = [
        Evidence("stack", "the packet was dropped while the kernel carried out a program's verdict on it")
    ]
    listeners = host.queues(drop.event.netns, drop.event.monotonic_ns) or ()
    number = queue.queue if queue is not None else None
    bound = next((one for one in listeners if one.number == number), None)
    which = f"queue {number}" if number is not None else "its queue"
    if drop.task is not None and by_its_program:
        said = f"{drop.task.comm} (pid {drop.task.pid}) sent the verdict for {which}"
        evidence.append(Evidence("stack", said, "proof"))
        evidence += _listens_to(drop, drop.task, listeners) if number is None else ()
    elif bound is not None:
        said = f"{delay(drop, bound.read_at_ns)}: {which} belongs to {_listener(bound)}"
        evidence.append(Evidence("/proc/net/netfilter/nfnetlink_queue", said))
    culprit = _culprit(drop, host, number) if number is not None else None
    who = drop.task if by_its_program else None
    fix = _ask(who if who is not None or bound is None else bound.process)
    return Verdict("certain" if by_its_program else "likely", culprit, tuple(evidence), fix)


def _listens_to(drop: Drop, program: Process, listeners: tuple[Queue, ...]) -> Iterable[Evidence]:
    """Which queues the program has by now: nothing says that it had them when the packet died."""
    own = [one for one in listeners if program.pid in (one.portid, _pid(one))]
    if own:
        numbers = ", ".join(str(one.number) for one in own)
        said = f"{delay(drop, own[0].read_at_ns)}: it is bound to queue {numbers}"
        yield Evidence("/proc/net/netfilter/nfnetlink_queue", said)


def _ask(program: Process | None) -> tuple[Fix, ...]:
    """The log of the program; empty where it is not known."""
    if program is None:
        return ()
    return (
        Fix(f"see the log of {program.comm}", f"journalctl _PID={program.pid} -e"),
        Step(
            "for a test, delete the rule that sends to the queue",
            "nft -a list ruleset | grep queue; iptables-save | grep NFQUEUE",
            weakens=f"{program.comm} inspects nothing then",
        ),
    )


def _pid(queue: Queue) -> int | None:
    return queue.process.pid if queue.process is not None else None


def _after_the_queue(drop: Drop) -> bool:
    place = kernel_word.place(drop) or ""
    return place.startswith(_AFTER_THE_QUEUE) and place not in _BEFORE_THE_QUEUE


def _dropped_later(drop: Drop) -> bool:
    """Something else at the hook is known to have answered drop."""
    note = drop.event.netfilter
    return note is not None and (
        (note.nft is not None and not _sends_to_queue(note.nft))
        or (note.xt is not None and bool(note.xt.candidates))
        or note.ebt is not None
        or note.hook is not None
        or (note.conntrack is not None and note.conntrack.refused is not None)
    )


def _sends_to_queue(nft: NftNote) -> bool:
    return (nft.expression or "").startswith(_QUEUE_RULES)


def _culprit(drop: Drop, host: Host, number: int) -> Culprit:
    """The rule that sent the packet there where the probes saw it, else the queue."""
    note = drop.event.netfilter
    if note is not None and note.nft is not None and _sends_to_queue(note.nft):
        return nft_culprit(drop, host, note.nft)[0]
    return culprits.Queue(f"queue {number}", number)
