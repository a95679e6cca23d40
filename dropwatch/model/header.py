"""One header of a packet, read from its bytes: what the decoder hands to the renderers."""

from dropwatch.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Header:
    """`offset` and `length` are bytes, counted from the packet's network header; `length` is what the record has of it.

    `fields` are pairs of name and value, in the order of the bytes. `depth` is 0 for the packet itself and one more
    inside each tunnel and each quote of an ICMP error; `quoted` is True from such a quote on. `is_data` is True for
    what lies behind the last header. `error` says in words why reading stopped here.
    """

    name: str
    offset: int
    length: int
    fields: tuple[tuple[str, str | int], ...] = ()
    depth: int = 0
    quoted: bool = False
    is_data: bool = False
    error: str | None = None
