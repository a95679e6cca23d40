"""The programs of a route, by what rtnetlink says of it."""

import struct

from dropwatch.host import netlink
from dropwatch.host.bpf.lwt import RouteProgram, of_route

BPF = struct.pack("=H", 6)


def program(name: bytes | None) -> bytes:
    return netlink.attribute(2, name + b"\0") if name is not None else b""


def test_programs_of_a_route() -> None:
    encap = netlink.attribute(1, program(b"lb.o:[in]")) + netlink.attribute(3, program(None))
    assert of_route(BPF, encap) == (RouteProgram("in", "lb.o:[in]"), RouteProgram("xmit", None))


def test_other_routes() -> None:
    assert of_route(None, None) == ()
    assert of_route(struct.pack("=H", 1), netlink.attribute(2, b"\0\0\0\0")) == (), "MPLS"
