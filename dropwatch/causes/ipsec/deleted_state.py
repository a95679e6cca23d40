"""SAs that whydrop saw being deleted while it ran: which of them a packet still was for, and why it went."""

from dataclasses import replace
from typing import Literal, TypeVar

from dropwatch.host.host import Host
from dropwatch.host.ipsec.text import state_line
from dropwatch.model import culprits
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Drop, Evidence
from dropwatch.model.ipsec import GoneState, XfrmState, XfrmTemplate

_SLACK_S = 0.1  # between the clock that ages SAs and the one that gives a drop its time


_Object = TypeVar("_Object", culprits.XfrmState, culprits.XfrmPolicy)


@dataclass(frozen=True, slots=True)
class Gone:
    """`relation` is `expired` when a limit was reached, else `deleted`; `when` and `why` are words."""

    state: XfrmState
    relation: Literal["deleted", "expired"]
    seconds: float
    when: str
    why: str | None
    pid: int | None
    comm: str | None

    def evidence(self) -> tuple[Evidence, ...]:
        facts = [Evidence("probe __xfrm_state_delete", f"{self.when}: {state_line(self.state)}", "proof")]
        if self.why is not None:
            facts.append(Evidence("SA at its deletion", self.why))
        return tuple(facts)

    def told_of(self, culprit: _Object) -> _Object:
        """The object of a finding with what happened to its SA."""
        by = culprits.Task(self.pid, self.comm) if self.pid is not None and self.comm is not None else None
        return replace(culprit, relation=self.relation, seconds_before=round(self.seconds, 3), deleted_by=by)


def received_by(drop: Drop, host: Host, daddr: Address, proto: str, spi: int, mark: int) -> Gone | None:
    """The last SA that this packet, with this destination, protocol, SPI and mark, could have been for."""

    def fits(state: XfrmState) -> bool:
        fits_mark = mark & state.mark_mask == state.mark
        return (state.daddr, state.proto, state.spi) == (daddr, proto, spi) and fits_mark

    return _last(drop, host, [one for one in host.gone_states() if fits(one.state)])


def sent_through(
    drop: Drop, host: Host, template: XfrmTemplate, saddr: Address | None, daddr: Address | None
) -> Gone | None:
    """The last SA between these end points (None: any) that an outbound template could have taken."""

    def fits(state: XfrmState) -> bool:
        return (
            (state.proto, state.mode, state.reqid) == (template.proto, template.mode, template.reqid)
            and saddr in (None, state.saddr)
            and daddr in (None, state.daddr)
            and state.state != "acq"  # only the placeholder of a request that nobody answered
        )

    return _last(drop, host, [one for one in host.gone_states() if fits(one.state)])


def _last(drop: Drop, host: Host, candidates: list[GoneState]) -> Gone | None:
    event = drop.event
    before = [
        one for one in candidates if one.netns == event.netns and one.monotonic_ns <= event.monotonic_ns
    ]
    return _told(max(before, key=lambda one: one.monotonic_ns), drop) if before else None


def _told(gone: GoneState, drop: Drop) -> Gone:
    seconds = (drop.event.monotonic_ns - gone.monotonic_ns) / 1e9
    ago = f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"
    limit = _limit(gone.state, drop.time - seconds)
    if limit is not None:
        return Gone(gone.state, "expired", seconds, f"expired {ago} before this packet", limit, None, None)
    if not gone.pid:  # the idle task: it only was on the CPU then
        return Gone(gone.state, "deleted", seconds, f"deleted {ago} before this packet", None, None, None)
    when = f"deleted {ago} before this packet by {gone.comm} (pid {gone.pid})"
    return Gone(gone.state, "deleted", seconds, when, None, gone.pid, gone.comm)


def _limit(state: XfrmState, now: float) -> str | None:
    """Which hard limit it had reached at that time; None: none of them, so somebody deleted it."""
    life = state.lifetime
    if life.hard_packets is not None and life.packets >= life.hard_packets:
        return f"its hard limit of {life.hard_packets} packets was reached"
    if life.hard_bytes is not None and life.bytes >= life.hard_bytes:
        return f"its hard limit of {life.hard_bytes} bytes was reached"
    for seconds, since, what in (
        (life.hard_add_seconds, life.add_time, "after it was added"),
        (life.hard_use_seconds, life.use_time, "after its first use"),
    ):
        if seconds is not None and since and now + _SLACK_S >= since + seconds:
            return f"its hard limit of {seconds} s {what} was reached"
    return "a hard limit was reached" if state.state == "expired" else None
