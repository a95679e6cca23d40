"""Builds the commonest sign: this reason, in these functions, for this kind of packet."""

from collections.abc import Callable, Collection

from dropwatch.causes import kernel_word
from dropwatch.causes.family import Sign
from dropwatch.host.host import Host
from dropwatch.model.drop import Confidence, Drop, Evidence, Packet, Verdict

# To be named among `reasons` where the place alone tells, also on kernels that give no reason.
NONE_GIVEN = "none given"


def when(
    *,
    reasons: Collection[str] = (),
    at: Collection[str] = (),
    through: Collection[str] = (),
    proto: str | None = None,
    packet: Callable[[Packet], bool] | None = None,
    confidence: Confidence = "certain",
    fact: str | None = None,
) -> Sign:
    """A sign that holds if everything named holds: one of `reasons`, died `at` one of these functions, came
    `through` one of them (anywhere on the stack), `proto` by name, and `packet` says yes.

    `fact` is a sentence of evidence: what the place means, or why it is not certain.
    """

    def sign(drop: Drop, host: Host) -> Verdict | None:
        del host  # needs nothing from it: everything is in the drop
        said = NONE_GIVEN if kernel_word.gave_no_reason(drop) else drop.reason
        if reasons and said not in reasons:
            return None
        if at and kernel_word.place(drop) not in at:
            return None
        if proto is not None and drop.packet.proto != proto:
            return None
        if through and kernel_word.way(drop).isdisjoint(through):
            return None
        if packet is not None and not packet(drop.packet):
            return None
        facts = () if fact is None else (Evidence("place" if at or through else "reason", fact),)
        return Verdict(confidence, evidence=(*facts, kernel_word.evidence(drop)))

    return sign
