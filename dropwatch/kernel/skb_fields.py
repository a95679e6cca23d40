"""Members of struct sk_buff and struct skb_shared_info that a user asks for by name, and how to read each.

BPF reads eight bytes from where a member begins; what of them is the member's is found here.
"""

import difflib
import sys
from collections.abc import Mapping, Sequence
from functools import cache

from dropwatch.errors import WrongUsage
from dropwatch.kernel import btf
from dropwatch.model.dataclass import dataclass
from dropwatch.wire.trace import STEP_FIELDS

_WORD_BITS = 64
_STRUCTS = ("sk_buff", "skb_shared_info")
_BIG_ENDIAN = frozenset({"__be16", "__be32", "__be64"})

_OFTEN = (
    *("len", "data_len", "mark", "priority", "protocol", "pkt_type", "ip_summed", "hash", "queue_mapping"),
    *("gso_size", "gso_segs", "gso_type", "nr_frags", "cloned", "truesize", "users"),
)


@dataclass(frozen=True, slots=True)
class SkbField:
    """A number in struct sk_buff, or in struct skb_shared_info if `is_shared`, of `bits` bits.

    `byte_offset` is the struct's, `bit_offset` (0 to 7) from the start of that byte as BTF counts: from the lowest bit
    on little-endian machines, from the highest on others. `network_order`: the most significant byte comes first.
    """

    name: str
    is_shared: bool
    byte_offset: int
    bit_offset: int
    bits: int
    signed: bool
    network_order: bool = False

    def value(self, eight_bytes: int, byteorder: str = sys.byteorder) -> int:
        """The number, out of the eight bytes that begin at `byte_offset`, taken for a u64 of this machine."""
        little = byteorder == "little"
        shift = self.bit_offset if little else _WORD_BITS - self.bit_offset - self.bits
        found = eight_bytes >> shift & (1 << self.bits) - 1
        if self.network_order and little:
            found = int.from_bytes(found.to_bytes(self.bits // 8, "little"), "big")
        negative = self.signed and found >> (self.bits - 1)
        return found - (1 << self.bits) if negative else found


def resolve(names: Sequence[str]) -> tuple[SkbField, ...]:
    """The members of these names, in this order, each once. Raises WrongUsage for what is not there, or no number."""
    wanted = tuple(dict.fromkeys(names))
    if len(wanted) > STEP_FIELDS:
        raise WrongUsage(
            f"--fields: {len(wanted)} members are too many", f"ask for at most {STEP_FIELDS} at a time"
        )
    return tuple(_resolved(name) for name in wanted)


def names() -> list[str]:
    """All that can be asked for, sorted. Raises CannotRunHere without BTF."""
    return sorted(name for name in _members() if _field(name) is not None)


@cache
def _members() -> Mapping[str, tuple[bool, btf.Member]]:
    """By name, with whether it is of the shared part; what both have is struct sk_buff's."""
    kernel = btf.vmlinux()
    found: dict[str, tuple[bool, btf.Member]] = {}
    for is_shared, struct in enumerate(_STRUCTS):
        for name, member in kernel.members(struct).items():
            found.setdefault(name, (bool(is_shared), member))
    return found


def _field(name: str) -> SkbField | None:
    """None for what is not a number, or does not lie within eight bytes."""
    is_shared, member = _members()[name]
    first, bit = divmod(member.bit_offset, 8)
    if member.kind != "number" or not 0 < member.bits <= _WORD_BITS - bit:
        return None
    network_order = member.type_name in _BIG_ENDIAN
    return SkbField(name, is_shared, first, bit, member.bits, member.signed, network_order)


def _often_asked() -> list[str]:
    there = set(names())
    return [name for name in _OFTEN if name in there]


def _resolved(name: str) -> SkbField:
    if name not in _members():
        near = difflib.get_close_matches(name, names(), n=3)
        raise WrongUsage(
            f"--fields: neither struct sk_buff nor struct skb_shared_info has a member {name!r} here",
            f"did you mean {' or '.join(near)}?" if near else f"for example: {', '.join(_often_asked())}",
        )
    found = _field(name)
    if found is None:
        is_shared, member = _members()[name]
        what = "is a pointer" if member.kind == "pointer" else "is not a single number"
        raise WrongUsage(
            f"--fields: {name} of struct {_STRUCTS[is_shared]} {what}",
            f"ask for numbers: {', '.join(names())}",
        )
    return found
