"""A verdict as a test looks at it: what it says, and the commands that it advises."""

from collections.abc import Callable
from typing import Any

from dropwatch.model.drop import Verdict

# A drop before a host, judged: the cause's id, None when unknown, and a verdict whose object a test knows the type of.
Judged = Callable[..., tuple[str | None, Any]]


def said(verdict: Verdict) -> str:
    return "\n".join(f"{one.source}: {one.text}" for one in verdict.evidence)


def commands(verdict: Verdict) -> list[str | None]:
    return [fix.command for fix in verdict.fix]
