"""The earlier decisions about a packet without which it would not have died, oldest first."""

from dropwatch.causes.past import bridged, decrypted, invalid, marked, queued, routed, translated
from dropwatch.host.host import Host
from dropwatch.model.drop import Decision, Drop, Verdict

# In the order in which a packet meets them.
_ASKED = (
    bridged.decisions,
    decrypted.decisions,
    invalid.decisions,
    marked.decisions,
    translated.decisions,
    queued.decisions,
    routed.decisions,
)


def led_by(drop: Drop, host: Host, cause_id: str | None, verdict: Verdict) -> tuple[Decision, ...]:
    """`cause_id` is None where nothing is sure enough."""
    return tuple(found for ask in _ASKED for found in ask(drop, host, cause_id, verdict))
