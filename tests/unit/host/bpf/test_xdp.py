"""Which XDP programs an interface has, by what rtnetlink says of it."""

import struct

from dropwatch.host import netlink
from dropwatch.host.bpf.xdp import xdp_of


def nest(attached: int, **numbers: int) -> bytes:
    made = netlink.attribute(2, struct.pack("=B", attached))
    for kind, number in numbers.items():
        made += netlink.attribute(int(kind.removeprefix("a")), struct.pack("=I", number))
    return made


def test_modes() -> None:
    assert xdp_of(nest(0)) == ()
    assert xdp_of(b"") == ()
    assert xdp_of(nest(1, a4=77, a5=77)) == (("native", 77),)
    assert xdp_of(nest(2, a4=77, a6=77)) == (("generic", 77),)
    assert xdp_of(nest(3, a4=77)) == (("offloaded", 77),)
    assert xdp_of(nest(4, a5=77, a7=78)) == (("native", 77), ("offloaded", 78))
