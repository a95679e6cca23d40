"""What a run cannot tell for want of a capability or of the host's processes: a sentence each, for its blind spots."""

from collections.abc import Iterator

from dropwatch.model.fact import Fact
from dropwatch.privilege.capabilities import USES
from dropwatch.probe.check.preflight import User


def lacking(user: User, *, shows_addresses: bool, processes: Fact) -> Iterator[str]:
    """`shows_addresses`: whether /proc/kallsyms does, as was seen; `processes`: whether /proc has the host's."""
    if processes.works is False:
        yield f"processes: {processes.text}"
    if not shows_addresses:
        yield (
            "names of functions: /proc/kallsyms hides its addresses (CAP_SYSLOG is missing, or kernel.kptr_restrict is"
            " 2): places and stacks have none, and a cause that goes by the place is not told"
        )
    for use in USES:
        if not user.has(use.capability):
            yield f"{use.row}: {use.name} is missing: {use.cannot}"
