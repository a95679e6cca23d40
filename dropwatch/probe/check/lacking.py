"""What a run cannot tell for want of a capability: a sentence for each among its blind spots."""

from collections.abc import Iterator

from dropwatch.privilege.capabilities import USES
from dropwatch.probe.check.preflight import User


def lacking(user: User, *, shows_addresses: bool) -> Iterator[str]:
    """`shows_addresses`: whether /proc/kallsyms does, as was seen."""
    if not shows_addresses:
        yield (
            "names of functions: /proc/kallsyms hides its addresses (CAP_SYSLOG is missing, or kernel.kptr_restrict is"
            " 2): places and stacks have none, and a cause that goes by the place is not told"
        )
    for use in USES:
        if not user.has(use.capability):
            yield f"{use.row}: {use.name} is missing: {use.cannot}"
