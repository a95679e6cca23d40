"""A drop before a host that was told what it has: cause, verdict, and what the object is blamed for."""

from dropwatch.causes.diagnose import diagnose
from dropwatch.model.drop import Drop, Verdict
from tests.unit.told_host import ToldHost

CHANGED = 1 << 62  # after every drop


def verdict_of(drop: Drop, **told: object) -> tuple[str, Verdict]:
    cause, verdict = diagnose(drop, ToldHost(**told))
    return cause.id if cause is not None else "unknown", verdict


def judged(drop: Drop, **told: object) -> tuple[str, str]:
    cause, verdict = verdict_of(drop, **told)
    return cause, verdict.confidence


def setting(verdict: Verdict) -> str | None:
    return getattr(verdict.culprit, "setting", None)
