"""A family of causes: their words, and one judge that is asked once about each drop."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import ParamSpec

from dropwatch.causes import kernel_word
from dropwatch.causes.cause import Cause
from dropwatch.host.host import Host
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Drop, Verdict

Asked = ParamSpec("Asked")
# The id of the cause that it is, and what to say of it.
Judgement = tuple[str, Verdict]
Judge = Callable[[Drop, Host], Judgement | None]
# What tells one cause by its evidence; None where it has nothing to say.
Sign = Callable[[Drop, Host], Verdict | None]


@dataclass(frozen=True)
class Family:
    """`causes` stand as `whydrop explain` lists them: their order decides nothing.

    `evidence` looks at the packet, the place and what the probes noted. Where it has nothing to say, the cause that
    names the kernel's reason among its `reasons` is it.
    """

    name: str
    causes: tuple[Cause, ...]
    evidence: Judge

    def judge(self, drop: Drop, host: Host) -> Judgement | None:
        """The one cause of this family that it is, or None."""
        return self.evidence(drop, host) or self._by_reason(drop)

    def _by_reason(self, drop: Drop) -> Judgement | None:
        settled = self._settled.get(drop.reason) if drop.reason is not None else None
        return (settled, kernel_word.certain(drop)) if settled is not None else None

    @cached_property
    def _settled(self) -> Mapping[str, str]:
        return {reason: cause.id for cause in self.causes for reason in cause.reasons}


def first_of(
    order: tuple[tuple[str, Callable[Asked, Verdict | None]], ...], *args: Asked.args, **kwargs: Asked.kwargs
) -> Judgement | None:
    """The first sign in this order that has something to say, asked with these arguments."""
    for cause_id, sign in order:
        verdict = sign(*args, **kwargs)
        if verdict is not None:
            return cause_id, verdict
    return None


def in_order(*order: tuple[str, Sign]) -> Judge:
    """A judge that asks these signs, each beside the id of its cause: the first that has something to say decides."""

    def judge(drop: Drop, host: Host) -> Judgement | None:
        return first_of(order, drop, host)

    return judge
