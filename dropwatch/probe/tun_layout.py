"""Where the module tun has its code and the members of its structs (bpf/written.c).

Before Linux 5.11 modules have no BTF. There the structs are those of drivers/net/tun.c of that time, put together from
the sizes of what they contain.
"""

from dropwatch.kernel import btf
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.wire.layout import CodeRange, TunLayout

# Each with the function that it may be inlined in.
_WRITERS = (("tun_get_user",), ("tun_xdp_one", "tun_sendmsg"))
SYMBOLS = tuple(name for names in _WRITERS for name in names)
_POINTER, _CACHE_LINE = 8, 64
_MAX_TAP_QUEUES = 256  # linux/if_tap.h


def read_tun_layout(symbols: Kallsyms) -> TunLayout:
    """What is known now: to be asked again when a module has come."""
    found = TunLayout()
    for number, names in enumerate(_WRITERS):
        extents = (symbols.extent(name) for name in names)
        found.writer[number] = CodeRange(*next((extent for extent in extents if any(extent)), (0, 0)))
    if not any(each.end for each in found.writer):
        return found
    # tfiles, numqueues, flags, owner, group, dev
    before_flags = _MAX_TAP_QUEUES * _POINTER + 4
    before_tun = _before_tun()
    if before_tun is not None:
        found.tun = before_tun
        found.flags = _offset("tun_struct", "flags", before_flags)
        found.device = _offset("tun_struct", "dev", before_flags + 3 * 4)
    return found


def _before_tun() -> int | None:
    """sk, socket (which begins at a cache line), tun."""
    sock, socket = btf.vmlinux().size("sock"), btf.vmlinux().size("socket")
    if sock is None or socket is None:
        return None
    return _offset("tun_file", "tun", -(-sock // _CACHE_LINE) * _CACHE_LINE + socket)


def _offset(struct: str, member: str, fallback: int) -> int:
    module = btf.module("tun")
    for known in (module, btf.vmlinux()):
        found = known.offset(struct, (member,)) if known is not None else None
        if found is not None:
            return found
    return fallback
