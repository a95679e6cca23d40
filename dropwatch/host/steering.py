"""Which BPF programs choose the sockets of a network namespace: those at its sk_lookup hook (linux/bpf.h)."""

import ctypes
import errno
import os
import struct

from dropwatch.host.netns.files import OWN_FILE
from dropwatch.kernel import system_calls
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

_FD_BY_ID, _QUERY = 13, 16  # BPF_PROG_GET_FD_BY_ID, BPF_PROG_QUERY
_SK_LOOKUP = 36  # of enum bpf_attach_type
_NAME = slice(64, 80)  # struct bpf_prog_info: name
_MOST = 64  # MAX_PROGS of kernel/bpf/net_namespace.c


@dataclass(frozen=True, slots=True)
class LookupProgram:
    """One that is asked before sockets that are not connected; `name` None: it has none, or was not read."""

    id: int
    name: str | None


def lookup_programs() -> tuple[LookupProgram, ...]:
    """Of the namespace that this thread is in; none before Linux 5.9. Raises OSError."""
    ids = (ctypes.c_uint32 * _MOST)()
    own = os.open(OWN_FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        query = struct.pack("=IIIIQI", own, _SK_LOOKUP, 0, 0, ctypes.addressof(ids), _MOST)
        system_calls.bpf(_QUERY, query)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(own)
    return tuple(LookupProgram(each, _name_of(each)) for each in ids if each)


def _name_of(program: int) -> str | None:
    try:
        descriptor = system_calls.bpf(_FD_BY_ID, struct.pack("=I", program))
    except OSError:  # it has gone meanwhile
        return None
    try:
        return foreign(system_calls.object_info(descriptor, _NAME.stop)[_NAME].partition(b"\0")[0]) or None
    except OSError:
        return None
    finally:
        os.close(descriptor)
