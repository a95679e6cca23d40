"""Links of BPF programs to netfilter's hooks (struct bpf_link_info of linux/bpf.h)."""

import os
import struct
from collections.abc import Iterator

from dropwatch.kernel import system_calls
from dropwatch.model.dataclass import dataclass

_FD_BY_ID, _NEXT_ID = 30, 31  # BPF_LINK_GET_FD_BY_ID, BPF_LINK_GET_NEXT_ID
_NETFILTER = 10  # BPF_LINK_TYPE_NETFILTER
_INFO = struct.Struct("=III4xIIi")  # type, id, program; of netfilter: family, hook, priority
_FAMILIES = {2: "ip", 10: "ip6"}  # NFPROTO_*
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")  # NF_INET_*


@dataclass(frozen=True, slots=True)
class NetfilterLink:
    """`family` and `hook` in nft's words."""

    family: str
    hook: str
    priority: int


def read_netfilter_links(program: int) -> tuple[NetfilterLink, ...]:
    """Those of the program of this number, in all namespaces. Raises OSError where this user may not look."""
    return tuple(link for info in _all() if (link := link_of(info, program)) is not None)


def link_of(info: bytes, program: int) -> NetfilterLink | None:
    """None for a link of another kind or program."""
    kind, _, of_program, family, hook, priority = _INFO.unpack_from(info)
    if kind != _NETFILTER or of_program != program:
        return None
    return NetfilterLink(
        _FAMILIES.get(family, str(family)), _HOOKS[hook] if hook < len(_HOOKS) else str(hook), priority
    )


def _all() -> Iterator[bytes]:
    last = 0
    while True:
        try:
            answer = system_calls.bpf_answer(_NEXT_ID, struct.pack("=I", last))
        except FileNotFoundError:  # that was the last
            return
        (last,) = struct.unpack_from("=4xI", answer)  # start_id, next_id
        try:
            descriptor = system_calls.bpf(_FD_BY_ID, struct.pack("=I", last))
        except FileNotFoundError:  # it has gone
            continue
        try:
            yield system_calls.object_info(descriptor, _INFO.size)
        finally:
            os.close(descriptor)
