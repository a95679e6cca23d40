"""Which BPF programs choose the sockets of a network namespace: those at its sk_lookup hook (linux/bpf.h)."""

import os

from dropwatch.host.bpf.programs import SK_LOOKUP, attached, read_program
from dropwatch.host.netns.files import OWN_FILE
from dropwatch.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class LookupProgram:
    """One that is asked before sockets that are not connected; `name` None: it has none, or was not read."""

    id: int
    name: str | None
    tag: str | None = None


def lookup_programs() -> tuple[LookupProgram, ...]:
    """Of the namespace that this thread is in; none before Linux 5.9. Raises OSError."""
    own = os.open(OWN_FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = attached(own, SK_LOOKUP)
    finally:
        os.close(own)
    return tuple(LookupProgram(each.id, each.name, each.tag) for each in map(read_program, found))
